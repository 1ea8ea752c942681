//! The timing of a trigger, in words.

use crate::output::span;
use std::fmt;

/// The timing of a trigger: its cron, its reactor or its polls; fields that do not apply are empty.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct When<'w> {
    pub(crate) cron: &'w str,
    pub(crate) timezone: &'w str,
    pub(crate) reactor: &'w str,
    /// The rule over the outputs of a firing.
    pub(crate) rule: &'w str,
    pub(crate) poll_interval_ms: i64,
}

impl fmt::Display for When<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { cron, timezone, reactor, rule, poll_interval_ms } = *self;
        if !cron.is_empty() {
            return write!(f, "at {cron} {}", if timezone.is_empty() { "UTC" } else { timezone });
        }
        if reactor.is_empty() {
            return write!(f, "when a poll says so, every {}", span(poll_interval_ms));
        }
        write!(f, "when reactor {reactor} fires")?;
        if rule.is_empty() { Ok(()) } else { write!(f, ", for firings with {rule}") }
    }
}
