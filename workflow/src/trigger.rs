//! Triggers: what starts a workflow.

use crate::context::Context;
use crate::error::{ContextError, TaskError};
use crate::handle::BoxFuture;
use serde_json::Value;
use std::fmt;
use std::time::Duration;

/// The result of a poll.
#[derive(Debug)]
pub enum TriggerResult {
    /// Nothing to do; poll again after the interval.
    Skip,
    /// Start the workflow, with this context if there is one.
    Fire(Option<Context<Value>>),
}

impl TriggerResult {
    /// True when the workflow is to be started.
    pub fn should_fire(&self) -> bool {
        matches!(self, Self::Fire(_))
    }

    /// The context to start with.
    pub fn into_context(self) -> Option<Context<Value>> {
        match self {
            Self::Fire(context) => context,
            Self::Skip => None,
        }
    }
}

/// Why a poll failed. The host records it and polls again after the interval.
#[derive(Debug, thiserror::Error)]
pub enum TriggerError {
    /// The poll itself failed.
    #[error("{message}")]
    PollError {
        /// The failure's text.
        message: String,
    },
    /// The context to start with could not be made.
    #[error("the trigger's context could not be made")]
    ContextError(#[from] ContextError),
}

impl From<TaskError> for TriggerError {
    /// Makes `?` take the errors of what tasks use, such as `insert_as`.
    fn from(error: TaskError) -> Self {
        Self::PollError { message: error.to_string() }
    }
}

/// A source of starts; `#[trigger]` is the usual way to write one.
pub trait Trigger: Send + Sync + fmt::Debug {
    /// The trigger's name.
    fn name(&self) -> &str;
    /// The interval at which it is polled.
    fn poll_interval(&self) -> Duration;
    /// True when it fires while an earlier run of its own is still going.
    fn allow_concurrent(&self) -> bool;
    /// Looks whether to fire.
    fn poll<'life0, 'async_trait>(
        &'life0 self,
    ) -> BoxFuture<'async_trait, Result<TriggerResult, TriggerError>>
    where
        'life0: 'async_trait,
        Self: 'async_trait;
    /// The cron expression of a cron trigger.
    fn cron_expression(&self) -> Option<String> {
        None
    }
    /// The workflow it starts.
    fn workflow_name(&self) -> &str {
        ""
    }
}
