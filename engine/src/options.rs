//! Options of an engine.

use crate::clock::{Clock, Rng, System};
use crate::model::retention::Retention;
use longshore_store::RunId;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// The runs that an engine goes on with, of those that were started before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resume {
    /// All of them.
    All,
    /// None of them: an engine for runs of its own.
    Nothing,
    /// These, and no other run: an engine for them.
    Only(BTreeSet<RunId>),
}

/// Options of an engine.
#[derive(Debug, Clone)]
pub struct Options {
    /// Name of this host in the records.
    pub host_name: String,
    /// Attempts that run at the same time; a deferred attempt does not count.
    pub slots: usize,
    /// True when schedules and polls of the catalog's triggers fire, and what other programs ask for is started.
    pub triggers: bool,
    /// The runs that go on of those that were started before this engine. The others are left as they are.
    pub resume: Resume,
    /// True when the catalog's reactors run.
    pub reactors: bool,
    /// The time a graph may take for a firing.
    pub graph_deadline: Duration,
    /// True when reactors start anew, under records of their own that are deleted when they end: what a host recorded of
    /// them stays, but for their status.
    pub replay: bool,
    /// Where relative paths of event streams are looked for, in this order.
    pub stream_roots: Vec<PathBuf>,
    /// The retention of ended runs and old records; everything is kept for ever when there is none.
    pub retention: Option<Retention>,
    /// Memory for open runs, in bytes, about: those that are executed last are read from the database again when it is
    /// their turn.
    pub max_cached_bytes: usize,
    /// The wall clock.
    pub clock: Arc<dyn Clock>,
    /// The source of jitter.
    pub rng: Arc<dyn Rng>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            host_name: "local".to_owned(),
            slots: 512,
            triggers: true,
            resume: Resume::All,
            reactors: true,
            graph_deadline: Duration::from_secs(30),
            replay: false,
            stream_roots: vec![PathBuf::from(".")],
            retention: Some(Retention::default()),
            max_cached_bytes: 256 << 20,
            clock: Arc::new(System),
            rng: Arc::new(System),
        }
    }
}
