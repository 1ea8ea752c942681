//! A generation that is being closed, beside the passes.

use crate::runtime::generation::{Generation, UnloadResult};
use std::sync::Arc;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

/// A generation that is being closed, and the result once it is.
pub(super) struct Closing {
    task: JoinHandle<UnloadResult>,
    result: Option<UnloadResult>,
}

impl Closing {
    pub(super) fn of(generation: Arc<Generation>, wake: Arc<Notify>) -> Self {
        let task = tokio::spawn(async move {
            // A claim that was made on the snapshot before this one is refused by the lane, and put back.
            let result = generation.close().await;
            fail::fail_point!("reconciler.closed");
            wake.notify_one();
            result
        });
        Self { task, result: None }
    }

    /// Waits until it is closed.
    pub(super) async fn result(&mut self) -> UnloadResult {
        if let Some(result) = self.result {
            return result;
        }
        let result = (&mut self.task).await.unwrap_or(UnloadResult::Unknown);
        self.result = Some(result);
        result
    }
}
