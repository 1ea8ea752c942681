//! [`TaskHandle`]: what a running task can ask of its host.

use crate::error::TaskError;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

/// A boxed future, as the slot hands it out.
pub(crate) type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The concurrency slot of one attempt, as the host side implements it.
#[doc(hidden)]
pub trait Slot: Send + Sync {
    /// Gives the slot back.
    fn release(&self) -> BoxFuture<'_, Result<(), TaskError>>;
    /// Waits until a slot is free and takes it.
    fn reclaim(&self) -> BoxFuture<'_, Result<(), TaskError>>;
    /// Waits without holding a thread.
    fn sleep(&self, duration: Duration) -> BoxFuture<'_, ()>;
}

/// A running task's line to its host.
///
/// Declare it as the second parameter of a task to receive one.
pub struct TaskHandle {
    task_execution_id: String,
    slot: Arc<dyn Slot>,
    held: bool,
}

impl TaskHandle {
    #[doc(hidden)]
    pub fn new(task_execution_id: String, slot: Arc<dyn Slot>) -> Self {
        Self { task_execution_id, slot, held: true }
    }

    /// Names this run and task, the same in every attempt: the key to make outside effects idempotent with.
    pub fn task_execution_id(&self) -> &str {
        &self.task_execution_id
    }

    /// True when this task holds a concurrency slot right now.
    pub fn is_slot_held(&self) -> bool {
        self.held
    }

    /// Waits until `condition` is true, looking every `poll_interval`.
    ///
    /// The concurrency slot is given back while it waits, so that other tasks run in it, and taken again
    /// before this returns.
    ///
    /// # Errors
    /// [`TaskError`] when the host is stopping and no slot will come back.
    pub async fn defer_until<F, Fut>(
        &mut self,
        condition: F,
        poll_interval: Duration,
    ) -> Result<(), TaskError>
    where
        F: Fn() -> Fut,
        Fut: Future<Output = bool>,
    {
        if condition().await {
            return Ok(());
        }
        self.slot.release().await?;
        self.held = false;
        while !condition().await {
            self.slot.sleep(poll_interval).await;
        }
        self.slot.reclaim().await?;
        self.held = true;
        Ok(())
    }
}

impl fmt::Debug for TaskHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaskHandle")
            .field("task_execution_id", &self.task_execution_id)
            .field("held", &self.held)
            .finish_non_exhaustive()
    }
}
