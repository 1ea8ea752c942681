//! The end of a run whose tasks are all terminal.

use crate::model::definition::WorkflowDef;
use longshore_store::{RunState, TaskState};

/// A task's end, in the order of the definition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskEnd {
    /// Where it ended.
    pub state: TaskState,
    /// Attempts begun.
    pub attempts: i64,
    /// Why it failed.
    pub error: String,
}

/// Succeeded when no task failed, or every failure was taken up by a dependant that ran and succeeded and
/// whose rule names it (or is `always`). Otherwise failed, with each failure that nobody took up.
pub fn run_end(def: &WorkflowDef, ends: &[TaskEnd]) -> (RunState, Option<String>) {
    let mut unhandled = Vec::new();
    for (task, end) in def.tasks.iter().zip(ends) {
        if end.state != TaskState::Failed {
            continue;
        }
        let taken_up = task.dependants.iter().any(|&d| {
            ends.get(d).is_some_and(|e| e.state == TaskState::Succeeded)
                && def.tasks[d].rule.as_ref().is_some_and(|rule| rule.takes_up_failure_of(&task.id))
        });
        if !taken_up {
            let attempts =
                if end.attempts == 1 { "1 attempt".to_owned() } else { format!("{} attempts", end.attempts) };
            unhandled.push(format!("`{}` failed after {attempts}: {}", task.id, end.error));
        }
    }
    if unhandled.is_empty() {
        (RunState::Succeeded, None)
    } else {
        (RunState::Failed, Some(unhandled.join("; ")))
    }
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
        let (state, error) = run_end(&def, &[end(TaskState::Failed), end(TaskState::Skipped)]);
        assert_eq!(state, RunState::Failed);
        assert_eq!(error.as_deref(), Some("`a` failed after 3 attempts: disk on fire"));
    }

    #[test]
    fn a_failure_is_taken_up_only_by_a_success() {
        let mut def = flow(&[("a", &[]), ("b", &["a"])]).expect("two tasks");
        def.tasks[1].rule = Some(Rule::TaskFailed("a".into()));
        assert_eq!(
            run_end(&def, &[end(TaskState::Failed), end(TaskState::Succeeded)]).0,
            RunState::Succeeded
        );
        assert_eq!(run_end(&def, &[end(TaskState::Failed), end(TaskState::Failed)]).0, RunState::Failed);
    }
}
