//! Outcomes to rows: the task, its attempt, its dependants, its run.

use super::Writer;
use super::effects::{Abort, Effects, PUT_BACK_MS, ProgressEvent};
use super::lease_table::HeldLease;
use super::record::{MAX_ERROR, attempt_row};
use super::run_cache::{CachedRun, Conflict, Missing};
use crate::decide::{AfterFailure, RunVerdict, after_failure, after_loss, pause_after_loss};
use crate::model::attempt::{AttemptFailure, AttemptOutcome};
use crate::model::context::Patch;
use longshore_store::{
    Claim, EndedRun, EventKind, EventRow, Lease, Losses, NewAttempt, NewEvent, Resolution, RunCounts, RunId,
    RunRow, RunState, Subject, Success, TaskKey, TaskState, TaskUpdate, Tx, clip,
};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

/// Conflicts of a run that are recorded one by one.
const MAX_CONFLICTS_TOLD: usize = 20;

/// A task whose lease ends, with what that means beyond its row.
pub(super) struct ResolvedTask {
    pub(super) update: TaskUpdate,
    /// True when dependants under the default rule are not to run.
    pub(super) blocks_dependants: bool,
    pub(super) attempt: i64,
    pub(super) patch: Option<Arc<Patch>>,
    /// The record of the attempt; none for one that is reverted. A success is recorded from its task's row.
    pub(super) record: Option<NewAttempt>,
}

impl Writer {
    /// Turns ended attempts into rows. Returns leases of the tasks that became ready by that, as far as there are slots.
    pub(super) async fn commit_outcomes(
        &mut self,
        tx: &mut Tx,
        claim: Claim,
        effects: &mut Effects,
    ) -> Result<Vec<Lease>, Abort> {
        if self.ended.is_empty() {
            return Ok(Vec::new());
        }
        // In the order of the tables' keys: neighbours lie on the same page.
        self.ended.sort_unstable_by_key(|(held, _)| held.lease.key);
        let open = self.ended.iter().filter(|(held, _)| !held.cancelled);
        let runs: Vec<RunId> = open.map(|(held, _)| held.lease.key.run).collect();
        let Missing { undefined, cancelling, .. } =
            self.load_missing(tx, runs.into_iter(), claim.now, effects).await?;
        let is_cancelled =
            |run: RunId| cancelling.contains(&run) || self.runs.get(run).is_some_and(|run| run.over);
        let (cancelled, ended): (Vec<_>, Vec<_>) =
            self.ended.iter().partition(|(held, _)| held.cancelled || is_cancelled(held.lease.key.run));
        self.commit_cancelled(tx, &cancelled, claim.now, effects).await?;
        let mut resolved = Vec::with_capacity(ended.len());
        for (held, outcome) in ended {
            let task = self.resolve(held, outcome, claim.now);
            // Its dependants are not known here: they would wait for ever.
            if task.update.state.is_terminal() && undefined.contains(&held.lease.key.run) {
                effects.parked.push((held.clone(), outcome.clone()));
            } else {
                resolved.push(task);
            }
        }
        self.commit_resolved(tx, resolved, claim, effects).await
    }

    /// True when this is written with all other successes, and expected to be held still.
    fn is_success(&self, resolved: &ResolvedTask) -> bool {
        let is_open = |run: &CachedRun| !run.over;
        resolved.update.state == TaskState::Succeeded
            && !self.bypass_cache
            && self.runs.get(resolved.update.key.run).is_some_and(is_open)
    }

    fn resolve(&self, held: &HeldLease, outcome: &AttemptOutcome, now: i64) -> ResolvedTask {
        let lease = &held.lease;
        let update = TaskUpdate {
            key: lease.key,
            token: lease.token,
            state: TaskState::Succeeded,
            losses: lease.losses,
            attempt_reverted: 0,
            due_at: 0,
            error: None,
            patch: None,
        };
        let mut resolved = ResolvedTask {
            update,
            blocks_dependants: false,
            attempt: lease.attempt,
            patch: None,
            record: None,
        };
        match outcome {
            AttemptOutcome::Done(frame) => match Patch::from_frame(frame) {
                Ok(patch) => {
                    resolved.update.patch = patch.to_json();
                    resolved.patch = resolved.update.patch.is_some().then(|| Arc::new(patch));
                }
                Err(error) => {
                    self.fail(lease, &AttemptFailure::permanent(error.to_string()), now, &mut resolved);
                }
            },
            AttemptOutcome::Failed(failure) => self.fail(lease, failure, now, &mut resolved),
            AttemptOutcome::Cancelled => {
                // The host stopped it: it is not the task's doing.
                resolved.update.state = TaskState::Ready;
                resolved.update.losses.total += 1;
            }
            AttemptOutcome::NeverBegan(reason) => {
                resolved.update.state = TaskState::Ready;
                resolved.update.attempt_reverted = 1;
                resolved.update.due_at = now.saturating_add(PUT_BACK_MS);
                resolved.update.error = Some(clip(reason.clone(), MAX_ERROR));
            }
            AttemptOutcome::Lost { reason, alone } => {
                self.lose(lease, (reason, *alone), now, &mut resolved);
            }
        }
        // One that is taken back does not count, in memory as in the row.
        resolved.attempt -= resolved.update.attempt_reverted;
        if !self.is_success(&resolved) {
            resolved.record = attempt_row(held, outcome, now);
        }
        resolved
    }

    fn fail(&self, lease: &Lease, failure: &AttemptFailure, now: i64, resolved: &mut ResolvedTask) {
        resolved.update.error = Some(clip(failure.text(), MAX_ERROR));
        let run = self.runs.get(lease.key.run);
        // It ended by itself: nothing that was lost before is its doing.
        resolved.update.losses = Losses { total: lease.losses.total, ..Losses::default() };
        let next = run.map_or(AfterFailure::Fail, |run| {
            let policy = &run.def.tasks[lease.key.idx as usize].retry;
            after_failure(policy, failure, lease.attempt, lease.losses.total, self.rng.draw())
        });
        match next {
            AfterFailure::Retry(delay) => {
                let delay = i64::try_from(delay.as_millis()).unwrap_or(i64::MAX);
                resolved.update.state = TaskState::Ready;
                resolved.update.due_at = now.saturating_add(delay);
            }
            AfterFailure::Fail => {
                resolved.update.state = TaskState::Failed;
                resolved.blocks_dependants = true;
            }
        }
    }

    fn lose(&self, lease: &Lease, (reason, alone): (&str, bool), now: i64, resolved: &mut ResolvedTask) {
        let update = &mut resolved.update;
        update.losses = after_loss(lease.losses, alone, now.saturating_sub(lease.started_at));
        update.state = TaskState::Ready;
        update.error = Some(clip(reason.to_owned(), MAX_ERROR));
        // Attempts that were lost together are tried again apart: one of them may take the others with it.
        let pause = pause_after_loss(lease.losses, self.rng.draw());
        update.due_at = if pause == 0 { 0 } else { now.saturating_add(pause) };
    }

    /// Writes updates, resolves dependants, counts runs down, and ends those that have nothing left. Returns leases of
    /// the tasks that became ready by that, as far as there are slots.
    pub(super) async fn commit_resolved(
        &mut self,
        tx: &mut Tx,
        resolved: Vec<ResolvedTask>,
        claim: Claim,
        effects: &mut Effects,
    ) -> Result<Vec<Lease>, Abort> {
        let mut dependants: BTreeMap<TaskKey, Resolution> = BTreeMap::new();
        let mut closed: BTreeMap<RunId, RunCounts> = BTreeMap::new();
        for task in self.write(tx, resolved, claim.now, effects).await? {
            let TaskUpdate { key, state, due_at, .. } = task.update;
            effects.touched.insert(key.run);
            effects.progress.push(ProgressEvent::new(key, task.attempt, state, task.update.error.clone()));
            match (state, due_at, self.runs.get(key.run)) {
                (TaskState::Ready, 0, Some(run)) => self.ready.push(run.def.queue, key),
                (TaskState::Ready, 0, None) => self.ready.mark_incomplete(),
                (TaskState::Ready, due, _) => self.ready.put_back(due),
                _ => {}
            }
            if state.is_terminal() {
                let counts = closed.entry(key.run).or_insert(RunCounts { open: 0, failed: 0 });
                counts.open += 1;
                counts.failed += i64::from(state == TaskState::Failed);
                self.note_dependants(&task, &mut dependants);
            }
            self.remember(task);
        }
        let claimed = self.resolve_dependants(tx, dependants, claim, effects).await?;
        let left = RunRow::count_down(tx, &closed, claim.now).await?;
        self.finish_runs(tx, &left, claim.now, effects).await?;
        Ok(claimed)
    }

    /// Writes updates. Returns those whose lease was still held; the others are fenced off.
    async fn write(
        &mut self,
        tx: &mut Tx,
        resolved: Vec<ResolvedTask>,
        now: i64,
        effects: &mut Effects,
    ) -> Result<Vec<ResolvedTask>, Abort> {
        let (mut written, others): (Vec<_>, Vec<_>) = resolved.into_iter().partition(|s| self.is_success(s));
        let success = |task: &ResolvedTask| Success {
            key: task.update.key,
            token: task.update.token,
            patch: task.update.patch.clone(),
        };
        let successes: Vec<Success> = written.iter().map(success).collect();
        effects.touched.extend(successes.iter().map(|success| success.key.run));
        self.expect(Success::commit(tx, &successes, now).await?, successes.len())?;
        let updates: Vec<TaskUpdate> = others.iter().map(|task| task.update.clone()).collect();
        let applied: HashSet<_> = TaskUpdate::apply(tx, &updates, now).await?.into_iter().collect();
        let mut attempts = Vec::new();
        for mut task in others {
            if applied.contains(&(task.update.key, task.update.token)) {
                attempts.extend(task.record.take());
                written.push(task);
            }
        }
        NewAttempt::insert(tx, &attempts).await?;
        Ok(written)
    }

    /// Resolves dependencies of dependants. Those that wait for nothing more are claimed at once, as far as there are
    /// slots.
    async fn resolve_dependants(
        &mut self,
        tx: &mut Tx,
        dependants: BTreeMap<TaskKey, Resolution>,
        claim: Claim,
        effects: &Effects,
    ) -> Result<Vec<Lease>, Abort> {
        let catalog = self.packages.catalog();
        let limit = self.eager_claim_limit(0, effects);
        let mut leases: Vec<Lease> = Vec::new();
        let (mut taken, mut others) = (Vec::new(), Vec::new());
        for (key, resolution) in dependants {
            let Some(run) = self.runs.get_mut(key.run).filter(|run| !run.over) else { continue };
            let task = &mut run.tasks[key.idx as usize];
            task.waiting -= resolution.resolved;
            task.upstream_failed += resolution.upstream_failed;
            let is_ready = task.waiting == 0;
            if is_ready && leases.len() < limit && catalog.digests.contains(&run.def.digest) {
                leases.push(claim.lease(key, task.attempts + 1, task.upstream_failed));
                taken.push((key, resolution));
                continue;
            }
            if is_ready {
                task.state = TaskState::Ready;
                self.ready.push(run.def.queue, key);
            }
            others.push((key, resolution));
        }
        self.expect(claim.take_resolved(tx, &taken).await?, taken.len())?;
        let changed = Resolution::apply(tx, &others).await?;
        if !self.bypass_cache {
            self.expect(changed, others.len())?;
        }
        Ok(leases)
    }

    fn remember(&mut self, resolved: ResolvedTask) {
        let key = resolved.update.key;
        self.runs.change_task(key, |task| {
            task.state = resolved.update.state;
            task.attempts = resolved.attempt;
            task.was_lost = resolved.update.losses.total > 0;
            task.error = resolved.update.error.unwrap_or_default();
            task.patch = resolved.patch;
        });
    }

    fn note_dependants(&self, resolved: &ResolvedTask, dependants: &mut BTreeMap<TaskKey, Resolution>) {
        let key = resolved.update.key;
        let Some(run) = self.runs.get(key.run) else { return };
        for &dependant in &run.def.tasks[key.idx as usize].dependants {
            let resolution = dependants.entry(TaskKey { run: key.run, idx: dependant as i64 }).or_default();
            resolution.resolved += 1;
            resolution.upstream_failed += i64::from(resolved.blocks_dependants);
        }
    }

    async fn finish_runs(
        &mut self,
        tx: &mut Tx,
        left: &HashMap<RunId, RunCounts>,
        now: i64,
        effects: &mut Effects,
    ) -> Result<(), Abort> {
        let (mut failed, mut notes) = (Vec::new(), Vec::new());
        for (id, counts) in left.iter().filter(|(_, counts)| counts.open <= 0) {
            let run = self.runs.get(*id);
            let mut ended = RunState::Succeeded;
            if counts.failed > 0 {
                let unknown = RunVerdict { state: RunState::Failed, error: None, skipped: Vec::new() };
                let verdict = run.map_or(unknown, CachedRun::end);
                notes.extend(skipped_message(&verdict.skipped).map(|m| (*id, EventKind::SkippedTasks, m)));
                ended = verdict.state;
                let skipped_tasks = verdict.skipped.len() as i64;
                failed.push(EndedRun { run: *id, state: verdict.state, error: verdict.error, skipped_tasks });
            }
            effects.finished.push((*id, ended));
            let conflicts = conflict_messages(&run.map(CachedRun::conflicts).unwrap_or_default());
            notes.extend(conflicts.into_iter().map(|message| (*id, EventKind::ContextConflict, message)));
        }
        let events: Vec<NewEvent<'_>> = notes
            .iter()
            .map(|(run, kind, message)| NewEvent { subject: Subject::Run(*run), kind: *kind, message })
            .collect();
        EventRow::append_all(tx, &events, now).await?;
        RunRow::finish(tx, &failed, now).await?;
        Ok(())
    }
}

/// The message for tasks that were skipped because something above them failed.
fn skipped_message(tasks: &[String]) -> Option<String> {
    let (first, more) = (tasks.first()?, tasks.len() - 1);
    let others = if more == 0 { String::new() } else { format!(" and {more} more") };
    Some(format!("`{first}`{others} skipped: a task above failed"))
}

/// Messages for the conflicts of a run: the first of them, and how many more there are.
fn conflict_messages(conflicts: &[Conflict<'_>]) -> Vec<String> {
    let message = |Conflict { key, overruled, winner }: &Conflict<'_>| {
        format!("`{overruled}` and `{winner}` both changed `{key}`; `{winner}` comes later and won")
    };
    let mut messages: Vec<String> = conflicts.iter().take(MAX_CONFLICTS_TOLD).map(message).collect();
    if let Some(more) = conflicts.len().checked_sub(MAX_CONFLICTS_TOLD).filter(|more| *more > 0) {
        messages.push(format!("{more} more changes were overruled by later tasks"));
    }
    messages
}
