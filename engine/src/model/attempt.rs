//! An attempt to execute, and how it ended.

use longshore_store::{Digest, RunId};
use std::fmt;
use std::time::Duration;

/// Names an attempt of this host in everything that comes back of it. Unique within one engine, from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LeaseId(pub u64);

impl fmt::Display for LeaseId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One attempt, claimed and recorded, to be executed.
#[derive(Debug, Clone)]
pub struct Attempt {
    /// The lease it is executed under.
    pub lease: LeaseId,
    /// The run.
    pub run: RunId,
    /// The task's id.
    pub task: String,
    /// The task's index in the package's task list.
    pub index: u32,
    /// From 1.
    pub number: u32,
    /// Its number without those that were lost: the one that the retry policy goes by.
    pub own_number: u32,
    /// The digest the run is pinned to.
    pub digest: Digest,
    /// Longest time it may take, 0 for no limit.
    pub deadline_ms: u64,
    /// True when its earlier attempts were lost together with others: it is to be executed where nothing else is.
    pub alone: bool,
    /// The context's frame.
    pub context: Vec<u8>,
}

/// The end of an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AttemptOutcome {
    /// It succeeded; the frame of its patch.
    Done(Vec<u8>),
    /// It failed.
    Failed(AttemptFailure),
    /// It was cancelled before it ended.
    Cancelled,
    /// It never began: it was refused, or its process did not start; why.
    NeverBegan(String),
    /// The host or process that executed it died, so that nobody knows how far it got.
    Lost {
        /// Why.
        reason: String,
        /// True when nothing else was executed there: it is the suspect.
        alone: bool,
    },
}

/// Why an attempt failed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AttemptFailure {
    /// The error's text.
    pub message: String,
    /// The texts of its sources, outermost first.
    pub causes: Vec<String>,
    /// True when it panicked.
    pub panicked: bool,
    /// Symbolised, empty when it did not panic.
    pub backtrace: String,
    /// True when it ran out of time.
    pub timed_out: bool,
    /// True when trying again cannot help, whatever the retry policy says.
    pub permanent: bool,
    /// The time before which it is not tried again, in place of the policy's delay.
    pub retry_after: Option<Duration>,
}

impl AttemptFailure {
    /// A failure that no retry policy repeats.
    pub fn permanent(message: String) -> Self {
        Self { message, permanent: true, ..Self::default() }
    }

    /// The message and its causes in one line.
    pub fn text(&self) -> String {
        self.causes.iter().fold(self.message.clone(), |text, cause| format!("{text}: {cause}"))
    }
}
