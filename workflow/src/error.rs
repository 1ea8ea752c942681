//! Errors an author meets and returns.

use chrono::{DateTime, Utc};
use thiserror::Error;

/// A context operation that could not be done.
#[derive(Debug, Error)]
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
/// unavailable.
#[derive(Debug, Error)]
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
}

impl TaskError {
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
#[derive(Debug, Error)]
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
