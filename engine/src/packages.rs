//! The one trait through which the engine calls whatever holds the author's code.

use crate::actor::Command;
use crate::definition::WorkflowDef;
use crate::reactors::calls::GraphRunner;
use crate::reactors::def::{GraphDef, ReactorDef, Subscription};
use longshore_store::RunId;
use std::collections::{HashMap, HashSet};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use tokio::sync::{mpsc, watch};

/// A boxed future.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// What can be run right now: an immutable snapshot, replaced as a whole.
#[derive(Debug, Default)]
pub struct Catalog {
    /// The current definition of each workflow, by tenant and name: what new runs start on.
    pub workflows: HashMap<(String, String), Arc<WorkflowDef>>,
    /// Every loaded digest, those included that only finish what they have: what may be claimed.
    pub digests: HashSet<String>,
    /// The triggers of the current generations.
    pub triggers: Vec<Arc<TriggerDef>>,
    /// The reactors of the current generations, by name.
    pub reactors: Vec<Arc<ReactorDef>>,
    /// The graphs that reactors fire, by name.
    pub graphs: Vec<Arc<GraphDef>>,
    /// Which firings start which workflows.
    pub subscriptions: Vec<Subscription>,
}

/// A trigger of a loaded package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TriggerDef {
    /// The digest it is part of.
    pub digest: String,
    /// Its index in the package's trigger list.
    pub index: u32,
    /// The name.
    pub name: String,
    /// The workflow it starts.
    pub workflow: String,
    /// Whether it fires while an earlier run of its own is still going.
    pub allow_concurrent: bool,
    /// When it fires.
    pub when: TriggerWhen,
}

/// When a trigger fires.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TriggerWhen {
    /// By the calendar.
    Cron {
        /// Five to seven fields.
        expression: String,
        /// IANA name.
        timezone: String,
    },
    /// When a poll says so.
    Poll {
        /// Between polls.
        interval_ms: u64,
    },
    /// When a reactor fires.
    Reactor {
        /// The reactor.
        reactor: String,
        /// A rule over the firing's outputs as JSON, empty for every firing.
        when: String,
    },
}

/// One attempt, claimed and recorded, to be executed.
#[derive(Debug, Clone)]
pub struct Lease {
    /// Names the attempt in everything that comes back.
    pub id: u64,
    /// The run.
    pub run: RunId,
    /// The task's id.
    pub task: String,
    /// The task's index in the package's task list.
    pub index: u32,
    /// From 1.
    pub attempt: u32,
    /// The digest the run is pinned to.
    pub digest: String,
    /// Longest time it may take, 0 for no limit.
    pub deadline_ms: u64,
    /// The context's frame.
    pub context: Vec<u8>,
}

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AttemptOutcome {
    /// It succeeded; the frame of its patch.
    Done(Vec<u8>),
    /// It failed.
    Failed(AttemptFailure),
    /// It was cancelled before it ended.
    Cancelled,
    /// Whatever executed it is gone; nobody knows how far it got.
    Lost(String),
}

/// Why an attempt failed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AttemptFailure {
    /// The error's text.
    pub message: String,
    /// The texts of its sources, outermost first.
    pub causes: Vec<String>,
    /// Whether it panicked.
    pub panicked: bool,
    /// Symbolised, empty when it did not panic.
    pub backtrace: String,
    /// Whether it ran out of time.
    pub timed_out: bool,
    /// Whether trying again cannot help, whatever the retry policy says.
    pub permanent: bool,
}

/// What a poll found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PollOutcome {
    /// Nothing.
    Skip,
    /// Start the workflow with the frame of this context's patch.
    Fire(Vec<u8>),
    /// The poll failed.
    Failed(String),
}

/// An attempt could not be handed over.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the generation of digest {digest} takes no attempts")]
pub struct Refused {
    /// The digest.
    pub digest: String,
}

/// Where attempts report. Clones report to the same engine; reporting never blocks.
#[derive(Debug, Clone)]
pub struct Outcomes {
    pub(crate) inbox: mpsc::UnboundedSender<Command>,
}

impl Outcomes {
    /// An attempt ended. Only the first report of a lease counts.
    pub fn finished(&self, lease: u64, outcome: AttemptOutcome) {
        // An engine that has stopped has recorded what it knows; the attempt is recovered at the next start.
        let _ = self.inbox.send(Command::Finished { lease, outcome });
    }

    /// An attempt gives its concurrency slot back while it waits.
    pub fn release_slot(&self, lease: u64) {
        let _ = self.inbox.send(Command::ReleaseSlot { lease });
    }

    /// An attempt wants a slot again; [`Packages::resume`] follows when there is one.
    pub fn reclaim_slot(&self, lease: u64) {
        let _ = self.inbox.send(Command::ReclaimSlot { lease });
    }
}

/// Loaded packages, as the engine sees them. None of these calls blocks.
pub trait Packages: Send + Sync + 'static {
    /// Where attempts report from now on. Called once, before any other call.
    fn attach(&self, outcomes: Outcomes);

    /// What can be run right now.
    fn catalog(&self) -> Arc<Catalog>;

    /// Changes whenever [`Packages::catalog`] does.
    fn changed(&self) -> watch::Receiver<u64>;

    /// The definition that a run is pinned to, while its digest is loaded.
    fn definition(&self, digest: &str, tenant: &str, workflow: &str) -> Option<Arc<WorkflowDef>>;

    /// Executes an attempt; its outcome comes through [`Outcomes`].
    ///
    /// # Errors
    /// [`Refused`] when the digest is not loaded, or is being unloaded.
    fn start(&self, lease: Lease) -> Result<(), Refused>;

    /// Cancels an attempt at its next await. Whether or not it was running, its outcome still comes.
    fn cancel(&self, digest: &str, lease: u64);

    /// Tells an attempt that waits for a slot that it has one.
    fn resume(&self, digest: &str, lease: u64);

    /// Where the graphs and accumulators of a digest may be called, while it is loaded.
    fn graphs(&self, digest: &str) -> Option<Arc<dyn GraphRunner>>;

    /// Polls a trigger.
    fn poll(&self, trigger: Arc<TriggerDef>) -> BoxFuture<'static, PollOutcome>;
}
