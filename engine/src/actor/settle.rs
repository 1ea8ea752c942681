//! Outcomes to rows: the task, its attempt, its dependants, its run.

use super::{Actor, Held};
use crate::actor::cache::RunCache;
use crate::actor::transact::{Change, Effects};
use crate::context::Patch;
use crate::decide::{AfterFailure, after_failure, after_loss, is_poison};
use crate::packages::{AttemptFailure, AttemptOutcome};
use longshore_store::{
    Error as StoreError, EventRow, NewAttempt, Resolution, RunCounts, RunId, RunRow, RunState, TaskKey,
    TaskRow, TaskState, TaskUpdate, Tx,
};
use std::collections::HashMap;
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
}

impl Actor {
    /// Turns ended attempts into rows.
    pub(super) async fn commit_outcomes(
        &mut self,
        tx: &mut Tx,
        now: i64,
        effects: &mut Effects,
    ) -> Result<(), StoreError> {
        if self.ended.is_empty() {
            return Ok(());
        }
        let runs: Vec<RunId> =
            self.ended.iter().filter(|(held, _)| !held.cancelled).map(|(held, _)| held.key.run).collect();
        self.load_missing(tx, runs.into_iter(), now, effects).await?;
        let mut attempts = Vec::with_capacity(self.ended.len());
        let mut settled = Vec::with_capacity(self.ended.len());
        for (held, outcome) in &self.ended {
            attempts.extend(attempt_row(held, outcome, now));
            if !held.cancelled {
                settled.push(self.settle_one(held, outcome, now));
            }
        }
        NewAttempt::insert(tx, &attempts).await?;
        self.settle(tx, settled, now, effects).await
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
        now: i64,
        effects: &mut Effects,
    ) -> Result<(), StoreError> {
        let by_key: HashMap<TaskKey, &Settled> = settled.iter().map(|s| (s.update.key, s)).collect();
        let updates: Vec<TaskUpdate> = settled.iter().map(|s| s.update.clone()).collect();
        let applied = TaskUpdate::apply(tx, &updates, now).await?;
        let mut dependants: HashMap<TaskKey, Resolution> = HashMap::new();
        let mut closed: HashMap<RunId, RunCounts> = HashMap::new();
        for key in applied {
            let Some(settled) = by_key.get(&key) else { continue };
            effects.touched.insert(key.run);
            effects.changes.push(Change {
                key,
                attempt: settled.attempt,
                state: settled.update.state,
                message: settled.update.error.clone(),
            });
            self.remember(settled);
            if settled.update.state == TaskState::Ready {
                let due = settled.update.due_at;
                self.next_due = Some(self.next_due.map_or(due, |next| next.min(due)));
            }
            if settled.update.state.is_terminal() {
                let counts = closed.entry(key.run).or_insert(RunCounts { open: 0, failed: 0 });
                counts.open += 1;
                counts.failed += i64::from(settled.update.state == TaskState::Failed);
                self.resolve_dependants(settled, &mut dependants);
            }
        }
        self.may_be_ready |= !dependants.is_empty();
        TaskRow::resolve(tx, &dependants, now).await?;
        let left = RunRow::count_down(tx, &closed, now).await?;
        self.finish_runs(tx, &left, now, effects).await
    }

    fn remember(&mut self, settled: &Settled) {
        let key = settled.update.key;
        if let Some(run) = self.runs.get_mut(&key.run)
            && let Some(task) = run.tasks.get_mut(key.idx as usize)
        {
            task.state = settled.update.state;
            task.attempts = settled.attempt;
            task.error = settled.update.error.clone().unwrap_or_default();
            task.patch = settled.patch.clone();
        }
    }

    fn resolve_dependants(&self, settled: &Settled, dependants: &mut HashMap<TaskKey, Resolution>) {
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
    ) -> Result<(), StoreError> {
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
        RunRow::finish(tx, &failed, now).await
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
