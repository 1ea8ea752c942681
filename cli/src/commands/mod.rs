//! One file or folder per command; folders have one file per verb.

pub(crate) mod abi;
pub(crate) mod build;
pub(crate) mod completions;
pub(crate) mod db;
pub(crate) mod dev;
pub(crate) mod diff;
pub(crate) mod explain;
pub(crate) mod graphs;
pub(crate) mod hosts;
pub(crate) mod inspect;
pub(crate) mod keep;
pub(crate) mod man;
pub(crate) mod new;
pub(crate) mod pack;
pub(crate) mod packages;
pub(crate) mod plan;
pub(crate) mod reactors;
pub(crate) mod run;
pub(crate) mod runs;
pub(crate) mod schedules;
pub(crate) mod serve;
pub(crate) mod status;
pub(crate) mod triggers;
pub(crate) mod workflows;
