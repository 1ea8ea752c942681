//! Callbacks of tasks: called once a task has ended for good, when its outcome was reported. Whatever they do changes
//! nothing about it.

use crate::failure::full_text;
use crate::panics::Guarded;
use crate::wire::{StartTask, TaskFailure};
use longshore_workflow::private::TaskEntry;
use longshore_workflow::{Context, RetryHint, TaskError};
use std::time::Duration;

/// The time a callback may take.
const LIMIT: Duration = Duration::from_secs(30);

/// A callback to be made.
pub(crate) struct Callback {
    entry: &'static TaskEntry,
    lease: u64,
    context: Context,
    /// The error of a task that failed.
    error: Option<TaskError>,
}

impl Callback {
    /// The callback after an attempt; none when its task has none for this end, or is tried again.
    pub(crate) fn after(
        entry: &'static TaskEntry,
        start: &StartTask,
        outcome: Result<Result<(), TaskError>, TaskFailure>,
        context: Context,
    ) -> Option<Self> {
        let error = match outcome {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(error),
            Err(failure) => Some(error_of(entry, failure)),
        };
        let is_wanted = match &error {
            None => entry.on_success.is_some(),
            Some(error) => entry.on_failure.is_some() && !is_tried_again(entry, start, error),
        };
        is_wanted.then(|| Self { entry, lease: start.lease, context, error })
    }

    /// Makes it, guarded and for a bounded time.
    pub(crate) async fn call(self) {
        let call = match (&self.error, self.entry.on_success, self.entry.on_failure) {
            (None, Some(callback), _) => callback(&self.context),
            (Some(error), _, Some(callback)) => callback(error, &self.context),
            _ => return,
        };
        let failed = match tokio::time::timeout(LIMIT, Guarded::new(self.lease, call)).await {
            Ok(Ok(failed)) => failed,
            Ok(Err(panic)) => Some(panic.message),
            Err(_) => Some(format!("it took longer than {} s and was ended", LIMIT.as_secs())),
        };
        if let Some(error) = failed {
            let callback = if self.error.is_some() { "on_failure" } else { "on_success" };
            tracing::warn!(task = self.entry.id, callback, error, "a callback failed");
        }
    }
}

/// True when the host tries the task again: it goes by the same policy.
fn is_tried_again(entry: &TaskEntry, start: &StartTask, error: &TaskError) -> bool {
    let attempt = i32::try_from(start.attempt).unwrap_or(i32::MAX);
    error.retry_hint() != Some(RetryHint::Never)
        && entry.retry.policy().should_retry_message(&full_text(error), attempt)
}

/// The error that stands for a panic, or for a deadline.
fn error_of(entry: &TaskEntry, failure: TaskFailure) -> TaskError {
    let error = TaskError::failed(failure.message);
    longshore_workflow::private::task_error(error, entry.id)
}
