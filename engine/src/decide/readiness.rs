//! Readiness: a claimed task runs or is skipped.

use crate::model::context::ContextMap;
use crate::model::definition::TaskDef;
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
/// failed. `state_of` and `context` are only asked when the rule needs them.
pub fn readiness(
    task: &TaskDef,
    upstream_failed: bool,
    state_of: impl Fn(&str) -> Option<TaskState>,
    context: impl FnOnce() -> ContextMap,
) -> Readiness {
    let Some(rule) = &task.rule else {
        return if upstream_failed {
            Readiness::Skip { reason: "a task above it failed".into(), blocks_dependants: true }
        } else {
            Readiness::Run
        };
    };
    let context = if rule.reads_context() { context() } else { ContextMap::default() };
    if holds(rule, &state_of, &context) {
        Readiness::Run
    } else {
        Readiness::Skip { reason: "its trigger rule does not hold".into(), blocks_dependants: false }
    }
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

    fn decide(rule: Option<Rule>, upstream_failed: bool, above: TaskState, context: &str) -> Readiness {
        let mut def = flow(&[("up", &[]), ("down", &["up"])]).expect("two tasks");
        def.tasks[1].rule = rule;
        let context = ContextMap::from_json(context).expect("object");
        readiness(&def.tasks[1], upstream_failed, |_| Some(above), || context)
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
