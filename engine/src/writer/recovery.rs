//! Recovery of what dead hosts left running, and the sign-off of a host that stops.

use super::effects::RunEnd;
use super::lease_table::HeldLease;
use crate::decide::suspect;
use crate::model::attempt::AttemptOutcome;
use longshore_store::{
    Error as StoreError, EventKind, EventRow, GenerationRow, HostId, Lease, RecordedClaims, RunId, RunRow,
    Store, Subject, TaskRow,
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
    let mut stale = RecordedClaims::stale(&mut tx, host).await?;
    let ahead = Store::last_seen(&mut tx).await?.saturating_sub(now);
    if ahead > 0 {
        tracing::warn!(
            ms = ahead,
            "the clock is behind that of the host before; what waits for a time keeps its wait"
        );
        TaskRow::bring_forward(&mut tx, ahead).await?;
        RunRow::bring_forward(&mut tx, ahead).await?;
    }
    Store::register_host(&mut tx, host, name, std::process::id(), now).await?;
    let lost = GenerationRow::mark_lost(&mut tx, host, now).await?;
    let tasks = stale.leases.len() + stale.left_behind.len() + stale.cancelled.len();
    if lost > 0 || tasks > 0 {
        let message = format!("took over {tasks} running tasks and {lost} generations of a host that died");
        EventRow::append(&mut tx, Subject::Host(host), EventKind::TookOver, &message, now).await?;
    }
    for (run, error) in readable_runs(std::mem::take(&mut stale.unreadable)) {
        RunEnd::unreadable(run, &error).record(&mut tx, now).await?;
    }
    store.commit(tx).await?;
    Ok(lost_claims(stale))
}

/// Runs with claims that do not read: what is left of them cannot be decided. A claim without a readable run is told
/// and left.
pub(super) fn readable_runs(
    unreadable: Vec<(Option<RunId>, StoreError)>,
) -> impl Iterator<Item = (RunId, StoreError)> {
    unreadable.into_iter().filter_map(|(run, error)| {
        tracing::error!(?run, %error, code = error.code(), "a claim does not read");
        Some((run?, error))
    })
}

/// Claims of dead hosts as attempts that were lost, in groups by the host that died with them; those that were to stop
/// count among them. A host that stopped on purpose was ended by none of the attempts that it left behind.
pub(super) fn lost_claims(stale: RecordedClaims) -> Vec<(HeldLease, AttemptOutcome)> {
    let stopped = "its host stopped and did not wait for it";
    let mut lost: Vec<_> =
        stale.left_behind.into_iter().map(|lease| lost_claim(lease, stopped, false)).collect();
    let mut by_host: HashMap<HostId, Vec<(Lease, bool)>> = HashMap::new();
    let running = stale.leases.into_iter().map(|lease| (lease, false));
    for (lease, cancelled) in running.chain(stale.cancelled.into_iter().map(|lease| (lease, true))) {
        by_host.entry(lease.host).or_default().push((lease, cancelled));
    }
    for leases in by_host.into_values() {
        let suspect = suspect(&leases.iter().map(|(lease, _)| lease.losses).collect::<Vec<_>>());
        lost.extend(leases.into_iter().enumerate().map(|(place, (lease, cancelled))| {
            let (mut held, outcome) = lost_claim(lease, "its host died", suspect == Some(place));
            held.cancelled = cancelled;
            (held, outcome)
        }));
    }
    lost
}

fn lost_claim(lease: Lease, reason: &str, alone: bool) -> (HeldLease, AttemptOutcome) {
    let held = HeldLease { lease, digest: None, has_slot: false, cancelled: false };
    (held, AttemptOutcome::Lost { reason: reason.to_owned(), alone })
}

/// Records that the host stopped on purpose.
pub(super) async fn sign_off(store: &Store, host: HostId, now: i64) -> Result<(), StoreError> {
    let mut tx = store.begin().await?;
    Store::heartbeat(&mut tx, host, true, now).await?;
    store.commit(tx).await
}
