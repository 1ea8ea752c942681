//! Outcomes to rows: the task, its attempt, its dependants, its run.

use super::{Actor, Held};
use crate::actor::cache::RunCache;
use crate::actor::transact::{Change, Effects, Undone};
use crate::context::Patch;
use crate::decide::{AfterFailure, after_failure, after_loss, is_poison};
use crate::packages::{AttemptFailure, AttemptOutcome};
use longshore_store::{
    Claim, Claimed, EventRow, NewAttempt, Resolution, RunCounts, RunId, RunRow, RunState, Success, TaskKey,
    TaskState, TaskUpdate, Tx,
};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

/// Longest error that is recorded of an attempt, in bytes.
const MAX_ERROR: usize = 64 * 1024;

/// A task update with what it means beyond its row.
pub(super) struct Settled {
    pub(super) update: TaskUpdate,
    /// Whether dependants under the default rule are not to run.
    pub(super) taints: bool,
    pub(super) attempt: i64,
    pub(super) patch: Option<Arc<Patch>>,
    /// The record of the attempt, none for one that is taken back. A success is recorded from its task's row.
    pub(super) record: Option<NewAttempt>,
}

impl Actor {
    /// Turns ended attempts into rows.
    pub(super) async fn commit_outcomes(
        &mut self,
        tx: &mut Tx,
        claim: Claim,
        effects: &mut Effects,
    ) -> Result<(), Undone> {
        if self.ended.is_empty() {
            return Ok(());
        }
        // In the order of the tables' keys: neighbours lie on the same page.
        self.ended.sort_unstable_by_key(|(held, _)| held.key);
        let runs: Vec<RunId> =
            self.ended.iter().filter(|(held, _)| !held.cancelled).map(|(held, _)| held.key.run).collect();
        self.load_missing(tx, runs.into_iter(), claim.now, effects).await?;
        let (cancelled, ended): (Vec<_>, Vec<_>) = self.ended.iter().partition(|(held, _)| held.cancelled);
        let record = |(held, outcome): &(Held, AttemptOutcome)| attempt_row(held, outcome, claim.now);
        let cancelled: Vec<NewAttempt> = cancelled.into_iter().filter_map(record).collect();
        NewAttempt::insert(tx, &cancelled).await?;
        let settled = ended.into_iter().map(|(held, outcome)| self.settle_one(held, outcome, claim.now));
        let settled = settled.collect();
        self.settle(tx, settled, claim, effects).await
    }

    /// Whether this is written with all other successes, and expected to be held still.
    fn is_success(&self, settled: &Settled) -> bool {
        let is_open = |run: &RunCache| !run.over;
        settled.update.state == TaskState::Succeeded
            && !self.careful
            && self.runs.get(&settled.update.key.run).is_some_and(is_open)
    }

    fn settle_one(&self, held: &Held, outcome: &AttemptOutcome, now: i64) -> Settled {
        let mut settled = Settled {
            update: TaskUpdate {
                key: held.key,
                token: held.token,
                state: TaskState::Succeeded,
                lost: 0,
                unbegun: 0,
                due_at: now,
                error: None,
                patch: None,
            },
            taints: false,
            attempt: held.attempt,
            patch: None,
            record: None,
        };
        match outcome {
            AttemptOutcome::Done(frame) => match Patch::from_frame(frame) {
                Ok(patch) => {
                    settled.update.patch = patch.to_json();
                    settled.patch = settled.update.patch.is_some().then(|| Arc::new(patch));
                }
                Err(error) => {
                    let failure = AttemptFailure {
                        message: error.to_string(),
                        permanent: true,
                        ..AttemptFailure::default()
                    };
                    self.settle_failure(held, &failure, now, &mut settled);
                }
            },
            AttemptOutcome::Failed(failure) => self.settle_failure(held, failure, now, &mut settled),
            AttemptOutcome::Cancelled => {
                settled.update.state = TaskState::Ready;
                settled.update.unbegun = 1;
            }
            AttemptOutcome::Lost(reason) => {
                settled.update.lost = 1;
                // Without the definition nobody can tell the dependants: then it is the next host's turn.
                if is_poison(held.lost + 1) && self.runs.contains_key(&held.key.run) {
                    settled.update.state = TaskState::Failed;
                    settled.update.error =
                        Some(cut(format!("given up: {} attempts were lost ({reason})", held.lost + 1)));
                    settled.taints = true;
                } else {
                    settled.update.state = TaskState::Ready;
                    settled.update.error = Some(cut(reason.clone()));
                    // What was lost together is tried again apart: one of them may take the others with it.
                    settled.update.due_at = now.saturating_add(after_loss(held.lost, rand::random()));
                }
            }
        }
        if !self.is_success(&settled) {
            settled.record = attempt_row(held, outcome, now);
        }
        settled
    }

    fn settle_failure(&self, held: &Held, failure: &AttemptFailure, now: i64, settled: &mut Settled) {
        let text =
            std::iter::once(&failure.message).chain(&failure.causes).cloned().collect::<Vec<_>>().join(": ");
        settled.update.error = Some(cut(text));
        let policy = self.runs.get(&held.key.run).map(|run| &run.def.tasks[held.key.idx as usize].retry);
        let next = policy.map_or(AfterFailure::Fail, |policy| {
            after_failure(policy, failure, held.attempt, held.lost, rand::random())
        });
        match next {
            AfterFailure::Retry(delay) => {
                settled.update.state = TaskState::Ready;
                settled.update.due_at =
                    now.saturating_add(i64::try_from(delay.as_millis()).unwrap_or(i64::MAX));
            }
            AfterFailure::Fail => {
                settled.update.state = TaskState::Failed;
                settled.taints = true;
            }
        }
    }

    /// Writes updates, tells dependants, counts runs down, and ends those that have nothing left.
    pub(super) async fn settle(
        &mut self,
        tx: &mut Tx,
        settled: Vec<Settled>,
        claim: Claim,
        effects: &mut Effects,
    ) -> Result<(), Undone> {
        let mut dependants: BTreeMap<TaskKey, Resolution> = BTreeMap::new();
        let mut closed: BTreeMap<RunId, RunCounts> = BTreeMap::new();
        for settled in self.write(tx, settled, claim.now).await? {
            let key = settled.update.key;
            effects.touched.insert(key.run);
            effects.changes.push(Change {
                key,
                attempt: settled.attempt,
                state: settled.update.state,
                message: settled.update.error.clone(),
            });
            if settled.update.state == TaskState::Ready {
                let due = settled.update.due_at;
                self.next_due = Some(self.next_due.map_or(due, |next| next.min(due)));
            }
            if settled.update.state.is_terminal() {
                let counts = closed.entry(key.run).or_insert(RunCounts { open: 0, failed: 0 });
                counts.open += 1;
                counts.failed += i64::from(settled.update.state == TaskState::Failed);
                self.resolve_dependants(&settled, &mut dependants);
            }
            self.remember(settled);
        }
        self.resolve(tx, dependants, claim, effects).await?;
        let left = RunRow::count_down(tx, &closed, claim.now).await?;
        self.finish_runs(tx, &left, claim.now, effects).await
    }

    /// Writes updates. Returns those whose claim was still held; the others are fenced off.
    async fn write(&mut self, tx: &mut Tx, settled: Vec<Settled>, now: i64) -> Result<Vec<Settled>, Undone> {
        let (mut written, others): (Vec<_>, Vec<_>) = settled.into_iter().partition(|s| self.is_success(s));
        let success = |settled: &Settled| Success {
            key: settled.update.key,
            token: settled.update.token,
            patch: settled.update.patch.clone(),
        };
        let successes: Vec<Success> = written.iter().map(success).collect();
        self.expect(Success::commit(tx, &successes, now).await?, successes.len())?;
        let updates: Vec<TaskUpdate> = others.iter().map(|s| s.update.clone()).collect();
        let applied: HashSet<TaskKey> = TaskUpdate::apply(tx, &updates, now).await?.into_iter().collect();
        let mut attempts = Vec::new();
        for mut settled in others {
            let key = settled.update.key;
            let is_applied = applied.contains(&key);
            // Its run may have ended in this transaction, before it did: it was executed all the same.
            if is_applied || self.runs.get(&key.run).is_some_and(|run| run.over) {
                attempts.extend(settled.record.take());
            }
            written.extend(is_applied.then_some(settled));
        }
        NewAttempt::insert(tx, &attempts).await?;
        Ok(written)
    }

    /// Tells dependants. Those that wait for nothing more are taken at once as far as there are slots.
    async fn resolve(
        &mut self,
        tx: &mut Tx,
        dependants: BTreeMap<TaskKey, Resolution>,
        claim: Claim,
        effects: &mut Effects,
    ) -> Result<(), Undone> {
        let catalog = self.packages.catalog();
        let mut room = self.may_take(effects);
        let (mut taken, mut told) = (Vec::new(), Vec::new());
        for (key, resolution) in dependants {
            let Some(run) = self.runs.get_mut(&key.run).filter(|run| !run.over) else { continue };
            let task = &mut run.tasks[key.idx as usize];
            task.waiting -= resolution.resolved;
            task.tainted += resolution.tainted;
            if task.waiting == 0 && room > 0 && catalog.digests.contains(&run.def.digest) {
                room -= 1;
                let (attempt, tainted) = (task.attempts + 1, task.tainted);
                effects.claimed.push(Claimed { key, attempt, lost: 0, tainted });
                taken.push((key, resolution));
                continue;
            }
            if task.waiting == 0 {
                task.state = TaskState::Ready;
                if !self.may_be_ready {
                    self.ready.insert((claim.now, key));
                }
            }
            told.push((key, resolution));
        }
        self.expect(claim.take_resolved(tx, &taken).await?, taken.len())?;
        let changed = Resolution::apply(tx, &told, claim.now).await?;
        if self.careful { Ok(()) } else { self.expect(changed, told.len()) }
    }

    fn remember(&mut self, settled: Settled) {
        let key = settled.update.key;
        if let Some(run) = self.runs.get_mut(&key.run)
            && let Some(task) = run.tasks.get_mut(key.idx as usize)
        {
            task.state = settled.update.state;
            task.attempts = settled.attempt;
            task.error = settled.update.error.unwrap_or_default();
            task.patch = settled.patch;
        }
    }

    fn resolve_dependants(&self, settled: &Settled, dependants: &mut BTreeMap<TaskKey, Resolution>) {
        let key = settled.update.key;
        let Some(run) = self.runs.get(&key.run) else { return };
        for &dependant in &run.def.tasks[key.idx as usize].dependants {
            let resolution = dependants.entry(TaskKey { run: key.run, idx: dependant as i64 }).or_default();
            resolution.resolved += 1;
            resolution.tainted += i64::from(settled.taints);
        }
    }

    async fn finish_runs(
        &mut self,
        tx: &mut Tx,
        left: &HashMap<RunId, RunCounts>,
        now: i64,
        effects: &mut Effects,
    ) -> Result<(), Undone> {
        let mut failed = Vec::new();
        for (id, counts) in left.iter().filter(|(_, counts)| counts.open <= 0) {
            let run = self.runs.get(id);
            let mut ended = RunState::Succeeded;
            if counts.failed > 0 {
                let (state, error) = run.map_or((RunState::Failed, None), RunCache::end);
                ended = state;
                failed.push((*id, state, error));
            }
            effects.finished.push((*id, ended));
            for (key, overruled, winner) in run.map(RunCache::conflicts).unwrap_or_default() {
                let message = format!(
                    "`{overruled}` and `{winner}` both changed `{key}`; `{winner}` comes later and won"
                );
                EventRow::append(tx, &format!("run/{id}"), "context_conflict", &message, now).await?;
            }
        }
        RunRow::finish(tx, &failed, now).await?;
        Ok(())
    }
}

/// An error's text as databases take it: not too long, and without the NUL that PostgreSQL refuses.
fn cut(mut text: String) -> String {
    text.truncate(text.floor_char_boundary(MAX_ERROR));
    if text.contains('\0') { text.replace('\0', "\u{fffd}") } else { text }
}

/// The record of an attempt; none for one that is taken back.
fn attempt_row(held: &Held, outcome: &AttemptOutcome, now: i64) -> Option<NewAttempt> {
    let (word, error) = match outcome {
        AttemptOutcome::Done(_) => ("succeeded", None),
        AttemptOutcome::Failed(failure) => ("failed", Some(failure_json(failure))),
        AttemptOutcome::Cancelled if held.cancelled => ("cancelled", None),
        AttemptOutcome::Cancelled => return None,
        AttemptOutcome::Lost(reason) => ("lost", Some(serde_json::json!({ "message": reason }).to_string())),
    };
    Some(NewAttempt {
        key: held.key,
        attempt: held.attempt,
        host: held.host.clone(),
        started_at: held.started_at,
        finished_at: now,
        outcome: word,
        error,
    })
}

fn failure_json(failure: &AttemptFailure) -> String {
    let mut json = serde_json::json!({ "message": cut(failure.message.clone()) });
    if !failure.causes.is_empty() {
        json["causes"] = failure.causes.iter().cloned().map(cut).collect();
    }
    for (key, set) in [("panicked", failure.panicked), ("timed_out", failure.timed_out)] {
        if set {
            json[key] = true.into();
        }
    }
    if !failure.backtrace.is_empty() {
        json["backtrace"] = cut(failure.backtrace.clone()).into();
    }
    json.to_string()
}
