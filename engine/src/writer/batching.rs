//! The time a transaction waits for outcomes and starts that arrive together.

use std::time::{Duration, Instant};

/// Most commands of one transaction: bounds how long a commit can keep the others waiting.
pub(super) const MAX_BATCH: usize = 512;

/// Attempts that were handed over this short a time ago may end together.
const BATCH_WINDOW: Duration = Duration::from_millis(2);

/// This many outcomes are a burst however long ago they were handed over: they share the cost of the wait.
const BURST_THRESHOLD: usize = 8;

/// The pause that ends a burst of outcomes: several times what one takes to arrive.
const QUIET_PERIOD: Duration = Duration::from_micros(150);

/// Each further group of this many outcomes lengthens the pause by a [`QUIET_PERIOD`].
const OUTCOMES_PER_QUIET_PERIOD: u32 = 64;

/// The pause that ends a burst of starts: their callers are in this process, and each waits for its answer.
const START_QUIET_PERIOD: Duration = Duration::from_micros(20);

/// The longest wait of an outcome for its transaction.
pub(super) const MAX_BATCH_DELAY: Duration = Duration::from_millis(10);

/// Work that waits for the next transaction.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pending {
    pub(super) outcomes: usize,
    pub(super) starts: usize,
    /// True when attempts are running that may end next.
    pub(super) more_to_come: bool,
}

/// Decides how long to wait for more. Real time, whatever the clock of a test says: the waits are microseconds.
#[derive(Debug)]
pub(super) struct Batching {
    last_dispatch: Instant,
}

impl Batching {
    pub(super) fn new() -> Self {
        Self { last_dispatch: Instant::now() }
    }

    /// Attempts were handed over.
    pub(super) fn dispatched(&mut self) {
        self.last_dispatch = Instant::now();
    }

    /// The pause that ends the burst that may be going on; none when nothing more is expected.
    pub(super) fn quiet_period(&self, pending: Pending) -> Option<Duration> {
        let Pending { outcomes, starts, more_to_come } = pending;
        if outcomes + starts >= MAX_BATCH {
            return None;
        }
        let together = outcomes >= BURST_THRESHOLD || self.last_dispatch.elapsed() < BATCH_WINDOW;
        if outcomes > 0 && more_to_come && together {
            return Some(QUIET_PERIOD * (1 + outcomes as u32 / OUTCOMES_PER_QUIET_PERIOD));
        }
        (starts > 0).then_some(START_QUIET_PERIOD)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_waited_for_until_the_batch_is_full() {
        let batching = Batching { last_dispatch: Instant::now() - BATCH_WINDOW * 2 };
        let quiet = |outcomes, starts, more_to_come| {
            batching.quiet_period(Pending { outcomes, starts, more_to_come })
        };
        assert_eq!(quiet(1, 0, true), None, "a lone outcome of an attempt that took long");
        assert_eq!(quiet(BURST_THRESHOLD, 0, true), Some(QUIET_PERIOD));
        assert_eq!(quiet(BURST_THRESHOLD, 0, false), None, "nothing else runs");
        assert_eq!(quiet(0, 1, false), Some(START_QUIET_PERIOD));
        assert_eq!(quiet(64, 0, true), Some(QUIET_PERIOD * 2));
        assert_eq!(quiet(MAX_BATCH, 0, true), None);
    }
}
