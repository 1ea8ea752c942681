//! Log lines of runs and tasks, once they are on disk.

use super::Writer;
use super::effects::{Effects, ProgressEvent};
use longshore_store::{RunId, RunState, TaskState};

/// The target of these lines: a host shows them, a command that shows a run itself does not.
const TARGET: &str = "longshore::run";

impl Writer {
    /// Logs runs that started and ended, and attempts that failed.
    pub(super) fn log(&self, effects: &Effects) {
        if !tracing::enabled!(target: TARGET, tracing::Level::ERROR) {
            return;
        }
        for start in self.starts.iter().filter(|start| !effects.existing.contains_key(&start.run.id)) {
            let (run, origin) = (start.run.id.to_string(), &start.run.origin);
            let (workflow, package, version) =
                (&start.def.name, start.def.package.as_str(), &start.def.version);
            tracing::info!(target: TARGET, run, workflow, package, version, origin, "started");
        }
        effects.progress.iter().for_each(|event| self.log_failure(event));
        for (run, state) in &effects.finished {
            self.log_end(*run, *state);
        }
    }

    fn log_failure(&self, event: &ProgressEvent) {
        let ProgressEvent { run: id, idx, attempt, state, message } = event;
        let what = match (state, message) {
            (TaskState::Failed, _) => "a task failed",
            (TaskState::Ready, Some(_)) => "an attempt failed, and is tried again",
            _ => return,
        };
        let task = self.runs.get(*id).and_then(|run| run.def.tasks.get(*idx)).map(|task| task.id.as_str());
        let (run, error) = (id.to_string(), message.as_deref().unwrap_or_default());
        tracing::warn!(target: TARGET, run, task, attempt, error, "{what}");
    }

    fn log_end(&self, id: RunId, state: RunState) {
        let workflow = self.runs.get(id).map(|run| run.def.name.as_str());
        let (run, state) = (id.to_string(), state.as_str());
        if state == RunState::Failed.as_str() {
            tracing::warn!(target: TARGET, run, workflow, "{state}");
        } else {
            tracing::info!(target: TARGET, run, workflow, "{state}");
        }
    }
}
