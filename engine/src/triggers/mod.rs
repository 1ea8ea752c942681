//! Triggers that fire without an event.

pub(crate) mod scheduler;
