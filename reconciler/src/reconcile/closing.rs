//! What is being closed, beside the passes: one way for every generation, published or not.

use crate::runtime::generation::{Generation, UnloadResult};
use longshore_package::{Digest, PackageName};
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
        // A claim that was made on the snapshot before this one is refused by the lane, and put back.
        Self::until(async move { generation.close().await }, wake)
    }

    pub(super) fn until(
        closed: impl Future<Output = UnloadResult> + Send + 'static,
        wake: Arc<Notify>,
    ) -> Self {
        let task = tokio::spawn(async move {
            let result = closed.await;
            fail::fail_point!("reconciler.closed");
            wake.notify_one();
            result
        });
        Self { task, result: None }
    }

    pub(super) fn is_over(&self) -> bool {
        self.result.is_some() || self.task.is_finished()
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

/// A digest that was opened, was not published, and is being closed.
pub(super) struct Unpublished {
    pub(super) digest: Digest,
    pub(super) name: Option<PackageName>,
    pub(super) closing: Closing,
}
