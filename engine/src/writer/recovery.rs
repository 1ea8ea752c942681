//! Recovery of what dead hosts left running, and the sign-off of a host that stops.

use super::lease_table::HeldLease;
use crate::decide::suspect;
use crate::model::attempt::AttemptOutcome;
use longshore_store::{
    Error as StoreError, EventKind, EventRow, GenerationRow, HostId, Lease, Store, Subject, TaskRow,
};
use std::collections::HashMap;

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
    Ok(lost_claims(stale, host, now))
}

/// Stale claims as attempts that were lost, in groups by the host that died with them.
fn lost_claims(stale: Vec<TaskRow>, host: HostId, now: i64) -> Vec<(HeldLease, AttemptOutcome)> {
    let mut by_host: HashMap<Option<HostId>, Vec<TaskRow>> = HashMap::new();
    for task in stale {
        by_host.entry(task.host).or_default().push(task);
    }
    let mut lost = Vec::new();
    for tasks in by_host.into_values() {
        let suspect = suspect(&tasks.iter().map(TaskRow::losses).collect::<Vec<_>>());
        lost.extend(tasks.into_iter().enumerate().map(|(place, task)| {
            let outcome =
                AttemptOutcome::Lost { reason: "its host died".into(), alone: suspect == Some(place) };
            (stale_claim(task, host, now), outcome)
        }));
    }
    lost
}

fn stale_claim(task: TaskRow, host: HostId, now: i64) -> HeldLease {
    HeldLease { lease: recorded_lease(task, host, now), digest: None, has_slot: false, cancelled: false }
}

/// The lease of a running task, as its row says.
pub(super) fn recorded_lease(task: TaskRow, host: HostId, now: i64) -> Lease {
    Lease {
        key: task.key,
        token: task.token,
        host: task.host.unwrap_or(host),
        attempt: task.attempt,
        losses: task.losses(),
        upstream_failed: task.upstream_failed,
        started_at: task.started_at.unwrap_or(now),
    }
}

/// Records that the host stopped on purpose.
pub(super) async fn sign_off(store: &Store, host: HostId, now: i64) -> Result<(), StoreError> {
    let mut tx = store.begin().await?;
    Store::heartbeat(&mut tx, host, true, now).await?;
    store.commit(tx).await
}
