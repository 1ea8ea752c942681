//! Packages in a process of their own: a child of this same binary over socket pairs, with the same requests.
//!
//! - [`supervisor`]: the package as the host calls it; starts the process again when it ended.
//! - [`process`]: one process from its start to its end.
//! - [`child`]: the child's side, which opens the library and answers.
//! - [`launch`], [`control`], [`entry`], [`reaper`]: the start of a child on either side, and its end with whatever it started.
//! - [`crash`]: the report of a dying child.
//! - [`limits`], [`cgroup`]: resource limits of a child, set by itself and by its host.
//!
//! # Guarantees
//! - Whatever the package does (crash, exit, hang, fill its memory), the host and other packages go on.
//! - Attempts that were in the child when it ended come back as lost, each once, and are tried again.
//!
//! - What a package starts ends with it, whatever sessions and groups it makes (Linux).
//! - A child is of its host's own build: another one refuses to begin.
//!
//! # Caveats
//! - A child has the host's user and environment: this contains accidents, not malice.

#[cfg(unix)]
mod cgroup;
#[cfg(unix)]
pub(crate) mod child;
mod control;
#[cfg(unix)]
pub(crate) mod crash;
pub(crate) mod entry;
pub(crate) mod exit;
#[cfg(unix)]
pub(crate) mod frames;
pub(crate) mod launch;
#[cfg(unix)]
pub(crate) mod limits;
#[cfg(unix)]
#[expect(clippy::module_inception, reason = "one process of the module about processes")]
pub(crate) mod process;
#[cfg(target_os = "linux")]
mod reaper;
#[cfg(unix)]
pub(crate) mod spec;
#[cfg(unix)]
pub(crate) mod supervisor;
