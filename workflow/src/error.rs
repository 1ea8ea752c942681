//! Errors an author meets and returns.

use chrono::{DateTime, Utc};
use std::error::Error;
use std::fmt;
use std::time::Duration;

/// A context operation that could not be done.
#[derive(Debug, thiserror::Error)]
pub enum ContextError {
    /// A value did not serialize or parse.
    #[error("context value does not serialize")]
    Serialization(#[from] serde_json::Error),
    /// The key to read or update is not there.
    #[error("context key `{0}` is not there")]
    KeyNotFound(String),
    /// The value under the key has another type.
    #[error("context key `{0}` has another type")]
    TypeMismatch(String),
    /// The key to insert is there already.
    #[error("context key `{0}` is there already")]
    KeyExists(String),
}

/// Why a task failed.
///
/// A failed attempt is tried again as the retry policy of its task says: `"transient"` retries
/// [`TaskError::Timeout`] and every error whose text says timeout, connection, network, temporary or
/// unavailable. An error can say more: [`TaskError::permanent`] and [`TaskError::retry_after`].
/// [`TaskError::ValidationFailed`] is permanent by itself.
#[derive(Debug, thiserror::Error)]
pub enum TaskError {
    /// The task's own work failed.
    #[error("{message}")]
    ExecutionFailed {
        /// The failure's text.
        message: String,
        /// The task, when the author names it; the host fills it in otherwise.
        task_id: String,
        /// When it went wrong.
        timestamp: DateTime<Utc>,
    },
    /// Something the task needs from another task is not there.
    #[error("`{task_id}` needs `{dependency}`, which did not deliver")]
    DependencyNotSatisfied {
        /// The task or value that is missing.
        dependency: String,
        /// The task that needs it.
        task_id: String,
    },
    /// The task took too long.
    #[error("`{task_id}` timed out after {timeout_seconds} s")]
    Timeout {
        /// The task.
        task_id: String,
        /// Its limit in seconds.
        timeout_seconds: u64,
    },
    /// A context operation failed.
    #[error("context operation failed in `{task_id}`")]
    ContextError {
        /// The task, or `unknown` when converted by `?`.
        task_id: String,
        /// The operation's error.
        #[source]
        error: ContextError,
    },
    /// The task's input is not what it needs.
    #[error("{message}")]
    ValidationFailed {
        /// The fault.
        message: String,
    },
    /// Anything else.
    #[error("{message}")]
    Unknown {
        /// The task.
        task_id: String,
        /// The failure's text.
        message: String,
    },
    /// A precondition the task checks by itself does not hold.
    #[error("`{task_id}` is not ready")]
    ReadinessCheckFailed {
        /// The task.
        task_id: String,
    },
    /// A trigger rule could not be evaluated.
    #[error("the trigger rule of `{task_id}` could not be evaluated")]
    TriggerRuleFailed {
        /// The task.
        task_id: String,
    },
    /// Another error that says whether and when to try again.
    #[error(transparent)]
    Hinted(Box<Hinted>),
}

/// An error with a word on its retries.
#[derive(Debug)]
pub struct Hinted {
    /// The error.
    pub error: TaskError,
    /// Whether and when to try again.
    pub hint: RetryHint,
}

impl fmt::Display for Hinted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl Error for Hinted {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.error.source()
    }
}

/// Whether and when a failed task is tried again, as its error says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RetryHint {
    /// Trying again cannot help.
    Never,
    /// Not before this time has passed. The policy says whether, and how often.
    After(Duration),
}

impl TaskError {
    /// This error, and that trying again cannot help: the task fails whatever its retry policy says.
    ///
    /// ```
    /// use longshore_workflow::{RetryHint, TaskError};
    ///
    /// let error = TaskError::failed("there is no such city").permanent();
    /// assert_eq!(error.retry_hint(), Some(RetryHint::Never));
    /// assert_eq!(error.to_string(), "there is no such city");
    /// ```
    #[must_use]
    pub fn permanent(self) -> Self {
        self.hinted(RetryHint::Never)
    }

    /// This error, and that its task is not to be tried again before this time has passed: what a server said that
    /// wants to be left alone. It stands in place of the policy's delay; whether the task is tried again, and how
    /// often, the policy says.
    #[must_use]
    pub fn retry_after(self, delay: Duration) -> Self {
        self.hinted(RetryHint::After(delay))
    }

    fn hinted(self, hint: RetryHint) -> Self {
        let error = match self {
            Self::Hinted(hinted) => hinted.error,
            error => error,
        };
        Self::Hinted(Box::new(Hinted { error, hint }))
    }

    /// What the error says about trying again; none leaves it to the policy.
    pub fn retry_hint(&self) -> Option<RetryHint> {
        match self {
            Self::Hinted(hinted) => Some(hinted.hint),
            Self::ValidationFailed { .. } => Some(RetryHint::Never),
            _ => None,
        }
    }

    /// An [`TaskError::ExecutionFailed`] with this message, stamped now.
    pub fn failed(message: impl Into<String>) -> Self {
        Self::ExecutionFailed { message: message.into(), task_id: String::new(), timestamp: Utc::now() }
    }
}

impl From<ContextError> for TaskError {
    fn from(error: ContextError) -> Self {
        Self::ContextError { task_id: "unknown".to_owned(), error }
    }
}

/// A checkpoint that could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// The state did not serialize.
    #[error("checkpoint does not serialize")]
    Serialization(#[from] serde_json::Error),
    /// The checkpoint could not be saved.
    #[error("checkpoint of `{task_id}` was not saved: {message}")]
    SaveFailed {
        /// The task.
        task_id: String,
        /// The failure's text.
        message: String,
    },
    /// The checkpoint could not be loaded.
    #[error("checkpoint of `{task_id}` was not loaded: {message}")]
    LoadFailed {
        /// The task.
        task_id: String,
        /// The failure's text.
        message: String,
    },
}
