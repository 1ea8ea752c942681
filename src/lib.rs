//! Workflows shipped as native Rust packages.
//!
//! This crate is the one dependency that authors and embedding programs need:
//!
//! - what an author writes against: [`task`], [`workflow`], [`Context`] and their siblings, and [`package!`];
//! - feature `embedded`: `Embedded`, a program's own workflows with a database behind them;
//! - feature `host`: `host::Host`, a host inside a program, which loads, swaps and unloads package files.

pub use longshore_workflow::*;
pub use longshore_workflow_plugin::package;

#[cfg(feature = "embedded")]
pub mod embedded;

#[cfg(feature = "embedded")]
pub use embedded::Embedded;

/// The durable engine that a program's workflows and a host's packages run on.
#[cfg(feature = "embedded")]
pub use longshore_engine as engine;

/// The records of runs, for programs that look at them.
#[cfg(feature = "embedded")]
pub use longshore_store as store;

/// The types of computation graphs, by the path that crates written for other engines name.
pub mod computation_graph {
    pub use longshore_workflow::{
        GraphError, GraphResult, InputCache, SourceName, Terminal, deserialize, serialize,
    };

    /// The same.
    pub mod types {
        pub use super::*;
    }
}

/// A host inside a program: package files are loaded, swapped and unloaded while it runs. Reactors are fed by files,
/// HTTP and NATS.
#[cfg(feature = "host")]
pub mod host {
    pub use longshore_engine::{RunReport, StartRequest, Started};
    pub use longshore_reconciler::host::{Error, Host, HostOptions, LoadedPackage};
    pub use longshore_reconciler::{Outcome, Report, UnloadResult, run_child_if_requested};
}

#[doc(hidden)]
pub use longshore_workflow_plugin::private;

/// The README's code is compiled with the documentation tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

/// So is that of the book.
#[cfg(doctest)]
#[doc = include_str!("../docs/book/coming-from-cloacina.md")]
struct ComingFromCloacina;
