//! Pure data: what the engine knows of packages and runs.

pub(crate) mod attempt;
pub(crate) mod catalog;
pub(crate) mod context;
pub(crate) mod definition;
pub(crate) mod param;
pub(crate) mod reactor_def;
pub(crate) mod retention;
pub(crate) mod tenancy;
pub(crate) mod typed;
