//! Open runs in memory: the states, patches and definitions that the next step is decided from.

use crate::decide::{TaskEnd, run_end};
use crate::model::context::{ContextMap, Patch};
use crate::model::definition::WorkflowDef;
use longshore_store::{
    Digest, Error as StoreError, NewRun, RunId, RunRow, RunState, TaskKey, TaskRow, TaskState, Tx,
};
use std::collections::HashMap;
use std::sync::Arc;
use tokio::sync::oneshot;

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
        if tasks.len() != def.tasks.len() {
            let (key, value) = (row.id.to_string(), format!("{} tasks", tasks.len()));
            return Err(StoreError::BadRow { table: "tasks", key, column: "idx".into(), value });
        }
        let tasks = tasks.into_iter().map(CachedTask::recorded).collect::<Result<_, _>>()?;
        Ok(Self { over: false, def, input, tasks })
    }

    /// Its tasks that are ready.
    pub(super) fn ready(&self, run: RunId) -> impl Iterator<Item = TaskKey> {
        let ready = self.tasks.iter().enumerate().filter(|(_, task)| task.state == TaskState::Ready);
        ready.map(move |(idx, _)| TaskKey { run, idx: idx as i64 })
    }

    /// The context a task sees: the start context and the patches of everything above it, in order.
    pub(super) fn context_of(&self, idx: usize) -> ContextMap {
        let mut context = self.input.clone();
        for &above in &self.def.tasks[idx].ancestors {
            if let Some(patch) = &self.tasks[above].patch {
                context.apply(patch);
            }
        }
        context
    }

    /// The end of the run once its tasks are terminal.
    pub(super) fn end(&self) -> (RunState, Option<String>) {
        let end = |t: &CachedTask| TaskEnd { state: t.state, attempts: t.attempts, error: t.error.clone() };
        run_end(&self.def, &self.tasks.iter().map(end).collect::<Vec<_>>())
    }

    /// The state of a task, by its id.
    pub(super) fn state_of(&self, id: &str) -> Option<TaskState> {
        let place = self.def.tasks.iter().position(|task| task.id == id)?;
        Some(self.tasks[place].state)
    }

    /// Keys that two tasks changed differently with neither above the other: (key, overruled, winner).
    pub(super) fn conflicts(&self) -> Vec<(String, &str, &str)> {
        let mut conflicts = Vec::new();
        let patched: Vec<(usize, &Patch)> =
            self.tasks.iter().enumerate().filter_map(|(i, t)| Some((i, &**t.patch.as_ref()?))).collect();
        for (n, (later, patch)) in patched.iter().enumerate() {
            for (earlier, other) in &patched[..n] {
                if !self.def.tasks[*later].ancestors.contains(earlier) {
                    let ids = (&*self.def.tasks[*earlier].id, &*self.def.tasks[*later].id);
                    conflicts.extend(patch.conflicts_with(other).map(|key| (key.to_owned(), ids.0, ids.1)));
                }
            }
        }
        conflicts
    }
}

impl CachedTask {
    /// A task that has not begun.
    fn waiting(dependencies: i64) -> Self {
        let state = if dependencies == 0 { TaskState::Ready } else { TaskState::Waiting };
        Self {
            state,
            waiting: dependencies,
            upstream_failed: 0,
            attempts: 0,
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
            error: row.error.unwrap_or_default(),
            patch,
        })
    }
}

/// A run whose rows do not read, with the reason.
pub(super) type Unreadable = (RunId, StoreError);

/// The open runs of this host, and who awaits their end.
#[derive(Default)]
pub(super) struct RunCache {
    runs: HashMap<RunId, CachedRun>,
    waiters: HashMap<RunId, Vec<oneshot::Sender<Option<RunState>>>>,
}

impl RunCache {
    pub(super) fn get(&self, run: RunId) -> Option<&CachedRun> {
        self.runs.get(&run)
    }

    pub(super) fn get_mut(&mut self, run: RunId) -> Option<&mut CachedRun> {
        self.runs.get_mut(&run)
    }

    pub(super) fn contains(&self, run: RunId) -> bool {
        self.runs.contains_key(&run)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    pub(super) fn insert(&mut self, id: RunId, run: CachedRun) {
        self.runs.insert(id, run);
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
        self.runs.remove(&run);
        for waiter in self.waiters.remove(&run).into_iter().flatten() {
            let _ = waiter.send(ended);
        }
    }

    /// Drops every run from memory.
    pub(super) fn forget_all(&mut self) {
        let runs: Vec<RunId> = self.runs.keys().copied().collect();
        runs.into_iter().for_each(|run| self.forget(run, None));
    }

    /// Gives the runs of a workflow that are pinned to a digest another definition.
    pub(super) fn redefine(&mut self, from: &Digest, to: &Arc<WorkflowDef>) {
        let of_workflow = |def: &WorkflowDef| def.digest == *from && def.key() == to.key();
        for run in self.runs.values_mut().filter(|run| of_workflow(&run.def)) {
            run.def = Arc::clone(to);
        }
    }

    /// Reads runs that are not in memory. A run that has ended, or whose digest is not loaded, is left out; those whose rows do not
    /// read are returned, so that one bad row does not stop the others.
    pub(super) async fn load_missing(
        &mut self,
        tx: &mut Tx,
        runs: impl Iterator<Item = RunId>,
        definition: impl Fn(&RunRow) -> Option<Arc<WorkflowDef>>,
    ) -> Result<Vec<Unreadable>, StoreError> {
        let mut missing: Vec<RunId> = runs.filter(|id| !self.contains(*id)).collect();
        missing.sort_unstable();
        missing.dedup();
        if missing.is_empty() {
            return Ok(Vec::new());
        }
        let mut tasks = TaskRow::of_runs(tx, &missing).await?;
        let mut unreadable = Vec::new();
        for (id, row) in RunRow::load(tx, &missing).await? {
            let tasks = tasks.remove(&id).unwrap_or_else(|| Ok(Vec::new()));
            // It has ended: nothing of it is decided any more, and nobody would take it from memory again.
            if row.as_ref().is_ok_and(|row| row.state.is_terminal()) {
                continue;
            }
            let cached = match (row, tasks) {
                (Ok(row), Ok(tasks)) => match definition(&row) {
                    Some(def) => CachedRun::recorded(&row, tasks, def),
                    None => continue,
                },
                (Err(error), _) | (_, Err(error)) => Err(error),
            };
            match cached {
                Ok(cached) => self.insert(id, cached),
                Err(error) => unreadable.push((id, error)),
            }
        }
        Ok(unreadable)
    }
}
