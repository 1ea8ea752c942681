//! The end of a run whose tasks are all terminal.

use crate::decide::readiness::is_taken_up;
use crate::model::definition::WorkflowDef;
use longshore_store::{RunState, TaskState};

/// A task's end, in the order of the definition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskEnd {
    /// The end state.
    pub state: TaskState,
    /// Attempts begun.
    pub attempts: i64,
    /// Why it failed.
    pub error: String,
}

/// The end of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunVerdict {
    /// The run's end state.
    pub state: RunState,
    /// Each failure that nobody took up.
    pub error: Option<String>,
    /// The tasks that were skipped because something above them failed: work that a green run did not do.
    pub skipped: Vec<String>,
}

/// Succeeded when no task failed, or every failure was taken up by a dependant that ran and succeeded and
/// whose rule asks for it (or is `always`). Otherwise failed, with each failure that nobody took up.
pub fn run_end(def: &WorkflowDef, ends: &[TaskEnd]) -> RunVerdict {
    let is = |place: usize, state: TaskState| ends.get(place).is_some_and(|end| end.state == state);
    let (mut unhandled, mut skipped) = (Vec::new(), Vec::new());
    for (place, (task, end)) in def.tasks.iter().zip(ends).enumerate() {
        // Without a rule there is no other reason.
        if end.state == TaskState::Skipped && task.rule.is_none() {
            skipped.push(task.id.clone());
        }
        let failed = end.state == TaskState::Failed;
        if failed && !is_taken_up(def, place, |dependant| is(dependant, TaskState::Succeeded)) {
            let attempts =
                if end.attempts == 1 { "1 attempt".to_owned() } else { format!("{} attempts", end.attempts) };
            unhandled.push(format!("`{}` failed after {attempts}: {}", task.id, end.error));
        }
    }
    let succeeded = unhandled.is_empty();
    let state = if succeeded { RunState::Succeeded } else { RunState::Failed };
    RunVerdict { state, error: (!succeeded).then(|| unhandled.join("; ")), skipped }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::definition::tests::flow;
    use longshore_workflow::Rule;

    fn end(state: TaskState) -> TaskEnd {
        TaskEnd { state, attempts: 3, error: "disk on fire".into() }
    }

    #[test]
    fn an_unhandled_failure_is_named_with_attempts_and_cause() {
        let def = flow(&[("a", &[]), ("b", &["a"])]).expect("two tasks");
        let verdict = run_end(&def, &[end(TaskState::Failed), end(TaskState::Skipped)]);
        assert_eq!(verdict.state, RunState::Failed);
        assert_eq!(verdict.error.as_deref(), Some("`a` failed after 3 attempts: disk on fire"));
        assert_eq!(verdict.skipped, ["b"]);
    }

    #[test]
    fn a_failure_is_taken_up_only_by_a_success() {
        let mut def = flow(&[("a", &[]), ("b", &["a"])]).expect("two tasks");
        def.tasks[1].rule = Some(Rule::TaskFailed("a".into()));
        let state = |b| run_end(&def, &[end(TaskState::Failed), end(b)]).state;
        assert_eq!(state(TaskState::Succeeded), RunState::Succeeded);
        assert_eq!(state(TaskState::Failed), RunState::Failed);
    }
}
