//! Claims due tasks, and decides which of them run.

use super::settle::Settled;
use super::transact::{Effects, RunEnd};
use super::{Actor, Held};
use crate::decide::{Readiness, readiness};
use crate::packages::{AttemptFailure, AttemptOutcome, Lease};
use longshore_store::{
    Claimed, Error as StoreError, RunId, RunRow, RunState, TaskRow, TaskState, TaskUpdate, Tx,
};
use longshore_workflow::MAX_CONTEXT_BYTES;
use std::sync::Arc;

impl Actor {
    /// Claims as many tasks as there are free slots. Skipped tasks take no slot: their dependants, which may
    /// have become ready by that, are claimed in the same transaction.
    pub(super) async fn claim(
        &mut self,
        tx: &mut Tx,
        now: i64,
        effects: &mut Effects,
    ) -> Result<(), StoreError> {
        if self.next_due.is_some_and(|due| due <= now) {
            self.may_be_ready = true;
        }
        while self.may_be_ready {
            // Looked up each time: what is put back below because its digest went is not claimed again.
            let catalog = self.packages.catalog();
            let free = self.slots.saturating_sub(self.held_slots + effects.leases.len());
            if free == 0 || self.stopping.is_some() {
                break;
            }
            self.next_token += 1;
            let token = self.next_token;
            let (dialect, host) = (self.store.dialect(), self.host);
            let claimed =
                Claimed::claim(tx, dialect, &catalog.digests, host, token, free as i64, now).await?;
            if claimed.is_empty() {
                return self.nothing_ready(tx, now).await;
            }
            self.load_missing(tx, claimed.iter().map(|c| c.key.run), now, effects).await?;
            let mut skipped = Vec::new();
            let count = claimed.len();
            for claim in claimed {
                effects.touched.insert(claim.key.run);
                match self.decide(&claim) {
                    Some(Readiness::Run) => self.lease(&claim, token, now, effects),
                    Some(Readiness::Skip { reason, taints }) => {
                        skipped.push(skip(&claim, token, now, reason, taints))
                    }
                    None => skipped.push(put_back(&claim, token, now)),
                }
            }
            let any_skipped = !skipped.is_empty();
            self.settle(tx, skipped, now, effects).await?;
            if count < free && !any_skipped {
                return self.nothing_ready(tx, now).await;
            }
        }
        Ok(())
    }

    /// Every due task is claimed: looks up when the next one is due, if any was put back for later.
    async fn nothing_ready(&mut self, tx: &mut Tx, now: i64) -> Result<(), StoreError> {
        self.may_be_ready = false;
        if self.next_due.is_some() {
            self.next_due = TaskRow::next_due(tx, now).await?;
        }
        Ok(())
    }

    /// Reads runs that are not in memory, and ends those whose rows do not read.
    pub(super) async fn load_missing(
        &mut self,
        tx: &mut Tx,
        wanted: impl Iterator<Item = RunId>,
        now: i64,
        effects: &mut Effects,
    ) -> Result<(), StoreError> {
        let packages = Arc::clone(&self.packages);
        let definition = |row: &RunRow| packages.definition(&row.digest, &row.tenant, &row.workflow);
        for (run, error) in super::cache::load_missing(tx, &mut self.runs, wanted, definition).await? {
            tracing::error!(%run, %error, code = error.code(), "a run does not read and is ended");
            let message = format!("{} {error}", error.code());
            let end = RunEnd { run, state: RunState::Failed, error: Some(&message), kind: "unreadable" };
            self.end_early(tx, end, now, effects).await?;
        }
        Ok(())
    }

    fn decide(&self, claim: &Claimed) -> Option<Readiness> {
        let run = self.runs.get(&claim.key.run)?;
        let idx = claim.key.idx as usize;
        let task = run.def.tasks.get(idx)?;
        Some(readiness(task, claim.tainted > 0, |id| run.state_of(id), || run.context_of(idx)))
    }

    fn lease(&mut self, claim: &Claimed, token: i64, now: i64, effects: &mut Effects) {
        let Some(run) = self.runs.get_mut(&claim.key.run) else { return };
        let idx = claim.key.idx as usize;
        run.tasks[idx].state = TaskState::Running;
        run.tasks[idx].attempts = claim.attempt;
        let context = run.context_of(idx).to_frame();
        let task = &run.def.tasks[idx];
        let held = Held {
            key: claim.key,
            token,
            attempt: claim.attempt,
            lost: claim.lost,
            digest: run.def.digest.clone(),
            host: self.host.to_string(),
            started_at: now,
            has_slot: true,
            cancelled: false,
        };
        effects.changes.push(super::transact::Change {
            key: claim.key,
            attempt: claim.attempt,
            state: TaskState::Running,
            message: None,
        });
        if context.len() > MAX_CONTEXT_BYTES {
            let message = format!(
                "its context has {} bytes, over the limit of {MAX_CONTEXT_BYTES} (LS0604)",
                context.len()
            );
            let failure = AttemptFailure { message, permanent: true, ..AttemptFailure::default() };
            effects.ended.push((held, AttemptOutcome::Failed(failure)));
            return;
        }
        let lease = Lease {
            id: self.next_lease,
            run: claim.key.run,
            task: task.id.clone(),
            index: task.index,
            attempt: u32::try_from(claim.attempt).unwrap_or(u32::MAX),
            digest: held.digest.clone(),
            deadline_ms: run.def.task_timeout_ms.unwrap_or(0),
            context,
        };
        self.next_lease += 1;
        effects.leases.push((held, lease));
    }
}

fn update(claim: &Claimed, token: i64, now: i64, state: TaskState, error: String) -> TaskUpdate {
    TaskUpdate {
        key: claim.key,
        token,
        state,
        lost: 0,
        unbegun: 1,
        due_at: now,
        error: Some(error),
        patch: None,
    }
}

fn skip(claim: &Claimed, token: i64, now: i64, reason: String, taints: bool) -> Settled {
    let update = update(claim, token, now, TaskState::Skipped, reason);
    Settled { update, taints, attempt: claim.attempt - 1, patch: None }
}

/// Pause before a task is claimed again whose definition was not there.
const PUT_BACK_MS: i64 = 1000;

/// A task whose definition is not loaded any more, or whose run was ended a moment ago: for the latter this
/// changes nothing, because the task is not running.
fn put_back(claim: &Claimed, token: i64, now: i64) -> Settled {
    let reason = "its package was unloaded in this moment".to_owned();
    let update = update(claim, token, now + PUT_BACK_MS, TaskState::Ready, reason);
    Settled { update, taints: false, attempt: claim.attempt - 1, patch: None }
}
