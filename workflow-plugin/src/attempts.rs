//! Attempts that run detached, by lease.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;
use tokio::task::AbortHandle;

/// The controls of a running attempt.
struct Running {
    abort: Option<AbortHandle>,
    cancelled: bool,
    resume: Arc<Notify>,
}

/// The attempts that run right now.
#[derive(Default)]
pub(crate) struct Attempts {
    running: Mutex<HashMap<u64, Running>>,
}

impl Attempts {
    /// Enters an attempt before it is spawned; it may end before [`Attempts::spawned`] is called.
    pub(crate) fn enter(&self, lease: u64, resume: Arc<Notify>) {
        self.lock().insert(lease, Running { abort: None, cancelled: false, resume });
    }

    /// Keeps the means to cancel an entered attempt, which may have been cancelled before.
    pub(crate) fn spawned(&self, lease: u64, abort: AbortHandle) {
        if let Some(running) = self.lock().get_mut(&lease) {
            if running.cancelled {
                abort.abort();
            }
            running.abort = Some(abort);
        }
    }

    /// Takes an attempt out that has stopped. True when it was there: its outcome is to be reported.
    pub(crate) fn leave(&self, lease: u64) -> bool {
        self.lock().remove(&lease).is_some()
    }

    /// Takes an attempt out that has not stopped, and tells it to stop at its next await. True when it was there.
    pub(crate) fn expel(&self, lease: u64) -> bool {
        let Some(running) = self.lock().remove(&lease) else { return false };
        running.abort.into_iter().for_each(|abort| abort.abort());
        true
    }

    /// Tells an attempt to stop, which it does at its next await. False when it is not running.
    pub(crate) fn cancel(&self, lease: u64) -> bool {
        let mut running = self.lock();
        let Some(running) = running.get_mut(&lease) else { return false };
        running.cancelled = true;
        if let Some(abort) = &running.abort {
            abort.abort();
        }
        true
    }

    /// Wakes an attempt that waits for its slot. False when it is not running.
    pub(crate) fn resume(&self, lease: u64) -> bool {
        self.lock().get(&lease).map(|running| running.resume.notify_one()).is_some()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u64, Running>> {
        // Nothing in here panics while the lock is held, and the map is valid between any two operations.
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
