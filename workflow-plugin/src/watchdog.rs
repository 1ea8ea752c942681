//! Attempts that go on after their deadline: code that blocks its thread cannot be interrupted, and is told.
//!
//! A deadline is a timer of the runtime that executes the attempt. While its code does not await, and while every thread of
//! the runtime is blocked, no timer fires: a thread of its own looks.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Time beyond its deadline before an attempt is told: the runtime's own timer comes first, and so does a host that ends
/// the process of the package.
const GRACE: Duration = Duration::from_secs(4);

/// The attempts that have a deadline: when each is told, its lease, and its deadline.
#[derive(Default)]
struct Watched {
    overdue_at: BTreeMap<(Instant, u64), Duration>,
    ends: bool,
}

#[derive(Default)]
struct Shared {
    watched: Mutex<Watched>,
    changed: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Watched> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Looks after attempts that have a deadline. Its thread starts with the first of them and ends with
/// [`Watchdog::stop`].
#[derive(Default)]
pub(crate) struct Watchdog {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Watchdog {
    /// Watches an attempt from now on, until the guard is dropped. `tell` is called with the lease and the deadline of each
    /// that goes on.
    pub(crate) fn watch(
        &self,
        lease: u64,
        deadline: Duration,
        tell: impl Fn(u64, Duration) + Send + 'static,
    ) -> Watch {
        let overdue_at = Instant::now().checked_add(deadline.saturating_add(GRACE));
        // One that lies beyond all time does not pass.
        let entry = overdue_at.map(|at| (at, lease));
        if let Some(entry) = entry {
            self.shared.lock().overdue_at.insert(entry, deadline);
            self.start(tell);
            self.shared.changed.notify_one();
        }
        Watch { shared: Arc::clone(&self.shared), entry }
    }

    /// Ends its thread: from now on nobody is told.
    pub(crate) fn stop(&self) {
        self.shared.lock().ends = true;
        self.shared.changed.notify_one();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        // It holds no lock while it tells, and telling a host returns.
        let _ = thread.map(JoinHandle::join);
    }

    fn start(&self, tell: impl Fn(u64, Duration) + Send + 'static) {
        let mut thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner);
        if thread.is_none() && !self.shared.lock().ends {
            let shared = Arc::clone(&self.shared);
            let looks =
                std::thread::Builder::new().name("deadlines".into()).spawn(move || look(&shared, tell));
            // Without its thread nobody is told; the attempts end as they do.
            *thread = looks.ok();
        }
    }
}

fn look(shared: &Shared, tell: impl Fn(u64, Duration)) {
    let mut watched = shared.lock();
    while !watched.ends {
        let Some(((at, lease), deadline)) = watched.overdue_at.first_key_value().map(|(k, v)| (*k, *v))
        else {
            watched = shared.changed.wait(watched).unwrap_or_else(PoisonError::into_inner);
            continue;
        };
        let left = at.saturating_duration_since(Instant::now());
        if !left.is_zero() {
            let woken = shared.changed.wait_timeout(watched, left);
            watched = woken.unwrap_or_else(PoisonError::into_inner).0;
            continue;
        }
        watched.overdue_at.remove(&(at, lease));
        drop(watched);
        tell(lease, deadline);
        watched = shared.lock();
    }
}

/// An attempt that is watched.
pub(crate) struct Watch {
    shared: Arc<Shared>,
    entry: Option<(Instant, u64)>,
}

impl Drop for Watch {
    fn drop(&mut self) {
        if let Some(entry) = &self.entry {
            self.shared.lock().overdue_at.remove(entry);
        }
    }
}
