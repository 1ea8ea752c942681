//! [`Task`]: what `#[task]` implements.

use crate::context::Context;
use crate::error::{CheckpointError, TaskError};
use crate::handle::BoxFuture;
use crate::namespace::TaskNamespace;
use crate::retry::RetryPolicy;
use serde_json::Value;

/// A unit of work.
///
/// `#[task]` is the usual way to write one. The shape of [`Task::execute`] is what `#[async_trait]`
/// writes, so that an implementation under that attribute fits.
pub trait Task: Send + Sync {
    /// Does the work and returns the context as it left it.
    fn execute<'life0, 'async_trait>(
        &'life0 self,
        context: Context<Value>,
    ) -> BoxFuture<'async_trait, Result<Context<Value>, TaskError>>
    where
        'life0: 'async_trait,
        Self: 'async_trait;

    /// The task's id.
    fn id(&self) -> &str;

    /// The tasks it waits for.
    fn dependencies(&self) -> &[TaskNamespace];

    /// Saves intermediate state; by default there is none.
    ///
    /// # Errors
    /// [`CheckpointError`] when it could not be saved.
    fn checkpoint(&self, _context: &Context<Value>) -> Result<(), CheckpointError> {
        Ok(())
    }

    /// When and how it is tried again.
    fn retry_policy(&self) -> RetryPolicy {
        RetryPolicy::default()
    }

    /// Its rule as JSON, `null` for the default.
    fn trigger_rules(&self) -> Value {
        Value::Null
    }

    /// A digest of its signature and body.
    fn code_fingerprint(&self) -> Option<String> {
        None
    }

    /// True when it takes a [`crate::TaskHandle`].
    fn requires_handle(&self) -> bool {
        false
    }
}
