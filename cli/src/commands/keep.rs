//! The retention of ended runs and old records: options of `serve` and `db prune`.

use longshore_engine::{Keep, Retention};
use std::time::Duration;

/// Options for the time and the number of runs that are kept.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct KeepOptions {
    /// Days that runs are kept that succeeded
    #[arg(long, value_name = "DAYS", default_value_t = 7)]
    keep_succeeded: u32,
    /// Days that runs are kept that failed or were cancelled
    #[arg(long, value_name = "DAYS", default_value_t = 30)]
    keep_failed: u32,
    /// Runs that are kept of each workflow at most, those that succeeded apart from the others
    #[arg(long, value_name = "RUNS", default_value_t = 10_000)]
    keep_newest: u64,
    /// Delete nothing
    #[arg(long)]
    keep_all: bool,
}

impl KeepOptions {
    /// None when nothing is deleted.
    pub(crate) fn retention(&self) -> Option<Retention> {
        let keep =
            |days| Keep { age: Duration::from_secs(u64::from(days) * 86_400), newest: self.keep_newest };
        (!self.keep_all).then(|| Retention {
            succeeded: keep(self.keep_succeeded),
            failed: keep(self.keep_failed),
            ..Retention::default()
        })
    }
}
