//! Readiness: a claimed task runs or is skipped.

use crate::model::context::ContextMap;
use crate::model::definition::{TaskDef, WorkflowDef};
use longshore_store::TaskState;
use longshore_workflow::Rule;
use serde_json::Value;

/// The fate of a task whose dependencies are all terminal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Readiness {
    /// It runs.
    Run,
    /// It is skipped.
    Skip {
        /// Why.
        reason: String,
        /// True when what waits for it, under the default rule, is skipped too.
        blocks_dependants: bool,
    },
}

/// Decides from the task's rule, its dependencies' states, and its context.
///
/// `upstream_failed` counts dependencies that failed, were cancelled, or were skipped because something above them
/// failed. `state_of` tells the states of the tasks above it, by place. They and `context` are only asked when the rule
/// needs them.
pub fn readiness(
    def: &WorkflowDef,
    place: usize,
    upstream_failed: i64,
    state_of: impl Fn(usize) -> Option<TaskState>,
    context: impl FnOnce() -> ContextMap,
) -> Readiness {
    let task = &def.tasks[place];
    let Some(rule) = &task.rule else {
        return if upstream_failed == 0 || upstream_failed == taken_up_above(def, task, &state_of) {
            Readiness::Run
        } else {
            Readiness::Skip { reason: "a task above it failed".into(), blocks_dependants: true }
        };
    };
    let context = if rule.reads_context() { context() } else { ContextMap::default() };
    let state_of_id = |id: &str| {
        let place = task.dependencies.iter().find(|dependency| def.tasks[**dependency].id == id)?;
        state_of(*place)
    };
    if holds(rule, &state_of_id, &context) {
        Readiness::Run
    } else {
        Readiness::Skip { reason: "its trigger rule does not hold".into(), blocks_dependants: false }
    }
}

/// The number of failed dependencies of a task whose failures another task above it took up.
fn taken_up_above(def: &WorkflowDef, task: &TaskDef, state_of: impl Fn(usize) -> Option<TaskState>) -> i64 {
    let failed = |dependency: &&usize| state_of(**dependency) == Some(TaskState::Failed);
    let has_succeeded = |place: usize| state_of(place) == Some(TaskState::Succeeded);
    let taken_up = |dependency: &&usize| {
        is_taken_up(def, **dependency, |place| task.ancestors.contains(place) && has_succeeded(place))
    };
    task.dependencies.iter().filter(failed).filter(taken_up).count() as i64
}

/// True when a dependant that ran and succeeded took up the failure of a task: its rule asks for that failure, or is
/// `always`.
pub(super) fn is_taken_up(def: &WorkflowDef, failed: usize, has_succeeded: impl Fn(usize) -> bool) -> bool {
    let failed = &def.tasks[failed];
    failed.dependants.iter().any(|&dependant| {
        let rule = def.tasks[dependant].rule.as_ref();
        rule.is_some_and(|rule| rule.takes_up_failure_of(&failed.id)) && has_succeeded(dependant)
    })
}

/// True when a rule holds over values alone: a rule about tasks does not, there are none.
pub fn holds_over(rule: &Rule, values: &ContextMap) -> bool {
    holds(rule, &|_| None, values)
}

fn holds(rule: &Rule, state_of: &impl Fn(&str) -> Option<TaskState>, context: &ContextMap) -> bool {
    match rule {
        Rule::Always => true,
        Rule::TaskSuccess(id) => state_of(id) == Some(TaskState::Succeeded),
        Rule::TaskFailed(id) => state_of(id) == Some(TaskState::Failed),
        Rule::TaskSkipped(id) => state_of(id) == Some(TaskState::Skipped),
        Rule::ContextValue { key, operator, value } => {
            let actual: Option<Value> = context.get(key).and_then(|json| serde_json::from_str(json).ok());
            operator.holds(actual.as_ref(), value)
        }
        Rule::All(rules) => rules.iter().all(|rule| holds(rule, state_of, context)),
        Rule::Any(rules) => rules.iter().any(|rule| holds(rule, state_of, context)),
        Rule::None(rules) => !rules.iter().any(|rule| holds(rule, state_of, context)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::definition::tests::flow;
    use std::collections::HashMap;

    fn decide(rule: Option<Rule>, upstream_failed: bool, above: TaskState, context: &str) -> Readiness {
        let mut def = flow(&[("up", &[]), ("down", &["up"])]).expect("two tasks");
        def.tasks[1].rule = rule;
        let context = ContextMap::from_json(context).expect("object");
        readiness(&def, 1, i64::from(upstream_failed), |_| Some(above), || context)
    }

    #[test]
    fn what_comes_after_a_fallback_runs() {
        use TaskState::{Failed, Skipped, Succeeded};
        let tasks: [(&str, &[&str]); 4] =
            [("a", &[]), ("b", &[]), ("fallback", &["a"]), ("last", &["a", "b", "fallback"])];
        let mut def = flow(&tasks).expect("four tasks");
        let place = |id: &str| def.tasks.iter().position(|task| task.id == id).expect("is there");
        let (a, b, fallback, last) = (place("a"), place("b"), place("fallback"), place("last"));
        def.tasks[fallback].rule = Some(Rule::TaskFailed("a".into()));
        let decide = |def: &WorkflowDef, upstream_failed, of_b, of_fallback| {
            let states = HashMap::from([(a, Failed), (b, of_b), (fallback, of_fallback)]);
            let readiness = readiness(
                def,
                last,
                upstream_failed,
                |place| states.get(&place).copied(),
                ContextMap::default,
            );
            readiness == Readiness::Run
        };
        assert!(decide(&def, 1, Succeeded, Succeeded), "the failure was taken up");
        assert!(!decide(&def, 2, Failed, Succeeded), "the other one was not");
        assert!(!decide(&def, 2, Skipped, Succeeded), "skipped because something above it failed");
        assert!(!decide(&def, 2, Succeeded, Failed), "the fallback failed too");
        def.tasks[fallback].rule = Some(Rule::None(vec![Rule::TaskFailed("a".into())]));
        assert!(!decide(&def, 1, Succeeded, Skipped), "nobody took it up");
    }

    #[test]
    fn the_default_rule_runs_when_nothing_above_failed() {
        assert_eq!(decide(None, false, TaskState::Skipped, "{}"), Readiness::Run);
        assert!(matches!(
            decide(None, true, TaskState::Failed, "{}"),
            Readiness::Skip { blocks_dependants: true, .. }
        ));
    }

    #[test]
    fn always_means_always() {
        assert_eq!(decide(Some(Rule::Always), true, TaskState::Failed, "{}"), Readiness::Run);
    }

    #[test]
    fn a_rule_that_does_not_hold_skips_without_blocking_dependants() {
        let rule = Rule::TaskFailed("up".into());
        assert_eq!(decide(Some(rule.clone()), true, TaskState::Failed, "{}"), Readiness::Run);
        assert!(matches!(
            decide(Some(rule), false, TaskState::Succeeded, "{}"),
            Readiness::Skip { blocks_dependants: false, .. }
        ));
    }

    #[test]
    fn context_rules_read_the_context() {
        let rule = Rule::None(vec![Rule::ContextValue {
            key: "n".into(),
            operator: longshore_workflow::RuleOperator::GreaterThan,
            value: 10.into(),
        }]);
        assert_eq!(decide(Some(rule.clone()), false, TaskState::Succeeded, r#"{"n": 10}"#), Readiness::Run);
        assert_ne!(decide(Some(rule), false, TaskState::Succeeded, r#"{"n": 11}"#), Readiness::Run);
    }
}
