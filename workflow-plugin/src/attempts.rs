//! Attempts that run detached, by lease.

use crate::signals::Signals;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::task::AbortHandle;

/// The controls of a running attempt.
struct Running {
    abort: Option<AbortHandle>,
    cancelled: bool,
    signals: Arc<Signals>,
}

/// What became of a request to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cancelled {
    /// The attempt is not running.
    NotRunning,
    /// It stops at its next await.
    Aborted,
    /// It observes cancellation, which was requested. Whoever cancels aborts it when it takes too long.
    Requested,
}

/// The attempts that run right now.
#[derive(Default)]
pub(crate) struct Attempts {
    running: Mutex<HashMap<u64, Running>>,
}

impl Attempts {
    /// Enters an attempt before it is spawned; it may end before [`Attempts::spawned`] is called.
    pub(crate) fn enter(&self, lease: u64, signals: Arc<Signals>) {
        self.lock().insert(lease, Running { abort: None, cancelled: false, signals });
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

    /// Cancels an attempt: requests it of one that observes cancellation, and aborts any other.
    pub(crate) fn cancel(&self, lease: u64) -> Cancelled {
        let observes = match self.lock().get(&lease) {
            None => return Cancelled::NotRunning,
            Some(running) => running.signals.request_cancel(),
        };
        if observes {
            return Cancelled::Requested;
        }
        self.abort(lease);
        Cancelled::Aborted
    }

    /// Ends an attempt at its next await, when it is still running.
    pub(crate) fn abort(&self, lease: u64) {
        if let Some(running) = self.lock().get_mut(&lease) {
            running.cancelled = true;
            running.abort.iter().for_each(AbortHandle::abort);
        }
    }

    /// Wakes an attempt that waits for its slot. False when it is not running.
    pub(crate) fn resume(&self, lease: u64) -> bool {
        self.lock().get(&lease).map(|running| running.signals.resume()).is_some()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u64, Running>> {
        // Nothing in here panics while the lock is held, and the map is valid between any two operations.
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
