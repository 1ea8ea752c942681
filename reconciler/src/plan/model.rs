//! Inputs and results of planning.

use longshore_package::{Digest, PackageName};
use longshore_store::Override;
use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Where the bytes of a digest are.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// In a file.
    File(PathBuf),
    /// In the artifact cache, from an earlier load.
    Cache,
    /// In the artifact cache, from the registry at this address.
    Registry(Arc<str>),
}

impl Origin {
    /// The file, when it is one.
    pub fn file(&self) -> Option<&Path> {
        match self {
            Self::File(path) => Some(path),
            Self::Cache | Self::Registry(_) => None,
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Cache => f.write_str("the artifact cache"),
            Self::Registry(address) => write!(f, "the registry {address}"),
        }
    }
}

/// A package that a directory offers, or that an override asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Desired {
    /// The package's name.
    pub name: PackageName,
    /// The package's version.
    pub version: String,
    /// The digest.
    pub digest: Digest,
    /// Where its bytes are.
    pub origin: Origin,
    /// The override that asks for it; none for an offer.
    pub overridden_by: Option<Arc<Override>>,
}

impl Desired {
    /// Why it is desired.
    pub fn reason(&self) -> String {
        match &self.overridden_by {
            None => match &self.origin {
                Origin::Registry(address) => format!("followed in {address}"),
                Origin::File(_) | Origin::Cache => "offered".to_owned(),
            },
            Some(row) => format!("{} by {}: {}", row.kind.participle(), row.actor, row.reason),
        }
    }

    /// Whose decision it is.
    pub fn actor(&self) -> &str {
        match (&self.overridden_by, &self.origin) {
            (Some(row), _) => &row.actor,
            (None, Origin::Registry(_)) => "registry",
            (None, Origin::File(_) | Origin::Cache) => "directory",
        }
    }
}

/// A generation that is loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observed {
    /// The package's name.
    pub name: PackageName,
    /// The digest.
    pub digest: Digest,
    /// The file that it was loaded from, when it was one.
    pub source: Option<PathBuf>,
    /// True when new runs start on it; otherwise it only finishes what it has.
    pub active: bool,
    /// Unfinished runs that are pinned to it.
    pub pinned_runs: u64,
    /// Drain progress, when it is not active.
    pub drain: Drain,
}

/// Drain progress of an inactive generation.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Drain {
    /// When draining began, in milliseconds since 1970.
    pub since: i64,
    /// When its runs were asked to stop.
    pub cancelled_at: Option<i64>,
}

/// The time inactive generations keep their runs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DrainPolicy {
    /// Milliseconds after which the runs are cancelled; none to wait for ever.
    pub deadline_ms: Option<i64>,
    /// Milliseconds after the cancel until the generation is closed over attempts that do not stop; none to wait.
    pub force_unload_ms: Option<i64>,
}

/// Failures of a digest in a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Failure {
    /// Their number.
    pub times: u32,
    /// When it is tried again.
    pub retry_at: i64,
    /// True when other packages stood in its way: it is tried with each of them that is loaded, too.
    pub depends_on_others: bool,
}

/// An action of a pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Load a package; `replaces` is retired in the same moment. It is another package when the file of that one has this
    /// package now.
    Load {
        /// The package.
        package: Arc<Desired>,
        /// The digest that is active now.
        replaces: Option<Digest>,
    },
    /// No source offers the package any more, or it was removed: no new runs start on it.
    Retire {
        /// The package.
        name: PackageName,
        /// The digest.
        digest: Digest,
        /// The override that removed it, when there is one.
        overridden_by: Option<Arc<Override>>,
    },
    /// Runs are pinned to a digest that no source offers and that is not open: open it for them.
    Restore {
        /// The digest.
        digest: Digest,
        /// Runs that are pinned to it.
        pinned_runs: u64,
    },
    /// The drain deadline of a generation has passed: ask its runs to stop.
    Cancel {
        /// The package.
        name: PackageName,
        /// The digest.
        digest: Digest,
        /// Runs that are pinned to it.
        pinned_runs: u64,
    },
    /// The runs of a generation were asked to stop and did not: close it, its attempts count as lost.
    ForceUnload {
        /// The package.
        name: PackageName,
        /// The digest.
        digest: Digest,
    },
    /// A generation has drained: close it.
    Unload {
        /// The package.
        name: PackageName,
        /// The digest.
        digest: Digest,
    },
}

/// A difference between desired and loaded that a pass leaves as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Deferred {
    /// A digest failed, and its backoff is not over.
    BackingOff {
        /// The package; none for a digest whose package is not known.
        name: Option<PackageName>,
        /// The digest.
        digest: Digest,
        /// When it is tried again.
        retry_at: i64,
    },
    /// A generation has unfinished runs.
    Draining {
        /// The package.
        name: PackageName,
        /// The digest.
        digest: Digest,
        /// Runs that are pinned to it.
        pinned_runs: u64,
    },
    /// A newer version of the same package is offered too.
    Superseded {
        /// The offer that does not count.
        package: Arc<Desired>,
        /// The origin of the one that does.
        winner: Origin,
    },
    /// An override stands against an offer.
    Overridden {
        /// The offer.
        package: Arc<Desired>,
        /// The override.
        by: Arc<Override>,
    },
}

/// The actions of a pass, and what it leaves as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// In this order.
    pub actions: Vec<Action>,
    /// Differences that are left, with the reason.
    pub deferred: Vec<Deferred>,
    /// The desired packages, sorted by name.
    pub desired: Vec<Arc<Desired>>,
}

/// The inputs of a plan.
#[derive(Debug, Clone, Copy)]
pub struct PlanInput<'s> {
    /// The offers of the directories.
    pub offered: &'s [Arc<Desired>],
    /// Overrides, by package.
    pub overrides: &'s [Arc<Override>],
    /// Loaded generations.
    pub observed: &'s [Observed],
    /// Unfinished runs by the digest they are pinned to.
    pub pins: &'s BTreeMap<Digest, u64>,
    /// Digests that failed.
    pub failures: &'s BTreeMap<Digest, Failure>,
    /// The time inactive generations keep their runs.
    pub drain: DrainPolicy,
}
