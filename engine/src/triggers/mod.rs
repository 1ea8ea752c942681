//! Triggers: those that fire without an event, and what all of them start.

mod cron;
pub(crate) mod scheduler;
pub(crate) mod targets;
