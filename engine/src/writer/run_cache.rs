//! Open runs in memory: the states, patches and definitions that the next step is decided from.

use crate::decide::{RunVerdict, TaskEnd, run_end};
use crate::model::context::{ContextMap, Patch};
use crate::model::definition::WorkflowDef;
use longshore_store::{
    Digest, Error as StoreError, NewRun, RunId, RunRow, RunState, TaskKey, TaskRow, TaskState, Tx, clip,
};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use tokio::sync::oneshot;

/// Longest list of tasks in an error, in bytes.
const MAX_NAMED: usize = 1024;

/// Percent of the limit that eviction leaves, so that it does not happen for each new run.
const LEFT_PERCENT: usize = 75;

/// A run that is not over.
pub(super) struct CachedRun {
    /// It ended in this transaction: nothing of it is claimed or resolved any more.
    pub(super) over: bool,
    pub(super) def: Arc<WorkflowDef>,
    pub(super) input: ContextMap,
    pub(super) tasks: Vec<CachedTask>,
}

/// A task of an open run.
pub(super) struct CachedTask {
    pub(super) state: TaskState,
    /// Dependencies that are not terminal.
    pub(super) waiting: i64,
    /// Dependencies whose failure keeps the default rule from holding.
    pub(super) upstream_failed: i64,
    pub(super) attempts: i64,
    /// An attempt of it was lost: its row says more than this.
    pub(super) was_lost: bool,
    pub(super) error: String,
    pub(super) patch: Option<Arc<Patch>>,
}

impl CachedRun {
    /// A run as it is started.
    pub(super) fn started(run: &NewRun, def: Arc<WorkflowDef>) -> Self {
        // The engine wrote this text a moment ago.
        let input = ContextMap::from_json(&run.input).unwrap_or_default();
        let tasks =
            def.tasks.iter().map(|task| CachedTask::waiting(task.dependencies.len() as i64)).collect();
        Self { over: false, tasks, def, input }
    }

    fn recorded(row: &RunRow, tasks: Vec<TaskRow>, def: Arc<WorkflowDef>) -> Result<Self, StoreError> {
        let input = ContextMap::from_json(&row.input).map_err(|_| StoreError::BadRow {
            table: "runs",
            key: row.id.to_string(),
            column: "input".into(),
            value: row.input.clone(),
        })?;
        // Its tasks are told apart by their places: a place with another task would run the wrong one.
        if !tasks.iter().map(|task| &task.id).eq(def.tasks.iter().map(|task| &task.id)) {
            let ids: Vec<&str> = tasks.iter().map(|task| task.id.as_str()).collect();
            let (key, value) = (row.id.to_string(), clip(ids.join(", "), MAX_NAMED));
            return Err(StoreError::BadRow { table: "tasks", key, column: "id".into(), value });
        }
        let tasks = tasks.into_iter().map(CachedTask::recorded).collect::<Result<_, _>>()?;
        Ok(Self { over: false, def, input, tasks })
    }

    /// Its tasks that are ready.
    pub(super) fn ready(&self, run: RunId) -> impl Iterator<Item = TaskKey> {
        let ready = self.tasks.iter().enumerate().filter(|(_, task)| task.state == TaskState::Ready);
        ready.map(move |(idx, _)| TaskKey { run, idx: idx as i64 })
    }

    /// The memory that it takes, about.
    fn bytes(&self) -> usize {
        let tasks: usize = self.tasks.iter().map(|task| size_of::<CachedTask>() + task.bytes()).sum();
        size_of::<Self>() + self.input.bytes() + tasks
    }

    /// The context a task sees: the start context and the patches of everything above it, in order.
    pub(super) fn context_of(&self, idx: usize) -> ContextMap {
        let mut context = self.input.clone();
        for above in self.def.tasks[idx].ancestors.ones() {
            if let Some(patch) = &self.tasks[above].patch {
                context.apply(patch);
            }
        }
        context
    }

    /// The end of the run once its tasks are terminal.
    pub(super) fn end(&self) -> RunVerdict {
        let end = |t: &CachedTask| TaskEnd { state: t.state, attempts: t.attempts, error: t.error.clone() };
        run_end(&self.def, &self.tasks.iter().map(end).collect::<Vec<_>>())
    }

    /// Keys that two tasks changed differently with neither above the other. Each change is compared with the last one
    /// of its key before it, so that the cost grows with the changes and not with their pairs.
    pub(super) fn conflicts(&self) -> Vec<Conflict<'_>> {
        let mut last: HashMap<&str, (usize, Option<&str>)> = HashMap::new();
        let mut conflicts = Vec::new();
        for (later, task) in self.tasks.iter().enumerate() {
            for (key, value) in task.patch.iter().flat_map(|patch| patch.changes()) {
                let Some((earlier, before)) = last.insert(key, (later, value)) else { continue };
                if before != value && !self.def.tasks[later].ancestors.contains(earlier) {
                    let (overruled, winner) = (&*self.def.tasks[earlier].id, &*self.def.tasks[later].id);
                    conflicts.push(Conflict { key, overruled, winner });
                }
            }
        }
        conflicts
    }
}

/// A key that two tasks of a run changed differently, with neither above the other.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Conflict<'r> {
    pub(super) key: &'r str,
    /// The task whose change does not count.
    pub(super) overruled: &'r str,
    /// The task whose change counts.
    pub(super) winner: &'r str,
}

impl CachedTask {
    /// The memory that its outcome takes, about.
    fn bytes(&self) -> usize {
        self.error.len() + self.patch.as_ref().map_or(0, |patch| patch.bytes())
    }

    /// A task that has not begun.
    fn waiting(dependencies: i64) -> Self {
        let state = if dependencies == 0 { TaskState::Ready } else { TaskState::Waiting };
        Self {
            state,
            waiting: dependencies,
            upstream_failed: 0,
            attempts: 0,
            was_lost: false,
            error: String::new(),
            patch: None,
        }
    }

    fn recorded(row: TaskRow) -> Result<Self, StoreError> {
        let patch = match &row.patch {
            None => None,
            Some(text) => Some(Arc::new(Patch::from_json(text).map_err(|_| StoreError::BadRow {
                table: "tasks",
                key: format!("{} {}", row.key.run, row.key.idx),
                column: "patch".into(),
                value: text.clone(),
            })?)),
        };
        Ok(Self {
            state: row.state,
            waiting: row.waiting,
            upstream_failed: row.upstream_failed,
            attempts: row.attempt,
            was_lost: row.lost > 0,
            error: row.error.unwrap_or_default(),
            patch,
        })
    }
}

/// The runs that were to be read and are not in memory all the same; one that has ended is in no list.
#[derive(Default)]
pub(super) struct Missing {
    /// Those whose rows do not read, with the reason.
    pub(super) unreadable: Vec<(RunId, StoreError)>,
    /// Those whose definition is not loaded.
    pub(super) undefined: HashSet<RunId>,
    /// Those that are being cancelled.
    pub(super) cancelling: HashSet<RunId>,
}

/// A run with the memory that it takes, about.
struct Counted {
    run: CachedRun,
    bytes: usize,
}

/// The open runs of this host, and who awaits their end.
#[derive(Default)]
pub(super) struct RunCache {
    runs: HashMap<RunId, Counted>,
    /// The memory that all of them take, about.
    bytes: usize,
    waiters: HashMap<RunId, Vec<oneshot::Sender<Option<RunState>>>>,
}

impl RunCache {
    pub(super) fn get(&self, run: RunId) -> Option<&CachedRun> {
        self.runs.get(&run).map(|counted| &counted.run)
    }

    pub(super) fn get_mut(&mut self, run: RunId) -> Option<&mut CachedRun> {
        self.runs.get_mut(&run).map(|counted| &mut counted.run)
    }

    pub(super) fn contains(&self, run: RunId) -> bool {
        self.runs.contains_key(&run)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    pub(super) fn insert(&mut self, id: RunId, run: CachedRun) {
        self.remove(id);
        let bytes = run.bytes();
        self.runs.insert(id, Counted { run, bytes });
        self.bytes += bytes;
    }

    /// Changes a task of a run in memory.
    pub(super) fn change_task(&mut self, key: TaskKey, change: impl FnOnce(&mut CachedTask)) {
        let Some(Counted { run, bytes }) = self.runs.get_mut(&key.run) else { return };
        let Some(task) = run.tasks.get_mut(key.idx as usize) else { return };
        let before = task.bytes();
        change(task);
        let after = task.bytes();
        *bytes = *bytes + after - before;
        self.bytes = self.bytes + after - before;
    }

    /// True when the runs take more memory than this.
    pub(super) fn is_over(&self, limit: usize) -> bool {
        self.bytes > limit
    }

    fn remove(&mut self, run: RunId) {
        self.bytes -= self.runs.remove(&run).map_or(0, |counted| counted.bytes);
    }

    /// Evicts idle runs, the newest first, until all together take clearly less memory than `limit`: those are executed last,
    /// and read again when it is their turn. Their waiters stay.
    pub(super) fn shrink(&mut self, limit: usize, is_busy: impl Fn(RunId) -> bool) {
        let mut idle: Vec<RunId> = self.runs.keys().copied().filter(|run| !is_busy(*run)).collect();
        idle.sort_unstable();
        while self.bytes > limit / 100 * LEFT_PERCENT {
            let Some(newest) = idle.pop() else { break };
            self.remove(newest);
        }
        tracing::debug!(bytes = self.bytes, runs = self.runs.len(), "runs were evicted from memory");
    }

    /// Answers when the run has ended; at once when it is not in memory, where its end may have been.
    pub(super) fn await_end(&mut self, run: RunId, reply: oneshot::Sender<Option<RunState>>) {
        if self.contains(run) {
            self.waiters.entry(run).or_default().push(reply);
        } else {
            let _ = reply.send(None);
        }
    }

    /// Drops a run from memory. Waiters get its end, or look it up themselves when it is not known.
    pub(super) fn forget(&mut self, run: RunId, ended: Option<RunState>) {
        self.remove(run);
        for waiter in self.waiters.remove(&run).into_iter().flatten() {
            let _ = waiter.send(ended);
        }
    }

    /// Drops a run that is being cancelled. Its waiters wait on.
    pub(super) fn let_go(&mut self, run: RunId) {
        self.remove(run);
    }

    /// Gives the runs of a workflow that are pinned to a digest another definition.
    pub(super) fn redefine(&mut self, from: &Digest, to: &Arc<WorkflowDef>) {
        let runs = self.runs.values_mut().map(|counted| &mut counted.run);
        runs.filter(|run| is_of(&run.def, from, to)).for_each(|run| run.def = Arc::clone(to));
    }

    /// Drops the runs of a workflow that are pinned to a digest.
    pub(super) fn forget_of(&mut self, from: &Digest, workflow: &WorkflowDef) {
        let of_workflow = self.runs.iter().filter(|(_, counted)| is_of(&counted.run.def, from, workflow));
        let runs: Vec<RunId> = of_workflow.map(|(id, _)| *id).collect();
        runs.into_iter().for_each(|run| self.forget(run, None));
    }

    /// Reads runs that are not in memory. One that has ended, or is being cancelled, is left out. Returned are those
    /// whose rows do not read, so that one bad row does not stop the others, and those that are left out for now.
    pub(super) async fn load_missing(
        &mut self,
        tx: &mut Tx,
        runs: impl Iterator<Item = RunId>,
        definition: impl Fn(&RunRow) -> Option<Arc<WorkflowDef>>,
    ) -> Result<Missing, StoreError> {
        let mut missing: Vec<RunId> = runs.filter(|id| !self.contains(*id)).collect();
        missing.sort_unstable();
        missing.dedup();
        if missing.is_empty() {
            return Ok(Missing::default());
        }
        let mut tasks = TaskRow::of_runs(tx, &missing).await?;
        let mut not_read = Missing::default();
        for (id, row) in RunRow::load(tx, &missing).await? {
            let tasks = tasks.remove(&id).unwrap_or_else(|| Ok(Vec::new()));
            // It has ended: nothing of it is decided any more, and nobody would take it from memory again.
            if row.as_ref().is_ok_and(|row| row.state.is_terminal()) {
                continue;
            }
            if row.as_ref().is_ok_and(|row| row.state == RunState::Cancelling) {
                not_read.cancelling.insert(id);
                continue;
            }
            let cached = match (row, tasks) {
                (Ok(row), Ok(tasks)) => match definition(&row) {
                    Some(def) => CachedRun::recorded(&row, tasks, def),
                    None => {
                        not_read.undefined.insert(id);
                        continue;
                    }
                },
                (Err(error), _) | (_, Err(error)) => Err(error),
            };
            match cached {
                Ok(cached) => self.insert(id, cached),
                Err(error) => not_read.unreadable.push((id, error)),
            }
        }
        Ok(not_read)
    }
}

fn is_of(def: &WorkflowDef, digest: &Digest, workflow: &WorkflowDef) -> bool {
    def.digest == *digest && def.key() == workflow.key()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::definition::tests::flow;

    /// A run whose tasks each set `result` to a value of their own.
    fn run(tasks: &[(&str, &[&str])]) -> CachedRun {
        let def = Arc::new(flow(tasks).expect("acyclic"));
        let patch = |n: usize| Patch::from_json(&format!(r#"{{"set":{{"result":{n}}}}}"#)).expect("a patch");
        let task = |n| CachedTask { patch: Some(Arc::new(patch(n))), ..CachedTask::waiting(0) };
        let tasks = (0..def.tasks.len()).map(task).collect();
        CachedRun { over: false, input: ContextMap::default(), tasks, def }
    }

    #[test]
    fn a_change_that_a_task_above_made_is_no_conflict() {
        assert_eq!(run(&[("a", &[]), ("b", &["a"]), ("c", &["b"])]).conflicts(), []);
    }

    #[test]
    fn tasks_beside_each_other_conflict_with_the_one_before() {
        let run = run(&[("a", &[]), ("b", &[]), ("c", &["a"])]);
        let conflict = |overruled, winner| Conflict { key: "result", overruled, winner };
        assert_eq!(run.conflicts(), [conflict("a", "b"), conflict("b", "c")]);
    }

    #[test]
    fn idle_runs_are_let_go_newest_first_when_they_take_too_much() {
        let mut cache = RunCache::default();
        let ids: Vec<RunId> = (0..10).map(|_| RunId::new()).collect();
        ids.iter().for_each(|id| cache.insert(*id, run(&[("a", &[])])));
        let each = cache.bytes / 10;
        let is_busy = |id| id == ids[9];
        assert!(!cache.is_over(each * 10), "there is room for all");
        // A patch grows: what it takes counts.
        let large =
            Patch::from_json(&format!(r#"{{"set":{{"k":"{}"}}}}"#, "x".repeat(each * 2))).expect("a patch");
        let first = TaskKey { run: ids[0], idx: 0 };
        cache.change_task(first, |task| task.patch = Some(Arc::new(large)));
        assert!(cache.is_over(each * 10));
        cache.shrink(each * 10, is_busy);
        let kept: Vec<bool> = ids.iter().map(|id| cache.contains(*id)).collect();
        assert!(kept[0] && kept[9], "the oldest one and the one that is busy stay: {kept:?}");
        assert!(!kept[8] && kept.iter().filter(|kept| **kept).count() >= 5, "{kept:?}");
        ids.iter().for_each(|id| cache.forget(*id, None));
        assert_eq!(cache.bytes, 0);
    }

    #[test]
    fn a_wide_run_has_as_many_conflicts_as_changes_and_not_as_pairs() {
        let ids: Vec<String> = (0..5000).map(|n| format!("t{n:04}")).collect();
        let tasks: Vec<(&str, &[&str])> = ids.iter().map(|id| (id.as_str(), &[][..])).collect();
        assert_eq!(run(&tasks).conflicts().len(), 4999);
    }
}
