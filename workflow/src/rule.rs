//! Trigger rules: whether a task whose dependencies are settled runs or is skipped.

use serde::{Deserialize, Serialize};
use serde_json::{Number, Value};
use std::cmp::Ordering;

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
            Self::GreaterThan => actual.is_some_and(|a| order(a, expected) == Some(Ordering::Greater)),
            Self::LessThan => actual.is_some_and(|a| order(a, expected) == Some(Ordering::Less)),
            Self::Contains => actual.is_some_and(|a| contains(a, expected)),
            Self::NotContains => !actual.is_some_and(|a| contains(a, expected)),
        }
    }
}

fn equal(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => order_of_numbers(a, b) == Some(Ordering::Equal),
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| equal(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(key, a)| b.get(key).is_some_and(|b| equal(a, b)))
        }
        _ => a == b,
    }
}

fn order(a: &Value, b: &Value) -> Option<Ordering> {
    match (a, b) {
        (Value::String(a), Value::String(b)) => Some(a.cmp(b)),
        (Value::Number(a), Value::Number(b)) => order_of_numbers(a, b),
        _ => None,
    }
}

/// Compares numbers by their exact values: above 2^53 not every integer is a float.
fn order_of_numbers(a: &Number, b: &Number) -> Option<Ordering> {
    match (a.as_i128(), b.as_i128()) {
        (Some(a), Some(b)) => Some(a.cmp(&b)),
        (Some(a), None) => Some(order_of_mixed(a, b.as_f64()?)),
        (None, Some(b)) => Some(order_of_mixed(b, a.as_f64()?).reverse()),
        (None, None) => a.as_f64()?.partial_cmp(&b.as_f64()?),
    }
}

/// Compares an integer of JSON, which has 64 bits and a sign, with a finite float.
fn order_of_mixed(integer: i128, float: f64) -> Ordering {
    // A float beyond the range of `i128` becomes its end, which no such integer reaches.
    let below = float.floor();
    integer.cmp(&(below as i128)).then(if float > below { Ordering::Less } else { Ordering::Equal })
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

    /// True when the rule takes up a failure of `task`: it is `always`, or asks that the task failed. A rule that asks
    /// that it did not, with `none`, takes nothing up.
    pub fn takes_up_failure_of(&self, task: &str) -> bool {
        self.asks_for_failure_of(task, true)
    }

    fn asks_for_failure_of(&self, task: &str, wanted: bool) -> bool {
        match self {
            Self::Always => wanted,
            Self::TaskFailed(id) => wanted && id == task,
            Self::TaskSuccess(_) | Self::TaskSkipped(_) | Self::ContextValue { .. } => false,
            Self::All(rules) | Self::Any(rules) => {
                rules.iter().any(|rule| rule.asks_for_failure_of(task, wanted))
            }
            Self::None(rules) => rules.iter().any(|rule| rule.asks_for_failure_of(task, !wanted)),
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
        assert!(RuleOperator::Equals.holds(Some(&json!({"n": [1.0]})), &json!({"n": [1]})));
    }

    #[test]
    fn integers_that_no_float_tells_apart_are_different() {
        let (even, odd) = (json!(9_007_199_254_740_992_u64), json!(9_007_199_254_740_993_u64));
        assert!(!RuleOperator::Equals.holds(Some(&odd), &even));
        assert!(RuleOperator::GreaterThan.holds(Some(&odd), &even));
        assert!(RuleOperator::GreaterThan.holds(Some(&odd), &json!(9_007_199_254_740_992.0)));
        assert!(RuleOperator::LessThan.holds(Some(&json!(u64::MAX)), &json!(1e300)));
        assert!(RuleOperator::GreaterThan.holds(Some(&json!(i64::MIN)), &json!(-1e300)));
        assert!(RuleOperator::LessThan.holds(Some(&json!(-1)), &json!(-0.5)));
    }

    #[test]
    fn a_rule_that_asks_that_a_task_did_not_fail_takes_no_failure_up() {
        let failed = || Rule::TaskFailed("a".into());
        assert!(Rule::Any(vec![failed(), Rule::TaskSuccess("b".into())]).takes_up_failure_of("a"));
        assert!(!Rule::None(vec![failed()]).takes_up_failure_of("a"));
        assert!(Rule::None(vec![Rule::None(vec![failed()])]).takes_up_failure_of("a"));
        assert!(!Rule::None(vec![Rule::Always]).takes_up_failure_of("a"));
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
