//! Claims due tasks, and decides which of them run.

use super::settle::Settled;
use super::transact::{Effects, RunEnd, Undone};
use super::{Actor, Held};
use crate::decide::{Readiness, readiness};
use crate::packages::{AttemptFailure, AttemptOutcome, Lease};
use longshore_store::{
    Claim, Claimed, Error as StoreError, RunId, RunRow, RunState, TaskKey, TaskRow, TaskState, TaskUpdate, Tx,
};
use longshore_workflow::MAX_CONTEXT_BYTES;
use std::sync::Arc;

impl Actor {
    /// Claims as many tasks as there are free slots. Skipped tasks take no slot: their dependants, which may
    /// have become ready by that, are claimed in the same transaction.
    pub(super) async fn claim(
        &mut self,
        tx: &mut Tx,
        claim: Claim,
        effects: &mut Effects,
    ) -> Result<(), Undone> {
        loop {
            while !effects.claimed.is_empty() {
                self.decide_claimed(tx, claim, effects).await?;
            }
            let free = self.free_slots(effects);
            if free == 0 || self.stopping.is_some() {
                return Ok(());
            }
            effects.claimed = if self.may_be_ready || self.careful {
                self.claim_due(tx, claim, free).await?
            } else {
                self.claim_known(tx, claim, free).await?
            };
            if effects.claimed.is_empty() {
                return Ok(());
            }
        }
    }

    /// Slots that nothing holds, and nothing of this transaction is going to hold.
    fn free_slots(&self, effects: &Effects) -> usize {
        self.slots.saturating_sub(self.held_slots + effects.leases.len() + effects.claimed.len())
    }

    /// How many tasks may be taken in the moment in which they become ready: none while others have waited longer.
    pub(super) fn may_take(&self, effects: &Effects) -> usize {
        let others = self.may_be_ready || !self.ready.is_empty();
        if others || self.careful || self.stopping.is_some() { 0 } else { self.free_slots(effects) }
    }

    /// Asks the database for due tasks.
    async fn claim_due(&mut self, tx: &mut Tx, claim: Claim, free: usize) -> Result<Vec<Claimed>, Undone> {
        // Looked up each time: what was put back because its digest went is not claimed again.
        let catalog = self.packages.catalog();
        let claimed = Claimed::claim(tx, self.store.dialect(), &catalog.digests, claim, free as i64).await?;
        if claimed.len() < free {
            self.nothing_ready(tx, claim.now).await?;
        } else {
            self.may_be_ready = true;
        }
        Ok(claimed)
    }

    /// Takes tasks that this host made ready.
    async fn claim_known(&mut self, tx: &mut Tx, claim: Claim, free: usize) -> Result<Vec<Claimed>, Undone> {
        let catalog = self.packages.catalog();
        let mut claimed = Vec::new();
        while claimed.len() < free
            && let Some((_, key)) = self.ready.pop_first()
        {
            let Some(run) = self.runs.get(&key.run).filter(|run| !run.over) else { continue };
            let task = &run.tasks[key.idx as usize];
            // A digest that comes back wakes this host, which then asks the database.
            if task.state == TaskState::Ready && catalog.digests.contains(&run.def.digest) {
                claimed.push(Claimed { key, attempt: task.attempts + 1, lost: 0, tainted: task.tainted });
            }
        }
        let keys: Vec<TaskKey> = claimed.iter().map(|claimed| claimed.key).collect();
        self.expect(claim.take(tx, &keys).await?, keys.len())?;
        Ok(claimed)
    }

    /// Compares what the database changed with what it should have.
    pub(super) fn expect(&self, changed: u64, expected: usize) -> Result<(), Undone> {
        debug_assert!(!self.careful || expected == 0, "a careful transaction believes only the database");
        if changed == expected as u64 { Ok(()) } else { Err(Undone::Surprised) }
    }

    /// Makes leases of taken tasks, or skips them.
    async fn decide_claimed(
        &mut self,
        tx: &mut Tx,
        claim: Claim,
        effects: &mut Effects,
    ) -> Result<(), Undone> {
        let claimed = std::mem::take(&mut effects.claimed);
        self.load_missing(tx, claimed.iter().map(|c| c.key.run), claim.now, effects).await?;
        let mut skipped = Vec::new();
        for task in claimed {
            effects.touched.insert(task.key.run);
            match self.decide(&task) {
                Some(Readiness::Run) => self.lease(&task, claim, effects),
                Some(Readiness::Skip { reason, taints }) => skipped.push(skip(&task, claim, reason, taints)),
                None => skipped.push(put_back(&task, claim)),
            }
        }
        self.settle(tx, skipped, claim, effects).await
    }

    /// Every due task is claimed: looks up when the next one is due.
    async fn nothing_ready(&mut self, tx: &mut Tx, now: i64) -> Result<(), Undone> {
        self.may_be_ready = false;
        self.ready.clear();
        self.next_due = TaskRow::next_due(tx, now).await?;
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

    fn lease(&mut self, claimed: &Claimed, claim: Claim, effects: &mut Effects) {
        let Some(run) = self.runs.get_mut(&claimed.key.run) else { return };
        let idx = claimed.key.idx as usize;
        run.tasks[idx].state = TaskState::Running;
        run.tasks[idx].attempts = claimed.attempt;
        let context = run.context_of(idx).to_frame();
        let task = &run.def.tasks[idx];
        let held = Held {
            key: claimed.key,
            token: claim.token,
            attempt: claimed.attempt,
            lost: claimed.lost,
            digest: run.def.digest.clone(),
            host: self.host.to_string(),
            started_at: claim.now,
            has_slot: true,
            cancelled: false,
        };
        effects.changes.push(super::transact::Change {
            key: claimed.key,
            attempt: claimed.attempt,
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
            run: claimed.key.run,
            task: task.id.clone(),
            index: task.index,
            attempt: u32::try_from(claimed.attempt).unwrap_or(u32::MAX),
            digest: held.digest.clone(),
            deadline_ms: run.def.task_timeout_ms.unwrap_or(0),
            context,
        };
        self.next_lease += 1;
        effects.leases.push((held, lease));
    }
}

fn update(claimed: &Claimed, claim: Claim, state: TaskState, error: String) -> TaskUpdate {
    TaskUpdate {
        key: claimed.key,
        token: claim.token,
        state,
        lost: 0,
        unbegun: 1,
        due_at: claim.now,
        error: Some(error),
        patch: None,
    }
}

fn skip(claimed: &Claimed, claim: Claim, reason: String, taints: bool) -> Settled {
    let update = update(claimed, claim, TaskState::Skipped, reason);
    Settled { update, taints, attempt: claimed.attempt - 1, patch: None, record: None }
}

/// Pause before a task is claimed again whose definition was not there.
const PUT_BACK_MS: i64 = 1000;

/// A task whose definition is not loaded any more, or whose run was ended a moment ago: for the latter this
/// changes nothing, because the task is not running.
fn put_back(claimed: &Claimed, claim: Claim) -> Settled {
    let reason = "its package was unloaded in this moment".to_owned();
    let mut update = update(claimed, claim, TaskState::Ready, reason);
    update.due_at += PUT_BACK_MS;
    Settled { update, taints: false, attempt: claimed.attempt - 1, patch: None, record: None }
}
