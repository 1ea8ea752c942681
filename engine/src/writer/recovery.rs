//! Recovery of what dead hosts left running, and the sign-off of a host that stops.

use super::lease_table::HeldLease;
use crate::model::attempt::AttemptOutcome;
use longshore_store::{
    Error as StoreError, EventKind, EventRow, GenerationRow, HostId, Lease, Store, Subject, TaskRow,
};

/// Registers a host. Returns the stale claims of hosts before it, as attempts that were lost.
pub(super) async fn take_over(
    store: &Store,
    host: HostId,
    name: &str,
    now: i64,
) -> Result<Vec<(HeldLease, AttemptOutcome)>, StoreError> {
    let mut tx = store.begin().await?;
    Store::register_host(&mut tx, host, name, std::process::id(), now).await?;
    let lost = GenerationRow::mark_lost(&mut tx, host, now).await?;
    let stale = TaskRow::stale_claims(&mut tx, host).await?;
    if lost > 0 || !stale.is_empty() {
        let message =
            format!("took over {} running tasks and {lost} generations of a host that died", stale.len());
        EventRow::append(&mut tx, Subject::Host(host), EventKind::TookOver, &message, now).await?;
    }
    store.commit(tx).await?;
    let lost = |task| (stale_claim(task, host, now), AttemptOutcome::Lost("its host died".into()));
    Ok(stale.into_iter().map(lost).collect())
}

fn stale_claim(task: TaskRow, host: HostId, now: i64) -> HeldLease {
    let lease = Lease {
        key: task.key,
        token: task.token,
        host: task.host.unwrap_or(host),
        attempt: task.attempt,
        lost: task.lost,
        upstream_failed: task.upstream_failed,
        started_at: task.started_at.unwrap_or(now),
    };
    HeldLease { lease, digest: None, has_slot: false, cancelled: false }
}

/// Records that the host stopped on purpose.
pub(super) async fn sign_off(store: &Store, host: HostId, now: i64) -> Result<(), StoreError> {
    let mut tx = store.begin().await?;
    Store::heartbeat(&mut tx, host, true, now).await?;
    store.commit(tx).await
}
