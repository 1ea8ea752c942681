//! Triggers that fire without an event.

mod cron;
mod fire;
pub(crate) mod scheduler;
