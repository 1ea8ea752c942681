//! Observation by a program that embeds the host.

/// The phase of a package.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum PackagePhase {
    /// It is about to be checked, probed and opened.
    Loading,
    /// New runs start on it; no other digest of its package was active.
    Loaded,
    /// It is open and about to take the place of another digest of its package.
    Swapping,
    /// It has taken the place: no request found neither.
    Swapped,
    /// No new runs start on it.
    Retired,
    /// It is about to be closed.
    Unloading,
    /// It was closed.
    Unloaded,
    /// It was refused, before or after it was opened.
    Refused,
}

/// A line that a package wrote.
#[derive(Debug, Clone, Copy)]
pub struct PackageLine<'l> {
    /// The package.
    pub package: &'l str,
    /// The run whose task wrote it, or empty; for what a process printed, up to four runs that were in it,
    /// separated by commas.
    pub run: &'l str,
    /// The task, or empty.
    pub task: &'l str,
    /// The attempt, from 1; 0 outside one.
    pub attempt: u32,
    /// 1 error, 2 warn, 3 info, 4 debug, 5 trace.
    pub level: u8,
    /// The module.
    pub module: &'l str,
    /// The line with its fields.
    pub message: &'l str,
}

/// Gets phases and log lines of packages. Both methods are called on threads of the host and must not block.
///
/// Changes of the catalog are watched through `Packages::changed` of [`crate::LoadedPackages`].
pub trait Observer: Send + Sync {
    /// A package reached a phase.
    fn phase(&self, phase: PackagePhase, package: &str, digest: &str) {
        let _ = (phase, package, digest);
    }

    /// A package wrote a line. It goes to `tracing` all the same.
    fn line(&self, line: &PackageLine<'_>) {
        let _ = line;
    }
}

/// Ignores everything.
pub(crate) struct NoObserver;

impl Observer for NoObserver {}

impl std::fmt::Debug for dyn Observer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Observer")
    }
}
