//! Claims due tasks, and decides which of them run.

use super::Writer;
use super::effects::{Abort, Effects, PUT_BACK_MS, ProgressEvent, RunEnd};
use super::lease_table::HeldLease;
use super::outcomes::ResolvedTask;
use super::ready_queue::Turn;
use super::run_cache::Missing;
use crate::decide::{Readiness, is_poison, readiness, runs_alone};
use crate::model::attempt::{Attempt, AttemptFailure, AttemptOutcome};
use longshore_store::{
    Claim, Error as StoreError, Lease, Losses, RunId, RunRow, TaskKey, TaskRow, TaskState, TaskUpdate, Tx,
};
use longshore_workflow::MAX_CONTEXT_BYTES;
use std::collections::HashSet;
use std::sync::Arc;

/// Tasks that are read of a queue at once.
const READ_AT_ONCE: usize = 1024;

/// Seconds after which a task asks again at the latest that is to be executed alone.
const MAX_AHEAD: i64 = 10;

impl Writer {
    /// Decides the `claimed` leases, then claims as many tasks as there are free slots. Skipped tasks take no slot:
    /// their dependants, which may have become ready by that, are claimed in the same transaction.
    pub(super) async fn claim(
        &mut self,
        tx: &mut Tx,
        claim: Claim,
        mut claimed: Vec<Lease>,
        effects: &mut Effects,
    ) -> Result<(), Abort> {
        loop {
            while !claimed.is_empty() {
                claimed = self.decide_claimed(tx, claim, claimed, effects).await?;
            }
            let free = self.free_slots(0, effects);
            if free == 0 || self.stopping.is_some() {
                return Ok(());
            }
            let keys = self.pick(tx, free).await?;
            if keys.is_empty() {
                return Ok(());
            }
            claimed = self.claim_picked(tx, claim, keys, effects).await?;
        }
    }

    /// Slots that neither a running attempt holds, nor one of this transaction is going to hold.
    fn free_slots(&self, claimed: usize, effects: &Effects) -> usize {
        self.slots.free().saturating_sub(effects.attempts.len() + claimed)
    }

    /// The number of tasks that may be claimed in the moment in which they become ready: none while others have waited
    /// longer.
    pub(super) fn eager_claim_limit(&self, claimed: usize, effects: &Effects) -> usize {
        let first = self.ready.is_known_empty() && !self.bypass_cache && self.stopping.is_none();
        if first { self.free_slots(claimed, effects) } else { 0 }
    }

    /// Claims tasks. Of those whose runs are in memory only the number of rows is compared; of others the database says
    /// what it knows, and they may have been cancelled.
    async fn claim_picked(
        &mut self,
        tx: &mut Tx,
        claim: Claim,
        keys: Vec<TaskKey>,
        effects: &mut Effects,
    ) -> Result<Vec<Lease>, Abort> {
        let (mut remembered, mut others) = (Vec::new(), Vec::new());
        for key in keys {
            match self.lease_of_ready(key, claim) {
                Some(lease) => remembered.push(lease),
                None => others.push(key),
            }
        }
        let keys: Vec<TaskKey> = remembered.iter().map(|lease| lease.key).collect();
        effects.touched.extend(keys.iter().map(|key| key.run));
        self.expect(claim.take(tx, &keys).await?, keys.len())?;
        remembered.extend(Lease::claim(tx, claim, &others).await?);
        Ok(remembered)
    }

    /// Up to `free` tasks whose turn it is, one of each queue in turn. Queues that memory does not know are read from the
    /// database.
    async fn pick(&mut self, tx: &mut Tx, free: usize) -> Result<Vec<TaskKey>, StoreError> {
        // Read each time: a task that was put back because its digest went is not claimed again.
        let catalog = self.packages.catalog();
        if !self.ready.is_complete() || self.bypass_cache {
            let queues = TaskRow::claimable_queues(tx).await?;
            self.ready.discovered(queues.into_iter().filter(|queue| catalog.queues.contains(queue)));
        }
        let (mut keys, mut picked) = (Vec::new(), HashSet::new());
        while keys.len() < free {
            match self.ready.next(&catalog.queues) {
                // Attempts that a dead host had lost, for one.
                Some(Turn::Task(key)) if !self.scope.contains(key.run) => {}
                Some(Turn::Task(key)) => {
                    keys.push(key);
                    picked.insert(key);
                }
                Some(Turn::Read(queue)) => {
                    // What was picked a moment ago is claimable still, as the database sees it.
                    let limit = READ_AT_ONCE + keys.len();
                    let mut tasks = TaskRow::claimable(tx, queue, &self.scope, limit as i64).await?;
                    let more = tasks.len() == limit;
                    tasks.retain(|key| !picked.contains(key));
                    self.ready.read(queue, tasks, more);
                }
                None => break,
            }
        }
        Ok(keys)
    }

    /// The lease of a task that memory says is ready and has lost nothing.
    fn lease_of_ready(&self, key: TaskKey, claim: Claim) -> Option<Lease> {
        let run = self.runs.get(key.run).filter(|run| !run.over && !self.bypass_cache)?;
        let task = run.tasks.get(key.idx as usize)?;
        let simple = task.state == TaskState::Ready && !task.was_lost;
        simple.then(|| claim.lease(key, task.attempts + 1, task.upstream_failed))
    }

    /// Compares the rows that changed with those that should have.
    pub(super) fn expect(&self, actual: u64, expected: usize) -> Result<(), Abort> {
        debug_assert!(!self.bypass_cache || expected == 0, "without memory only the database is believed");
        let expected = expected as u64;
        if actual == expected { Ok(()) } else { Err(Abort::StaleCache { expected, actual }) }
    }

    /// Makes attempts of claimed tasks, or skips them. Returns leases of the tasks that became ready by skipping.
    async fn decide_claimed(
        &mut self,
        tx: &mut Tx,
        claim: Claim,
        claimed: Vec<Lease>,
        effects: &mut Effects,
    ) -> Result<Vec<Lease>, Abort> {
        let runs = claimed.iter().map(|lease| lease.key.run);
        effects.touched.extend(runs.clone());
        self.load_missing(tx, runs, claim.now, effects).await?;
        let (mut skipped, mut ahead) = (Vec::new(), 1);
        for lease in claimed {
            match self.decide(&lease) {
                Some(Readiness::Run) if self.awaits_its_turn(&lease, effects) => {
                    skipped.push(self.await_turn(&lease, ahead));
                    ahead += 1;
                }
                Some(Readiness::Run) => self.prepare(lease, effects),
                Some(Readiness::Skip { reason, blocks_dependants }) => {
                    skipped.push(skip(&lease, reason, blocks_dependants));
                }
                None => skipped.push(put_back(&lease, "its package was unloaded in this moment")),
            }
        }
        self.commit_resolved(tx, skipped, claim, effects).await
    }

    /// Reads runs that are not in memory, and ends those whose rows do not read. Returns those that are left out.
    pub(super) async fn load_missing(
        &mut self,
        tx: &mut Tx,
        runs: impl Iterator<Item = RunId>,
        now: i64,
        effects: &mut Effects,
    ) -> Result<Missing, StoreError> {
        let packages = Arc::clone(&self.packages);
        let definition = |row: &RunRow| packages.definition(&row.digest, &row.tenant, &row.workflow);
        let mut missing = self.runs.load_missing(tx, runs, definition).await?;
        for (run, error) in std::mem::take(&mut missing.unreadable) {
            tracing::error!(%run, %error, code = error.code(), "a run does not read and is ended");
            self.end_early(tx, RunEnd::unreadable(run, &error), now, effects).await?;
        }
        Ok(missing)
    }

    fn decide(&self, lease: &Lease) -> Option<Readiness> {
        let run = self.runs.get(lease.key.run)?;
        let place = lease.key.idx as usize;
        let state_of = |place: usize| run.tasks.get(place).map(|task| task.state);
        Some(readiness(&run.def, place, lease.upstream_failed, state_of, || run.context_of(place)))
    }

    /// True when a task is to be executed alone, and another one of its digest is right now.
    fn awaits_its_turn(&self, lease: &Lease, effects: &Effects) -> bool {
        if !runs_alone(lease.losses) || is_poison(lease.losses) {
            return false;
        }
        let digest = self.runs.get(lease.key.run).map(|run| &run.def.digest);
        let claimed = effects.attempts.iter().map(|(held, _)| held);
        let mut held = self.leases.iter().chain(claimed);
        held.any(|held| held.digest.as_ref() == digest && runs_alone(held.lease.losses))
    }

    /// Puts a task back that is to be executed alone, behind `ahead` others. The reason why it was lost stays.
    fn await_turn(&self, lease: &Lease, ahead: i64) -> ResolvedTask {
        let run = self.runs.get(lease.key.run);
        let last = run.map_or_else(String::new, |run| run.tasks[lease.key.idx as usize].error.clone());
        let mut task = unexecuted(lease, TaskState::Ready, last);
        task.update.due_at = lease.started_at + PUT_BACK_MS * ahead.min(MAX_AHEAD);
        task
    }

    /// Makes an attempt of a claimed task.
    fn prepare(&mut self, lease: Lease, effects: &mut Effects) {
        let key = lease.key;
        let Some(run) = self.runs.get_mut(key.run) else { return };
        let idx = key.idx as usize;
        run.tasks[idx].state = TaskState::Running;
        run.tasks[idx].attempts = lease.attempt;
        let context = run.context_of(idx).to_frame();
        let (task, digest) = (&run.def.tasks[idx], run.def.digest.clone());
        effects.progress.push(ProgressEvent::new(key, lease.attempt, TaskState::Running, None));
        let number = u32::try_from(lease.attempt).unwrap_or(u32::MAX);
        let own_number = u32::try_from(lease.attempt - lease.losses.total).unwrap_or(1);
        let held = HeldLease { lease, digest: Some(digest.clone()), has_slot: true, cancelled: false };
        if let Some(message) = refusal(&held.lease, context.len(), &run.tasks[idx].error) {
            let outcome = AttemptOutcome::Failed(AttemptFailure::permanent(message));
            effects.ended.push((held, outcome));
            return;
        }
        let attempt = Attempt {
            lease: self.leases.issue_id(),
            run: key.run,
            task: task.id.clone(),
            index: task.index,
            number,
            own_number,
            digest,
            deadline_ms: run.def.task_timeout_ms.unwrap_or(0),
            alone: runs_alone(held.lease.losses),
            context,
        };
        effects.attempts.push((held, attempt));
    }
}

/// Why a claimed task is not executed and fails; `last` is why its last attempt was lost.
fn refusal(lease: &Lease, bytes: usize, last: &str) -> Option<String> {
    if is_poison(lease.losses) {
        let Losses { alone, .. } = lease.losses;
        return Some(format!("given up: {alone} attempts were lost with nothing else beside them ({last})"));
    }
    let too_large = bytes > MAX_CONTEXT_BYTES;
    too_large
        .then(|| format!("its context has {bytes} bytes, over the limit of {MAX_CONTEXT_BYTES} (LS0604)"))
}

/// The end of a lease without an attempt.
fn unexecuted(lease: &Lease, state: TaskState, error: String) -> ResolvedTask {
    let update = TaskUpdate {
        key: lease.key,
        token: lease.token,
        state,
        losses: lease.losses,
        attempt_reverted: 1,
        due_at: 0,
        error: Some(error),
        patch: None,
    };
    ResolvedTask { update, blocks_dependants: false, attempt: lease.attempt - 1, patch: None, record: None }
}

fn skip(lease: &Lease, reason: String, blocks_dependants: bool) -> ResolvedTask {
    ResolvedTask { blocks_dependants, ..unexecuted(lease, TaskState::Skipped, reason) }
}

/// A task that was claimed and not handed over: it is ready at once.
pub(super) fn never_began(lease: &Lease) -> ResolvedTask {
    unexecuted(lease, TaskState::Ready, "its claim was not confirmed".to_owned())
}

/// A task that cannot run yet, whose definition is not loaded any more, or whose run ended in this transaction: for the
/// last this changes nothing, because the task is not running.
fn put_back(lease: &Lease, reason: &str) -> ResolvedTask {
    let mut task = unexecuted(lease, TaskState::Ready, reason.to_owned());
    task.update.due_at = lease.started_at + PUT_BACK_MS;
    task
}
