//! Clocks and random draws as arguments, so that tests can hold them still.

use futures_util::future::BoxFuture;
use std::fmt::Debug;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::sync::watch;

/// The time, and waits for it.
pub trait Clock: Debug + Send + Sync {
    /// Milliseconds since 1970 UTC by the wall clock. It may jump; a jump moves due times and loses nothing.
    fn now_ms(&self) -> i64;

    /// The time since a moment of the clock's own. It never goes back.
    fn uptime(&self) -> Duration;

    /// Waits until [`Clock::uptime`] is `at`. To wait for a wall clock time, read the uptime before the wall clock: a
    /// clock that moves between the two then ends the wait early, never late.
    fn sleep_until(&self, at: Duration) -> BoxFuture<'static, ()>;
}

/// Random draws, for jitter.
pub trait Rng: Debug + Send + Sync {
    /// A draw, uniform in `0.0..1.0`.
    fn draw(&self) -> f64;
}

/// The system's clock and generator: the default everywhere outside tests.
#[derive(Debug, Clone, Copy, Default)]
pub struct System;

/// The first reading of the system's clock.
static FIRST: LazyLock<Instant> = LazyLock::new(Instant::now);

impl Clock for System {
    fn now_ms(&self) -> i64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
    }

    fn uptime(&self) -> Duration {
        FIRST.elapsed()
    }

    fn sleep_until(&self, at: Duration) -> BoxFuture<'static, ()> {
        Box::pin(tokio::time::sleep(at.saturating_sub(self.uptime())))
    }
}

impl Rng for System {
    fn draw(&self) -> f64 {
        rand::random()
    }
}

/// The wall clock as long as it goes on. While it is set back, the time goes on from where it was: what waits for a
/// delay waits no longer than that.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SteadyTime {
    now_ms: i64,
    uptime: Duration,
}

impl SteadyTime {
    pub(crate) fn start(clock: &dyn Clock) -> Self {
        Self { uptime: clock.uptime(), now_ms: clock.now_ms() }
    }

    /// The time: never earlier than what it was before.
    pub(crate) fn now_ms(&self, clock: &dyn Clock) -> i64 {
        let elapsed = clock.uptime().saturating_sub(self.uptime).as_millis();
        let expected = self.now_ms.saturating_add(i64::try_from(elapsed).unwrap_or(i64::MAX));
        clock.now_ms().max(expected)
    }

    /// The time, which from now on is what it goes on from.
    pub(crate) fn advance(&mut self, clock: &dyn Clock) -> i64 {
        let (now, steady) = (clock.now_ms(), self.now_ms(clock));
        if now >= steady {
            *self = Self::start(clock);
        }
        steady
    }
}

/// A clock that stands still until a test moves it, and a generator that always draws the middle.
#[derive(Debug, Clone)]
pub struct Manual {
    time: Arc<watch::Sender<(i64, Duration)>>,
}

impl Manual {
    /// A clock whose wall time is `now_ms`.
    pub fn at(now_ms: i64) -> Self {
        Self { time: Arc::new(watch::Sender::new((now_ms, Duration::ZERO))) }
    }

    /// Moves the clock on, and ends the waits for that time. Every clone of it reads the new time.
    pub fn advance(&self, by: Duration) {
        let ms = i64::try_from(by.as_millis()).unwrap_or(i64::MAX);
        self.time.send_modify(|(now_ms, uptime)| {
            *now_ms = now_ms.saturating_add(ms);
            *uptime = uptime.saturating_add(by);
        });
    }

    /// Sets the wall clock back. The uptime stays.
    pub fn set_back(&self, by: Duration) {
        let ms = i64::try_from(by.as_millis()).unwrap_or(i64::MAX);
        self.time.send_modify(|(now_ms, _)| *now_ms = now_ms.saturating_sub(ms));
    }
}

impl Clock for Manual {
    fn now_ms(&self) -> i64 {
        self.time.borrow().0
    }

    fn uptime(&self) -> Duration {
        self.time.borrow().1
    }

    fn sleep_until(&self, at: Duration) -> BoxFuture<'static, ()> {
        let mut time = self.time.subscribe();
        Box::pin(async move {
            if time.wait_for(|(_, uptime)| *uptime >= at).await.is_err() {
                // The clock is gone, and with it the last that could move it.
                std::future::pending::<()>().await;
            }
        })
    }
}

impl Rng for Manual {
    fn draw(&self) -> f64 {
        0.5
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    #[test]
    fn a_wait_ends_when_the_clock_was_moved_to_its_time_and_not_before() {
        let clock = Manual::at(1000);
        let mut wait = clock.sleep_until(Duration::from_secs(3600));
        clock.advance(Duration::from_millis(3_599_999));
        assert_eq!(wait.as_mut().now_or_never(), None);
        clock.advance(Duration::from_millis(1));
        assert_eq!(wait.now_or_never(), Some(()));
        assert_eq!((clock.now_ms(), clock.uptime()), (3_601_000, Duration::from_secs(3600)));
    }

    #[test]
    fn time_goes_on_while_the_clock_is_behind_and_follows_it_when_it_is_ahead() {
        let clock = Manual::at(10_000);
        let mut time = SteadyTime::start(&clock);
        clock.set_back(Duration::from_secs(5));
        assert_eq!(time.advance(&clock), 10_000);
        clock.advance(Duration::from_millis(1500));
        assert_eq!((time.advance(&clock), time.now_ms(&clock)), (11_500, 11_500));
        clock.advance(Duration::from_millis(500));
        assert_eq!(time.advance(&clock), 12_000);
        let ahead = Manual::at(20_000);
        assert_eq!((time.advance(&ahead), time.advance(&ahead)), (20_000, 20_000));
    }

    #[tokio::test]
    async fn the_systems_clock_waits_for_ever_without_an_overflow() {
        let wait = System.sleep_until(Duration::MAX);
        assert!(tokio::time::timeout(Duration::from_millis(1), wait).await.is_err());
    }
}
