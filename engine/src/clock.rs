//! The clock and random draws as arguments, so that tests can hold them still.

use std::fmt::Debug;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Readings of the wall clock. It may jump; a jump moves due times and loses nothing.
pub trait Clock: Debug + Send + Sync {
    /// Milliseconds since 1970 UTC.
    fn now_ms(&self) -> i64;
}

/// Random draws, for jitter.
pub trait Rng: Debug + Send + Sync {
    /// A draw, uniform in `0.0..1.0`.
    fn draw(&self) -> f64;
}

/// The system's clock and generator: the default everywhere outside tests.
#[derive(Debug, Clone, Copy, Default)]
pub struct System;

impl Clock for System {
    fn now_ms(&self) -> i64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
    }
}

impl Rng for System {
    fn draw(&self) -> f64 {
        rand::random()
    }
}

/// A clock that stands still until a test moves it, and a generator that always draws the middle.
#[derive(Debug, Clone, Default)]
pub struct Manual {
    now_ms: Arc<AtomicI64>,
}

impl Manual {
    /// A clock that reads `now_ms`.
    pub fn at(now_ms: i64) -> Self {
        Self { now_ms: Arc::new(AtomicI64::new(now_ms)) }
    }

    /// Moves the clock on; every clone of it reads the new time.
    pub fn advance(&self, by: Duration) {
        let by = i64::try_from(by.as_millis()).unwrap_or(i64::MAX);
        self.now_ms.fetch_add(by, Ordering::SeqCst);
    }
}

impl Clock for Manual {
    fn now_ms(&self) -> i64 {
        self.now_ms.load(Ordering::SeqCst)
    }
}

impl Rng for Manual {
    fn draw(&self) -> f64 {
        0.5
    }
}
