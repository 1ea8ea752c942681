//! Signals to an attempt that runs: its slot is free again, or it is cancelled.

use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::Notify;

/// Signals to an attempt that runs.
#[derive(Default)]
pub(crate) struct Signals {
    resume: Notify,
    is_cancelled: AtomicBool,
    /// True when the task asked for it.
    observes: AtomicBool,
    cancelled: Notify,
}

impl Signals {
    /// Wakes the attempt that waits for its slot.
    pub(crate) fn resume(&self) {
        self.resume.notify_one();
    }

    /// Waits for the slot.
    pub(crate) async fn resumed(&self) {
        self.resume.notified().await;
    }

    /// Cancels the attempt. True when the task observes that, and may be given time to stop.
    pub(crate) fn request_cancel(&self) -> bool {
        self.is_cancelled.store(true, Ordering::SeqCst);
        self.cancelled.notify_waiters();
        self.observes.load(Ordering::SeqCst)
    }

    /// True once the attempt is cancelled, whether it observes that or not.
    pub(crate) fn is_cancelled(&self) -> bool {
        self.is_cancelled.load(Ordering::SeqCst)
    }

    /// True once the attempt is cancelled. Whoever asks observes it from now on.
    pub(crate) fn observe_cancelled(&self) -> bool {
        self.observes.store(true, Ordering::SeqCst);
        self.is_cancelled.load(Ordering::SeqCst)
    }

    /// Waits until the attempt is cancelled.
    pub(crate) async fn cancelled(&self) {
        loop {
            let cancelled = self.cancelled.notified();
            if self.observe_cancelled() {
                return;
            }
            cancelled.await;
        }
    }
}
