//! Options of the checks.

use crate::artifact::trust::TrustPolicyFile;
use longshore_package::trust::Signature;
use longshore_package::{ArchiveLimits, Isolation, Manifest, PackageName, Policy};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// This very program, even when its file was replaced since it was started.
pub(crate) const OWN_PROGRAM: &str = "/proc/self/exe";

/// The program of children unless another is named: this one, as it was started.
pub(crate) fn own_program() -> PathBuf {
    if Path::new(OWN_PROGRAM).exists() {
        return OWN_PROGRAM.into();
    }
    std::env::current_exe().unwrap_or_else(|_| "longshore".into())
}

/// Options of the checks.
#[derive(Debug, Clone, Default)]
pub struct VerifyOptions {
    /// Limits on archives.
    pub limits: ArchiveLimits,
    /// True when drifts that do not make calls wrong refuse a package.
    pub policy: Policy,
    /// Which packages run in a process of their own.
    pub isolation: IsolationPolicy,
    /// The signatures that packages need; none when nobody asks for any.
    pub trust_policy: Option<Arc<TrustPolicyFile>>,
    /// The database's record of the package, when it was taken in before.
    pub recorded: Option<Recorded>,
}

/// The database's record of a package that was taken in before.
#[derive(Debug, Clone)]
pub struct Recorded {
    /// Time of the first take-in, in milliseconds since 1970: a key that has expired since stays good for it.
    pub taken_in_at: i64,
    /// The signatures that it had: those that are of its digest stay good, whatever copy of it is read.
    pub signatures: Vec<Signature>,
}

/// Which packages run in a process of their own, beside those whose manifest asks for it.
#[derive(Debug, Clone)]
pub struct IsolationPolicy {
    /// The program that is started, of the same build as this one; it calls [`crate::run_child_if_requested`] first in
    /// `main`.
    pub program: PathBuf,
    /// Every package.
    pub all: bool,
    /// These packages.
    pub packages: BTreeSet<PackageName>,
    /// The time a process has to open its library.
    pub start: Duration,
    /// Longest call. Attempts run detached, and polls and graphs have deadlines of their own within this: a process
    /// that exceeds it is stuck, and is killed.
    pub call: Duration,
}

impl Default for IsolationPolicy {
    fn default() -> Self {
        let (start, call) = (Duration::from_secs(30), Duration::from_secs(60));
        Self { program: own_program(), all: false, packages: BTreeSet::new(), start, call }
    }
}

impl IsolationPolicy {
    /// The isolation of a package.
    pub fn of(&self, manifest: &Manifest) -> Isolation {
        let imposed = self.all || self.packages.contains(&manifest.package.name);
        if imposed { Isolation::Process } else { manifest.package.isolation }
    }
}
