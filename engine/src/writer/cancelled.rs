//! Ends of attempts whose runs are being cancelled: a run has ended when the last of them has.

use super::Writer;
use super::effects::{Abort, Effects, ProgressEvent};
use super::lease_table::HeldLease;
use super::record::{MAX_ERROR, attempt_row};
use crate::model::attempt::AttemptOutcome;
use longshore_store::{Lease, NewAttempt, RunCounts, RunId, RunRow, TaskState, TaskUpdate, Tx, clip};
use std::collections::{BTreeMap, HashSet};

impl Writer {
    /// Records attempts of runs that are being cancelled, and ends the runs that have no other. Their definitions are
    /// not asked for: nothing follows from these ends.
    pub(super) async fn commit_cancelled(
        &self,
        tx: &mut Tx,
        ended: &[&(HeldLease, AttemptOutcome)],
        now: i64,
        effects: &mut Effects,
    ) -> Result<(), Abort> {
        if ended.is_empty() {
            return Ok(());
        }
        // Whoever waits for their end looks it up when this is aborted: it may be on disk.
        effects.touched.extend(ended.iter().map(|(held, _)| held.lease.key.run));
        let updates: Vec<TaskUpdate> =
            ended.iter().map(|(held, outcome)| update(&held.lease, outcome)).collect();
        let applied: HashSet<_> = TaskUpdate::apply(tx, &updates, now).await?.into_iter().collect();
        // Also of one that was fenced off: it was executed all the same.
        let attempts: Vec<NewAttempt> =
            ended.iter().filter_map(|(held, outcome)| attempt_row(held, outcome, now)).collect();
        NewAttempt::insert(tx, &attempts).await?;
        let mut closed: BTreeMap<RunId, RunCounts> = BTreeMap::new();
        for (update, (held, _)) in
            updates.into_iter().zip(ended).filter(|(update, _)| applied.contains(&(update.key, update.token)))
        {
            closed.entry(update.key.run).or_insert(RunCounts { open: 0, failed: 0 }).open += 1;
            effects.progress.push(ProgressEvent::new(
                update.key,
                held.lease.attempt,
                update.state,
                update.error,
            ));
        }
        let left = RunRow::count_down(tx, &closed, now).await?;
        let over: Vec<RunId> = left.iter().filter(|(_, left)| left.open <= 0).map(|(run, _)| *run).collect();
        effects.finished.extend(RunRow::finish_cancelling(tx, &over, now).await?);
        Ok(())
    }
}

/// The end of a task of a run that is being cancelled. What it did before it stopped is told as it was.
fn update(lease: &Lease, outcome: &AttemptOutcome) -> TaskUpdate {
    let (state, error) = match outcome {
        AttemptOutcome::Done(_) => (TaskState::Succeeded, None),
        AttemptOutcome::Failed(failure) => (TaskState::Failed, Some(failure.text())),
        AttemptOutcome::Lost { reason, .. } => (TaskState::Cancelled, Some(reason.clone())),
        AttemptOutcome::Cancelled | AttemptOutcome::NeverBegan(_) => (TaskState::Cancelled, None),
    };
    TaskUpdate {
        key: lease.key,
        token: lease.token,
        state,
        losses: lease.losses,
        attempt_reverted: i64::from(matches!(outcome, AttemptOutcome::NeverBegan(_))),
        due_at: 0,
        error: error.map(|error| clip(error, MAX_ERROR)),
        patch: None,
    }
}

/// A claim of a run that is being cancelled, which this host did not learn of.
pub(super) fn never_began_and_cancelled(lease: Lease) -> (HeldLease, AttemptOutcome) {
    let held = HeldLease { lease, digest: None, has_slot: false, cancelled: true };
    (held, AttemptOutcome::NeverBegan("its claim was not confirmed".to_owned()))
}
