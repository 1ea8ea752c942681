//! Triggers that fire without an event.

mod cron;
pub(crate) mod fire;
pub(crate) mod scheduler;
