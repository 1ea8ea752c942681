//! The report of a pass.

use crate::error::Error;
use crate::plan::model::Deferred;
use crate::runtime::generation::UnloadResult;
use longshore_package::{Digest, PackageName};

/// The outcome of an action.
#[derive(Debug)]
pub enum Outcome {
    /// A package was loaded.
    Loaded {
        /// The package.
        name: PackageName,
        /// Its version.
        version: String,
        /// Its digest.
        digest: Digest,
    },
    /// A package, or a file that is not a package, was refused.
    Refused {
        /// The package or the file.
        name: String,
        /// Why.
        error: Error,
    },
    /// A package goes on, and something about it is not as wanted.
    Degraded {
        /// The package.
        name: PackageName,
        /// The problem.
        error: Error,
    },
    /// A digest was opened from the artifact cache, for the runs that are pinned to it.
    Restored {
        /// The package.
        name: PackageName,
        /// Its digest.
        digest: Digest,
    },
    /// The process of an isolated package ended, and is started again.
    Crashed {
        /// The package.
        name: PackageName,
        /// Signal or exit status.
        exit: String,
    },
    /// The runs of a generation that does not drain were asked to stop.
    Cancelled {
        /// The package.
        name: PackageName,
        /// The digest.
        digest: Digest,
        /// Their number.
        runs: u64,
    },
    /// No new runs start on it.
    Retired {
        /// The package.
        name: PackageName,
    },
    /// It was closed.
    Unloaded {
        /// The package.
        name: PackageName,
        /// The result of the unload.
        result: UnloadResult,
    },
}

/// The report of a pass: what it did, and what it left and why.
#[derive(Debug, Default)]
pub struct Report {
    /// In the order it was done.
    pub outcomes: Vec<Outcome>,
    /// Differences that it left.
    pub deferred: Vec<Deferred>,
}

impl Report {
    /// Adds a later pass: what it did, and what it left.
    pub(crate) fn followed_by(&mut self, later: Self) {
        self.outcomes.extend(later.outcomes);
        self.deferred = later.deferred;
    }
}
