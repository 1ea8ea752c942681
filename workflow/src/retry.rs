//! When a failed task is tried again, and after how long.

use crate::error::{RetryHint, TaskError};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// The policy for trying a failed task again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RetryPolicy {
    /// Attempts in all, the first included; 0 and 1 both mean one attempt.
    pub max_attempts: i32,
    /// The growth of the delay from attempt to attempt.
    pub backoff_strategy: BackoffStrategy,
    /// The delay after the first failure.
    pub initial_delay: Duration,
    /// No delay is longer.
    pub max_delay: Duration,
    /// Draws the delay from the upper half of its range, so that failures together do not return together.
    pub jitter: bool,
    /// An error is retried when any of these says so.
    pub retry_conditions: Vec<RetryCondition>,
}

/// The growth of the delay.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type")]
pub enum BackoffStrategy {
    /// Always `initial_delay`.
    Fixed,
    /// `initial_delay * attempt * multiplier`.
    Linear {
        /// Growth per attempt.
        multiplier: f64,
    },
    /// `initial_delay * multiplier * base ^ (attempt - 1)`.
    Exponential {
        /// Growth factor per attempt.
        base: f64,
        /// Scales the whole series.
        multiplier: f64,
    },
}

/// Which errors are retried.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type")]
pub enum RetryCondition {
    /// Every error.
    AllErrors,
    /// No error.
    Never,
    /// Timeouts, and errors whose text reads like a passing fault of network or service.
    TransientOnly,
    /// Errors whose text contains one of the patterns, in any case.
    ErrorPattern {
        /// The patterns.
        patterns: Vec<String>,
    },
}

/// Words in an error's text that mark it as passing.
const TRANSIENT_WORDS: [&str; 6] =
    ["timeout", "timed out", "connection", "network", "temporar", "unavailable"];

impl RetryCondition {
    /// True when an error with this text is retried.
    pub fn matches(&self, message: &str) -> bool {
        let message = message.to_lowercase();
        match self {
            Self::AllErrors => true,
            Self::Never => false,
            Self::TransientOnly => TRANSIENT_WORDS.iter().any(|word| message.contains(word)),
            Self::ErrorPattern { patterns } => {
                patterns.iter().any(|pattern| message.contains(&pattern.to_lowercase()))
            }
        }
    }
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            max_attempts: 3,
            backoff_strategy: BackoffStrategy::Exponential { base: 2.0, multiplier: 1.0 },
            initial_delay: Duration::from_secs(1),
            max_delay: Duration::from_secs(30),
            jitter: true,
            retry_conditions: vec![RetryCondition::AllErrors],
        }
    }
}

impl RetryPolicy {
    /// Starts from the default policy.
    pub fn builder() -> RetryPolicyBuilder {
        RetryPolicyBuilder::default()
    }

    /// The delay after failed attempt `attempt` (from 1), before jitter.
    pub fn calculate_delay(&self, attempt: i32) -> Duration {
        let attempt = attempt.max(1);
        if self.initial_delay.is_zero() {
            // Nothing grows to nothing, also when the factor is infinite.
            return Duration::ZERO;
        }
        let factor = match &self.backoff_strategy {
            BackoffStrategy::Fixed => 1.0,
            BackoffStrategy::Linear { multiplier } => f64::from(attempt) * multiplier,
            BackoffStrategy::Exponential { base, multiplier } => multiplier * base.powi(attempt - 1),
        };
        let seconds = self.initial_delay.as_secs_f64() * factor;
        Duration::try_from_secs_f64(seconds).unwrap_or(self.max_delay).min(self.max_delay)
    }

    /// The delay with jitter, where `draw` is uniform in `0.0..1.0`.
    pub fn jittered_delay(&self, attempt: i32, draw: f64) -> Duration {
        let delay = self.calculate_delay(attempt);
        if self.jitter { delay.mul_f64(0.5 + draw.clamp(0.0, 1.0) / 2.0) } else { delay }
    }

    /// True when the error of attempt `attempt` (from 1) is followed by another attempt.
    pub fn should_retry(&self, error: &TaskError, attempt: i32) -> bool {
        if error.retry_hint() == Some(RetryHint::Never) {
            return false;
        }
        matches!(error, TaskError::Timeout { .. }) && self.retries_transient() && attempt < self.max_attempts
            || self.should_retry_message(&error.to_string(), attempt)
    }

    /// True when an error with this text, of attempt `attempt` (from 1), is followed by another attempt.
    pub fn should_retry_message(&self, message: &str, attempt: i32) -> bool {
        attempt < self.max_attempts && self.retry_conditions.iter().any(|c| c.matches(message))
    }

    fn retries_transient(&self) -> bool {
        self.retry_conditions.contains(&RetryCondition::TransientOnly)
    }
}

/// Builds a [`RetryPolicy`].
#[derive(Debug, Default)]
pub struct RetryPolicyBuilder {
    policy: RetryPolicy,
}

impl RetryPolicyBuilder {
    /// Attempts in all, the first included.
    pub fn max_attempts(mut self, max_attempts: i32) -> Self {
        self.policy.max_attempts = max_attempts;
        self
    }

    /// The growth of the delay.
    pub fn backoff_strategy(mut self, strategy: BackoffStrategy) -> Self {
        self.policy.backoff_strategy = strategy;
        self
    }

    /// The delay after the first failure.
    pub fn initial_delay(mut self, delay: Duration) -> Self {
        self.policy.initial_delay = delay;
        self
    }

    /// No delay is longer.
    pub fn max_delay(mut self, delay: Duration) -> Self {
        self.policy.max_delay = delay;
        self
    }

    /// True when delays are spread.
    pub fn with_jitter(mut self, jitter: bool) -> Self {
        self.policy.jitter = jitter;
        self
    }

    /// The only condition.
    pub fn retry_condition(mut self, condition: RetryCondition) -> Self {
        self.policy.retry_conditions = vec![condition];
        self
    }

    /// All conditions.
    pub fn retry_conditions(mut self, conditions: Vec<RetryCondition>) -> Self {
        self.policy.retry_conditions = conditions;
        self
    }

    /// The policy.
    pub fn build(self) -> RetryPolicy {
        self.policy
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn delays_grow_by_strategy_and_stop_at_the_cap() {
        let policy = |strategy| {
            RetryPolicy::builder()
                .initial_delay(Duration::from_secs(1))
                .max_delay(Duration::from_secs(5))
                .backoff_strategy(strategy)
                .build()
        };
        let seconds = |p: &RetryPolicy| [1, 2, 3, 9].map(|a| p.calculate_delay(a).as_secs());
        assert_eq!(seconds(&policy(BackoffStrategy::Fixed)), [1, 1, 1, 1]);
        assert_eq!(seconds(&policy(BackoffStrategy::Linear { multiplier: 1.0 })), [1, 2, 3, 5]);
        assert_eq!(
            seconds(&policy(BackoffStrategy::Exponential { base: 2.0, multiplier: 1.0 })),
            [1, 2, 4, 5]
        );
    }

    #[test]
    fn no_delay_stays_none_however_often_it_is_tried() {
        let policy = RetryPolicy::builder().initial_delay(Duration::ZERO).build();
        for attempt in [1, 2, 1025, i32::MAX] {
            assert_eq!(policy.calculate_delay(attempt), Duration::ZERO, "attempt {attempt}");
        }
    }

    #[test]
    fn zero_and_one_both_mean_one_attempt() {
        for max in [0, 1] {
            let policy = RetryPolicy::builder().max_attempts(max).build();
            assert!(!policy.should_retry_message("boom", 1));
        }
    }

    #[test]
    fn conditions_choose_by_text() {
        let transient = RetryCondition::TransientOnly;
        assert!(transient.matches("Connection reset by peer"));
        assert!(!transient.matches("no such column"));
        let pattern = RetryCondition::ErrorPattern { patterns: vec!["RATE limit".into()] };
        assert!(pattern.matches("rate limit exceeded"));
        assert!(!pattern.matches("forbidden"));
    }

    proptest! {
        #[test]
        fn no_delay_is_over_the_cap_or_under_half(attempt in 1..10_000_i32, draw in 0.0..1.0_f64) {
            let policy = RetryPolicy::default();
            let plain = policy.calculate_delay(attempt);
            let delay = policy.jittered_delay(attempt, draw);
            prop_assert!(delay <= policy.max_delay);
            prop_assert!(delay >= plain / 2);
        }
    }
}
