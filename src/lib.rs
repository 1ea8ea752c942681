//! Workflows shipped as native Rust packages.
//!
//! This crate is the one dependency an author needs. It re-exports the authoring surface
//! ([`longshore_workflow`]) and [`package!`] ([`longshore_workflow_plugin`]).

pub use longshore_workflow::*;
pub use longshore_workflow_plugin::package;

/// The durable engine, for programs that run their own workflows.
#[cfg(feature = "host")]
pub use longshore_engine as engine;

/// A host inside a program: package files are loaded, swapped and unloaded while it runs. Reactors are fed by files,
/// HTTP and NATS.
#[cfg(feature = "host")]
pub mod host {
    pub use longshore_engine::{RunReport, StartRequest, Started};
    pub use longshore_reconciler::host::{Error, Host, HostOptions, LoadedPackage};
    pub use longshore_reconciler::{Outcome, Report, UnloadResult, run_child_if_requested};
    use longshore_streams as _;
}

#[doc(hidden)]
pub use longshore_workflow_plugin::private;

/// The README's code is compiled with the documentation tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
