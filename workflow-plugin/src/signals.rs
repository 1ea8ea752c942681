//! What an attempt is told while it runs.

use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::Notify;

/// What an attempt is told while it runs.
#[derive(Default)]
pub(crate) struct Signals {
    resume: Notify,
    is_told: AtomicBool,
    /// True when the task looks out for it.
    looks_out: AtomicBool,
    told: Notify,
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

    /// Tells the attempt to stop. True when it looks out for that, and may be given time to.
    pub(crate) fn tell(&self) -> bool {
        self.is_told.store(true, Ordering::SeqCst);
        self.told.notify_waiters();
        self.looks_out.load(Ordering::SeqCst)
    }

    /// True once the attempt was told to stop.
    pub(crate) fn is_told(&self) -> bool {
        self.looks_out.store(true, Ordering::SeqCst);
        self.is_told.load(Ordering::SeqCst)
    }

    /// Waits until the attempt is told to stop.
    pub(crate) async fn told(&self) {
        loop {
            let told = self.told.notified();
            if self.is_told() {
                return;
            }
            told.await;
        }
    }
}
