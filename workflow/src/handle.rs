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
    /// True once the attempt was told to stop. Whoever asks is given time to do so by itself.
    fn is_cancelled(&self) -> bool;
    /// Waits until the attempt is told to stop. Whoever waits is given time to do so by itself.
    fn cancelled(&self) -> BoxFuture<'_, ()>;
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

    /// True once this attempt was told to stop: its run was cancelled, or its host stops.
    ///
    /// A task is stopped at its next await. One that has asked here, or waits for [`TaskHandle::cancelled`], is given four
    /// seconds to stop by itself first.
    ///
    /// It stops with an error, whichever: the attempt then counts as stopped and not as failed, and when its host
    /// stops, the next one executes the task again. Ok says that the work is done.
    pub fn is_cancelled(&self) -> bool {
        self.slot.is_cancelled()
    }

    /// Completes once this attempt is told to stop; see [`TaskHandle::is_cancelled`].
    pub async fn cancelled(&self) {
        self.slot.cancelled().await;
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
        loop {
            self.slot.sleep(poll_interval).await;
            if condition().await {
                break;
            }
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
