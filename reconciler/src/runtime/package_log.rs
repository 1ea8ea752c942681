//! A package's log lines in the host's tracing, with run, task and attempt.

use crate::observer::{Observer, PackageLine};
use longshore_workflow_plugin::wire::{LogRecord, Wire};
use std::fmt::Write;
use std::time::{Duration, Instant};

/// Which attempt a line belongs to.
#[derive(Debug, Clone)]
pub(crate) struct AttemptName {
    pub(crate) run: String,
    pub(crate) task: String,
    pub(crate) attempt: u32,
}

/// Emits a line that a package sent. One that does not decode is dropped: its sender is the package itself.
pub(crate) fn emit(
    package: &str,
    bytes: &[u8],
    observer: &dyn Observer,
    name_of: impl FnOnce(u64) -> Option<AttemptName>,
) {
    let Ok(record) = LogRecord::decode(bytes) else { return };
    let named = name_of(record.lease);
    let (run, task, attempt) = match &named {
        Some(named) => (named.run.as_str(), named.task.as_str(), named.attempt),
        None => ("", "", 0),
    };
    let mut message = record.message;
    for (key, value) in &record.fields {
        // Writing to a String does not fail.
        let _ = write!(message, " {key}={value}");
    }
    let module = record.target.as_str();
    let level = record.level;
    observer.line(&PackageLine { package, run, task, attempt, level, module, message: &message });
    macro_rules! line {
        ($level:ident) => {
            tracing::event!(
                target: "longshore::package",
                tracing::Level::$level,
                package,
                run,
                task,
                attempt,
                module,
                "{message}"
            )
        };
    }
    match record.level {
        1 => line!(ERROR),
        2 => line!(WARN),
        3 => line!(INFO),
        4 => line!(DEBUG),
        _ => line!(TRACE),
    }
}

/// Lines a package may write within [`PERIOD`]; what is beyond is counted and dropped, so that one package does not
/// fill the host's log.
const MAX_LINES: u32 = 20_000;

/// See [`MAX_LINES`].
const PERIOD: Duration = Duration::from_secs(10);

/// The verbosity of a package's log.
#[derive(Debug)]
pub(crate) struct LogRate {
    since: Instant,
    lines: u32,
}

impl Default for LogRate {
    fn default() -> Self {
        Self { since: Instant::now(), lines: 0 }
    }
}

impl LogRate {
    /// True when one more line is let through. Says once a period how many were not.
    pub(crate) fn admits(&mut self, package: &str) -> bool {
        if self.since.elapsed() >= PERIOD {
            let dropped = self.lines.saturating_sub(MAX_LINES);
            if dropped > 0 {
                tracing::warn!(package, dropped, limit = MAX_LINES, "the package writes too many log lines");
            }
            *self = Self::default();
        }
        self.lines = self.lines.saturating_add(1);
        self.lines <= MAX_LINES
    }
}
