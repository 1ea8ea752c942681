//! The engine's way to whatever holds the author's code.

pub(crate) mod graph_calls;
pub(crate) mod packages;
pub(crate) mod wire;
