//! Trigger rules: whether a task whose dependencies are settled runs or is skipped.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A rule, as `#[task(trigger_rules = ..)]` writes it and as it travels (JSON).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rule {
    /// Runs whatever became of the dependencies.
    Always,
    /// The named dependency succeeded.
    TaskSuccess(String),
    /// The named dependency failed, its retries spent.
    TaskFailed(String),
    /// The named dependency was skipped.
    TaskSkipped(String),
    /// A context value compares as asked.
    ContextValue {
        /// The context key.
        key: String,
        /// The comparison.
        operator: RuleOperator,
        /// The value to compare with; unused by `exists` and `not_exists`.
        value: Value,
    },
    /// Every rule holds.
    All(Vec<Rule>),
    /// At least one rule holds.
    Any(Vec<Rule>),
    /// No rule holds.
    None(Vec<Rule>),
}

/// The comparisons of [`Rule::ContextValue`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RuleOperator {
    /// Equal JSON values; numbers compare by value.
    Equals,
    /// Not equal, or absent.
    NotEquals,
    /// Greater: numbers by value, strings by code point.
    GreaterThan,
    /// Less: numbers by value, strings by code point.
    LessThan,
    /// A string that holds the text, an array that holds the value, or an object that has the key.
    Contains,
    /// The opposite of `contains`; holds for an absent key.
    NotContains,
    /// The key is there.
    Exists,
    /// The key is not there.
    NotExists,
}

impl RuleOperator {
    /// Compares a context value, `None` when the key is absent.
    pub fn holds(self, actual: Option<&Value>, expected: &Value) -> bool {
        match self {
            Self::Exists => actual.is_some(),
            Self::NotExists => actual.is_none(),
            Self::Equals => actual.is_some_and(|a| equal(a, expected)),
            Self::NotEquals => !actual.is_some_and(|a| equal(a, expected)),
            Self::GreaterThan => {
                actual.is_some_and(|a| order(a, expected) == Some(std::cmp::Ordering::Greater))
            }
            Self::LessThan => actual.is_some_and(|a| order(a, expected) == Some(std::cmp::Ordering::Less)),
            Self::Contains => actual.is_some_and(|a| contains(a, expected)),
            Self::NotContains => !actual.is_some_and(|a| contains(a, expected)),
        }
    }
}

fn equal(a: &Value, b: &Value) -> bool {
    match (a.as_f64(), b.as_f64()) {
        (Some(a), Some(b)) => a == b,
        _ => a == b,
    }
}

fn order(a: &Value, b: &Value) -> Option<std::cmp::Ordering> {
    match (a, b) {
        (Value::String(a), Value::String(b)) => Some(a.cmp(b)),
        _ => a.as_f64()?.partial_cmp(&b.as_f64()?),
    }
}

fn contains(actual: &Value, expected: &Value) -> bool {
    match (actual, expected) {
        (Value::String(text), Value::String(part)) => text.contains(part.as_str()),
        (Value::Array(items), wanted) => items.iter().any(|item| equal(item, wanted)),
        (Value::Object(map), Value::String(key)) => map.contains_key(key),
        _ => false,
    }
}

impl Rule {
    /// Every task the rule names.
    pub fn tasks(&self) -> Vec<&str> {
        match self {
            Self::Always | Self::ContextValue { .. } => Vec::new(),
            Self::TaskSuccess(id) | Self::TaskFailed(id) | Self::TaskSkipped(id) => vec![id],
            Self::All(rules) | Self::Any(rules) | Self::None(rules) => {
                rules.iter().flat_map(Self::tasks).collect()
            }
        }
    }

    /// True when the rule takes up a failure of `task`: it is `always` or names `task_failed` of it.
    pub fn takes_up_failure_of(&self, task: &str) -> bool {
        match self {
            Self::Always => true,
            Self::TaskFailed(id) => id == task,
            Self::TaskSuccess(_) | Self::TaskSkipped(_) | Self::ContextValue { .. } => false,
            Self::All(rules) | Self::Any(rules) | Self::None(rules) => {
                rules.iter().any(|rule| rule.takes_up_failure_of(task))
            }
        }
    }

    /// True when the rule reads context values.
    pub fn reads_context(&self) -> bool {
        match self {
            Self::ContextValue { .. } => true,
            Self::All(rules) | Self::Any(rules) | Self::None(rules) => rules.iter().any(Self::reads_context),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn numbers_compare_by_value_and_strings_by_order() {
        assert!(RuleOperator::Equals.holds(Some(&json!(1.0)), &json!(1)));
        assert!(RuleOperator::GreaterThan.holds(Some(&json!(2)), &json!(1.5)));
        assert!(RuleOperator::LessThan.holds(Some(&json!("a")), &json!("b")));
        assert!(!RuleOperator::GreaterThan.holds(Some(&json!("2")), &json!(1)));
    }

    #[test]
    fn negations_hold_for_an_absent_key() {
        assert!(RuleOperator::NotEquals.holds(None, &json!(1)));
        assert!(RuleOperator::NotContains.holds(None, &json!("x")));
        assert!(RuleOperator::NotExists.holds(None, &Value::Null));
        assert!(!RuleOperator::LessThan.holds(None, &json!(1)));
    }

    #[test]
    fn contains_looks_into_strings_arrays_and_objects() {
        assert!(RuleOperator::Contains.holds(Some(&json!("abc")), &json!("b")));
        assert!(RuleOperator::Contains.holds(Some(&json!([1, 2])), &json!(2)));
        assert!(RuleOperator::Contains.holds(Some(&json!({"k": 1})), &json!("k")));
        assert!(!RuleOperator::Contains.holds(Some(&json!(12)), &json!(1)));
    }

    #[test]
    fn a_rule_survives_its_json() {
        let rule = Rule::All(vec![
            Rule::TaskFailed("a".into()),
            Rule::None(vec![Rule::ContextValue {
                key: "k".into(),
                operator: RuleOperator::NotExists,
                value: Value::Null,
            }]),
        ]);
        let json = serde_json::to_string(&rule).expect("serializes");
        assert_eq!(serde_json::from_str::<Rule>(&json).expect("parses"), rule);
        assert_eq!(rule.tasks(), ["a"]);
        assert!(rule.takes_up_failure_of("a") && !rule.takes_up_failure_of("b"));
        assert!(rule.reads_context());
    }
}
