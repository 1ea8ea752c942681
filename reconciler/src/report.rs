//! What a pass did, and what it left alone and why.

use crate::error::Error;
use crate::generation::Released;
use crate::plan::Kept;
use longshore_package::Digest;

/// What became of one action.
#[derive(Debug)]
pub enum Outcome {
    /// A package was loaded.
    Loaded {
        /// The package.
        name: String,
        /// Its version.
        version: String,
        /// Its digest.
        digest: Digest,
    },
    /// A package, or a file that is none, was refused.
    Refused {
        /// The package or the file.
        name: String,
        /// Why.
        error: Error,
    },
    /// A digest was opened from the private copy, for the runs that are pinned to it.
    Restored {
        /// The package.
        name: String,
        /// Its digest.
        digest: Digest,
    },
    /// The process of an isolated package ended, and is started again.
    Crashed {
        /// The package.
        name: String,
        /// How.
        how: String,
    },
    /// The runs of a generation that does not drain were asked to stop.
    Cancelled {
        /// The package.
        name: String,
        /// The digest.
        digest: Digest,
        /// How many.
        runs: u64,
    },
    /// No new runs start on it.
    Retired {
        /// The package.
        name: String,
    },
    /// It was closed.
    Unloaded {
        /// The package.
        name: String,
        /// Whether its memory was given back.
        released: Released,
    },
}

/// What one pass did, and what it left alone and why.
#[derive(Debug, Default)]
pub struct Report {
    /// In the order it was done.
    pub outcomes: Vec<Outcome>,
    /// What was left.
    pub kept: Vec<Kept>,
}
