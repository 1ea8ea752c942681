//! Values that commands show, as text or as JSON.

pub(crate) mod backtrace;
pub(crate) mod changes;
pub(crate) mod comparison;
pub(crate) mod drawing;
pub(crate) mod entries;
pub(crate) mod packages;
pub(crate) mod plan;
pub(crate) mod run;
pub(crate) mod trigger;
