//! The shell of a package: what [`package!`] expands to, and what a host calls.
//!
//! - [`interface`]: the nine methods by position, and the channel back to the host.
//! - [`wire`]: what crosses, with its schema.
//! - [`Shell`]: walks the inventory once, answers the methods, runs attempts on its own runtime; a watchdog reports those that
//!   go on after their deadline.

mod answer;
mod attempts;
mod callback;
mod failure;
mod graphs;
mod index;
#[allow(
    missing_docs,
    unexpected_cfgs,
    unsafe_code,
    unreachable_pub,
    unused_qualifications,
    clippy::all,
    clippy::undocumented_unsafe_blocks,
    reason = "fidius generates the vtable, its shims and its clients beside the traits"
)]
pub mod interface;
mod invoke;
mod log_channel;
mod package;
mod panics;
pub mod private;
mod project;
mod shell;
mod signals;
mod watchdog;
pub mod wire;

pub use graphs::Outputs;
pub use interface::{INTERFACE_VERSION, LongshoreHost, LongshorePackage, Method};
pub use longshore_workflow::TaskHandle;
pub use shell::Shell;

/// The version of fidius's own layout of tables and registries, which host and packages share.
pub const FIDIUS_ABI: u32 = fidius::ABI_VERSION;
