//! Desired packages to loaded ones.
//!
//! - [`source`]: the files that the operator's directories offer.
//! - [`plan`]: what to do, decided purely: load, restore, retire, cancel, unload.
//! - [`artifact`]: the checks before loading, none of which runs a line of the package; the artifact cache.
//! - [`runtime`]: a loaded package and the threads or the process that may call it; the probe.
//! - [`catalog`]: the loaded packages as the engine sees them, replaced as a whole.
//! - [`Reconciler`]: the loop that observes, plans, applies and records.
//! - [`host`]: store, engine, reconciler and streams as one running host.
//!
//! # Guarantees
//! - A package that fails a check never runs in this process, and other packages are not affected.
//! - The catalog is replaced as a whole: no request finds neither the old nor the new generation.
//! - A package is only ever called on threads that belong to its generation.
//!
//! # Caveats
//! - A package that crashes after its probe passed takes the host with it, unless it runs in a process of its own.

pub mod artifact;
mod blocking;
pub mod catalog;
mod child_main;
mod error;
pub mod host;
pub mod observer;
pub mod plan;
pub mod readiness;
mod reconcile;
pub mod runtime;
pub mod source;

pub use catalog::LoadedPackages;
pub use catalog::steps::{LOAD_STEPS, LoadStep};
pub use child_main::run_child_if_requested;
pub use error::{Error, StepError, UnboundGraph};
pub use host::{Host, HostOptions};
pub use reconcile::following::OWN_DATABASE;
pub use reconcile::options::{LeakPolicy, Options, RUN_ACTOR};
pub use reconcile::preview::{Preview, Step, preview};
pub use reconcile::report::{Outcome, Report};
pub use reconcile::state::Reconciler;
pub use reconcile::take_in::take_in;
pub use runtime::{Instance, UnloadResult};
