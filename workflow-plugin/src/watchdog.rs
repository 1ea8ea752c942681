//! Reports of attempts that go on after their deadline.
//!
//! Code that blocks its thread cannot be interrupted, and no timer of a runtime fires while all of its threads are blocked: a
//! thread apart watches the deadlines.

use std::collections::BTreeMap;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Time beyond a deadline before the attempt is reported. Longer than the two seconds after which a host ends the process of
/// an isolated package (`reconciler`, `runtime/process/process.rs`): that comes first.
const REPORT_GRACE: Duration = Duration::from_secs(4);

/// An attempt that goes on after its deadline.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Overdue {
    pub(crate) lease: u64,
    pub(crate) deadline: Duration,
    /// True when its code runs right now; otherwise it waits for a thread.
    pub(crate) holds_thread: bool,
}

/// What an attempt is watched by.
struct Entry {
    deadline: Duration,
    /// True while its code runs.
    polled: Arc<AtomicBool>,
}

/// The attempts that have a deadline, by the time at which they are overdue and by lease.
#[derive(Default)]
struct Watched {
    by_time: BTreeMap<(Instant, u64), Entry>,
    stopped: bool,
}

struct Shared {
    watched: Mutex<Watched>,
    changed: Condvar,
    report: Box<dyn Fn(Overdue) + Send + Sync>,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Watched> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reports what is overdue, until it is stopped.
    fn run(&self) {
        let mut watched = self.lock();
        while !watched.stopped {
            let next = watched.by_time.keys().next().copied();
            let left = next.map(|(at, _)| at.saturating_duration_since(Instant::now()));
            watched = match (next, left) {
                (Some(key), Some(Duration::ZERO)) => {
                    let entry = watched.by_time.remove(&key);
                    drop(watched);
                    entry.into_iter().for_each(|Entry { deadline, polled }| {
                        let holds_thread = polled.load(Ordering::SeqCst);
                        (self.report)(Overdue { lease: key.1, deadline, holds_thread });
                    });
                    self.lock()
                }
                (_, Some(left)) => {
                    let woken = self.changed.wait_timeout(watched, left);
                    woken.unwrap_or_else(PoisonError::into_inner).0
                }
                (_, None) => self.changed.wait(watched).unwrap_or_else(PoisonError::into_inner),
            };
        }
    }
}

/// Watches attempts that have a deadline. Its thread starts with the first of them and ends with [`Watchdog::stop`].
pub(crate) struct Watchdog {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Watchdog {
    /// A watchdog that reports in this way.
    pub(crate) fn new(report: impl Fn(Overdue) + Send + Sync + 'static) -> Self {
        let shared = Shared { watched: Mutex::default(), changed: Condvar::new(), report: Box::new(report) };
        Self { shared: Arc::new(shared), thread: Mutex::default() }
    }

    /// Watches an attempt from now on, until the guard is dropped. One whose deadline lies beyond all time is not watched.
    pub(crate) fn watch(&self, lease: u64, deadline: Duration) -> Watch {
        let polled = Arc::new(AtomicBool::new(false));
        let at = Instant::now().checked_add(deadline.saturating_add(REPORT_GRACE));
        let key = at.map(|at| (at, lease));
        if let Some(key) = key {
            self.shared.lock().by_time.insert(key, Entry { deadline, polled: Arc::clone(&polled) });
            self.start();
            self.shared.changed.notify_one();
        }
        Watch { shared: Arc::clone(&self.shared), key, polled }
    }

    /// Stops the thread; nothing is reported afterwards.
    pub(crate) fn stop(&self) {
        self.shared.lock().stopped = true;
        self.shared.changed.notify_one();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        // Joining cannot deadlock: the lock is released during a report, and a report does not block.
        let _ = thread.map(JoinHandle::join);
    }

    fn start(&self) {
        let mut thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner);
        if thread.is_none() && !self.shared.lock().stopped {
            let shared = Arc::clone(&self.shared);
            let started = std::thread::Builder::new().name("deadlines".into()).spawn(move || shared.run());
            // Without the thread, overdue attempts are not reported.
            *thread = started.ok();
        }
    }
}

/// An attempt that is watched.
pub(crate) struct Watch {
    shared: Arc<Shared>,
    key: Option<(Instant, u64)>,
    polled: Arc<AtomicBool>,
}

impl Watch {
    /// Polls the attempt's code, and notes when it runs.
    pub(crate) async fn around<F: Future>(&self, attempt: F) -> F::Output {
        let mut attempt = pin!(attempt);
        poll_fn(|cx| {
            self.polled.store(true, Ordering::SeqCst);
            let polled = attempt.as_mut().poll(cx);
            self.polled.store(false, Ordering::SeqCst);
            polled
        })
        .await
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        if let Some(key) = &self.key {
            self.shared.lock().by_time.remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    #[test]
    fn only_what_goes_on_after_its_deadline_is_reported_with_what_it_does() {
        let (sender, reported) = mpsc::channel();
        let watchdog = Watchdog::new(move |overdue| {
            let _ = sender.send(overdue);
        });
        drop(watchdog.watch(1, Duration::ZERO));
        let waits = watchdog.watch(2, Duration::ZERO);
        let runs = watchdog.watch(3, Duration::ZERO);
        runs.polled.store(true, Ordering::SeqCst);
        let _far = watchdog.watch(4, Duration::MAX);
        let told: Vec<_> = (0..2).map(|_| reported.recv().expect("is reported")).collect();
        assert_eq!(
            told.iter().map(|o| (o.lease, o.holds_thread)).collect::<Vec<_>>(),
            [(2, false), (3, true)]
        );
        drop((waits, runs));
        watchdog.stop();
        let _late = watchdog.watch(5, Duration::ZERO);
        assert!(watchdog.thread.lock().expect("sound").is_none(), "it is not started again");
    }
}
