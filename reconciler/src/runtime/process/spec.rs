//! The specification of a child, and the events that its host gets.

use crate::artifact::assets::Assets;
use crate::artifact::cache::FileIdentity;
use longshore_workflow_plugin::interface::LongshoreHost;
use longshore_workflow_plugin::wire::ShellConfig;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::time::Duration;

/// The first argument of the process of a package.
pub(crate) const ARGUMENT: &str = "__longshore-package";

/// The library that a child opens, and the limits it sets itself.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct ChildSpec {
    pub(crate) library: PathBuf,
    pub(crate) identity: FileIdentity,
    pub(crate) assets: Option<Assets>,
    pub(crate) workers: u32,
    pub(crate) log_level: u8,
    pub(crate) shutdown_ms: u64,
    pub(crate) memory_mb: Option<u64>,
    pub(crate) cpu_seconds: Option<u64>,
}

impl ChildSpec {
    pub(super) fn config(&self) -> ShellConfig {
        ShellConfig { workers: self.workers, log_level: self.log_level, shutdown_ms: self.shutdown_ms }
    }
}

/// The program of a child, and the limits that its host holds it to.
#[derive(Debug, Clone)]
pub(crate) struct ResourceLimits {
    /// The program; it calls [`crate::run_child_if_requested`] first in `main`.
    pub(crate) program: PathBuf,
    /// Names its control group.
    pub(crate) name: String,
    pub(crate) memory_mb: Option<u64>,
    pub(crate) cpu_percent: Option<u32>,
    /// Longest time until its library is open.
    pub(crate) start: Duration,
    /// Longest call.
    pub(crate) call: Duration,
}

/// The end of a process that was not asked to end.
#[derive(Debug, Clone)]
pub(crate) struct Crash {
    /// Signal or exit status, in a line.
    pub(crate) exit: String,
    /// The end of its output, with the frames of the thread that crashed.
    pub(crate) report: String,
    /// Attempts that ended with it.
    pub(crate) attempts: usize,
    /// It did not start because its library in the artifact cache is not the file that was verified.
    pub(crate) cache_changed: bool,
}

/// Events of a child beside those that the child itself sends.
pub(crate) trait ProcessEvents: LongshoreHost {
    /// An attempt in words.
    fn named(&self, lease: u64) -> String;
    /// An attempt ended with its process, where no other one was when it was `alone`.
    fn lost(&self, lease: u64, exit: &str, alone: bool);
    /// The process ended by itself.
    fn crashed(&self, crash: Crash);
    /// A line that the process printed while it had these attempts.
    fn printed(&self, line: &str, leases: &[u64]);
}
