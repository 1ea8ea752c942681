//! What fires without an event.

pub(crate) mod scheduler;
