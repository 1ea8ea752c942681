//! The retention of ended runs and old records.

use std::time::Duration;

/// The times and numbers for which ended runs and old records are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retention {
    /// Runs that succeeded.
    pub succeeded: Keep,
    /// Runs that failed or were cancelled.
    pub failed: Keep,
    /// Events of hosts, packages and schedules; those of runs go with them.
    pub events: Duration,
    /// Dead letters of reactors.
    pub dead_letters: Duration,
}

/// Limits of the runs that are kept: a run is kept while it is within both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keep {
    /// The time since a run's end.
    pub age: Duration,
    /// The number of runs of each workflow, the newest first.
    pub newest: u64,
}

pub(crate) const DAY: Duration = Duration::from_secs(24 * 60 * 60);

impl Default for Retention {
    /// A week of runs that succeeded and a month of the others, at most 10,000 of each workflow; a quarter of events.
    fn default() -> Self {
        Self {
            succeeded: Keep { age: DAY * 7, newest: 10_000 },
            failed: Keep { age: DAY * 30, newest: 10_000 },
            events: DAY * 90,
            dead_letters: DAY * 30,
        }
    }
}
