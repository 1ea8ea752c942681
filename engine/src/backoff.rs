//! Pauses between repeated tries.

use std::time::Duration;

/// Pauses that double from `first` up to `max`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    first: Duration,
    max: Duration,
}

impl Backoff {
    /// Pauses that double from `first` up to `max`.
    pub const fn new(first: Duration, max: Duration) -> Self {
        Self { first, max }
    }

    /// The pause after the `failures`-th failure in a row, counted from 1; none before the first.
    pub fn pause(&self, failures: u32) -> Duration {
        let Some(doublings) = failures.checked_sub(1) else { return Duration::ZERO };
        self.first.saturating_mul(1 << doublings.min(30)).min(self.max)
    }

    /// A pause between half of [`Backoff::pause`] and all of it; `draw` is uniform in `0.0..1.0`.
    pub fn jittered(&self, failures: u32, draw: f64) -> Duration {
        let half = self.pause(failures) / 2;
        half + half.mul_f64(draw.clamp(0.0, 1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const BACKOFF: Backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(30));

    #[test]
    fn pauses_double_from_the_first_to_the_longest() {
        let pauses = [0, 1, 2, 3, 20].map(|failures| BACKOFF.pause(failures).as_millis());
        assert_eq!(pauses, [0, 100, 200, 400, 30_000]);
    }

    proptest! {
        #[test]
        fn a_jittered_pause_lies_between_half_and_all_of_it(failures in 1_u32..100, draw in 0.0..1.0_f64) {
            let (pause, jittered) = (BACKOFF.pause(failures), BACKOFF.jittered(failures, draw));
            prop_assert!(jittered >= pause / 2 && jittered <= pause);
        }
    }
}
