//! Packages in a process of their own: a child of this same binary over socket pairs, with the same requests.
//!
//! - [`host`]: the package as the host calls it: its process is started again when it ended.
//! - [`process`]: one process from its start to its end.
//! - [`child`]: the child's side: opens the library and answers.
//! - [`crash`]: what a dying child still says.
//! - [`limits`]: what a child may take.
//!
//! # Guarantees
//! - Whatever the package does (crash, exit, hang, fill its memory), the host and other packages go on.
//! - Attempts that were in the child when it ended come back as lost, each once, and are tried again.
//!
//! # Caveats
//! - A child has the host's user and environment: this holds accidents, not malice.

pub(crate) mod child;
pub(crate) mod crash;
pub(crate) mod frames;
mod host;
mod limits;
mod process;

pub(crate) use host::Isolated;

use longshore_workflow_plugin::interface::LongshoreHost;
use longshore_workflow_plugin::wire::ShellConfig;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::time::Duration;

/// What a child is told.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Orders {
    pub(crate) library: PathBuf,
    pub(crate) stamp: crate::artifact::Stamp,
    pub(crate) workers: u32,
    pub(crate) log_level: u8,
    pub(crate) shutdown_ms: u64,
    pub(crate) memory_mb: Option<u64>,
    pub(crate) cpu_seconds: Option<u64>,
}

impl Orders {
    fn config(&self) -> ShellConfig {
        ShellConfig { workers: self.workers, log_level: self.log_level, shutdown_ms: self.shutdown_ms }
    }
}

/// How a child is started and held.
#[derive(Debug, Clone)]
pub(crate) struct Confinement {
    /// The program, which calls [`crate::serve_if_asked`] first thing in `main`.
    pub(crate) program: PathBuf,
    /// Names its control group.
    pub(crate) name: String,
    pub(crate) memory_mb: Option<u64>,
    pub(crate) cpu_percent: Option<u32>,
    pub(crate) start: Duration,
    pub(crate) call: Duration,
}

/// How a process ended that was not asked to.
#[derive(Debug, Clone)]
pub(crate) struct Crash {
    /// In a line.
    pub(crate) how: String,
    /// The end of what it printed, with the frames of the thread that crashed.
    pub(crate) report: String,
    /// Attempts that ended with it.
    pub(crate) attempts: usize,
    /// It did not start because its private copy is not the file that was checked.
    pub(crate) copy_changed: bool,
}

/// What is told of a child beside what the child itself tells.
pub(crate) trait Watcher: LongshoreHost {
    /// An attempt in words.
    fn named(&self, lease: u64) -> String;
    /// An attempt ended with its process.
    fn lost(&self, lease: u64, how: &str);
    /// The process ended by itself.
    fn crashed(&self, crash: Crash);
    /// A line that the process printed while it had these attempts.
    fn said(&self, line: &str, leases: &[u64]);
}
