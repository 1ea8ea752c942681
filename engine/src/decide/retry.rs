//! The step after a failed attempt.

use crate::model::attempt::AttemptFailure;
use longshore_workflow::RetryPolicy;
use std::time::Duration;

/// The step after a failed attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AfterFailure {
    /// Another attempt, after this long.
    Retry(Duration),
    /// The task has failed.
    Fail,
}

/// Decides from the policy. `attempt` counts from 1 and includes `lost` attempts, which are not the task's
/// fault and do not count against its policy; `draw` is uniform in `0.0..1.0`. A failure that says when takes the place
/// of the policy's delay.
pub fn after_failure(
    policy: &RetryPolicy,
    failure: &AttemptFailure,
    attempt: i64,
    lost: i64,
    draw: f64,
) -> AfterFailure {
    let own = i32::try_from(attempt - lost).unwrap_or(i32::MAX).max(1);
    if !failure.permanent && policy.should_retry_message(&failure.text(), own) {
        AfterFailure::Retry(failure.retry_after.unwrap_or_else(|| policy.jittered_delay(own, draw)))
    } else {
        AfterFailure::Fail
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn failure(message: &str) -> AttemptFailure {
        AttemptFailure { message: message.into(), ..AttemptFailure::default() }
    }

    #[test]
    fn a_permanent_failure_is_not_retried() {
        let failure = AttemptFailure { permanent: true, ..failure("x") };
        assert_eq!(after_failure(&RetryPolicy::default(), &failure, 1, 0, 0.0), AfterFailure::Fail);
    }

    #[test]
    fn a_failure_that_says_when_is_repeated_then_and_no_more_often() {
        let after = Duration::from_secs(7200);
        let failure = AttemptFailure { retry_after: Some(after), ..failure("x") };
        let policy = RetryPolicy::builder().max_attempts(2).build();
        assert_eq!(after_failure(&policy, &failure, 1, 0, 0.5), AfterFailure::Retry(after));
        assert_eq!(after_failure(&policy, &failure, 2, 0, 0.5), AfterFailure::Fail);
    }

    proptest! {
        #[test]
        fn a_task_gets_exactly_its_attempts_however_many_were_lost(max in 1_i32..9, lost in 0_i64..5) {
            let policy = RetryPolicy::builder().max_attempts(max).build();
            let mut attempt = lost + 1;
            while let AfterFailure::Retry(_) = after_failure(&policy, &failure("x"), attempt, lost, 0.5) {
                attempt += 1;
            }
            prop_assert_eq!(attempt - lost, i64::from(max));
        }
    }
}
