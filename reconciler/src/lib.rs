//! Desired packages to loaded ones.
//!
//! - [`source`]: the files in the operator's directories.
//! - [`artifact`]: the checks before loading, none of which runs a line of the package.
//! - [`probe`]: the last check, in a child process.
//! - [`generation`]: a loaded digest, and the threads that may call it.
//! - `isolate`: a package in a process of its own.
//! - [`plan`]: what to do, decided purely: load, restore, retire, unload.
//! - [`Reconciler`]: does it, records it, repeats.
//!
//! # Guarantees
//! - A package that fails a check never runs in this process, and the others do not notice.
//! - The catalog is replaced as a whole: no request finds neither the old nor the new generation.
//! - A package is only ever called on threads that belong to its generation.
//!
//! # Caveats
//! - A package that crashes after its probe passed takes the host with it, unless it runs in a process of its own.

pub mod artifact;
mod callbacks;
mod catalog;
mod children;
mod error;
mod files;
pub mod generation;
mod graphs;
pub mod health;
mod instance;
#[cfg(unix)]
mod isolate;
mod lanes;
mod library;
mod loader;
mod logs;
pub mod observer;
pub mod plan;
pub mod preview;
pub mod probe;
mod reconciler;
mod records;
mod report;
pub mod source;
#[expect(unsafe_code, reason = "linkme gathers the slice by placing statics in a section")]
mod steps;
pub mod wanted;
mod watch;

pub use catalog::LoadedPackages;
pub use children::serve_if_asked;
pub use error::Error;
pub use instance::Instance;
pub use reconciler::{LeakPolicy, Options, Reconciler};
pub use report::{Outcome, Report};
pub use steps::{LOAD_STEPS, LoadStep, Orphan};
