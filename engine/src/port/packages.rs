//! [`Packages`]: the one trait through which the engine calls whatever holds the author's code.

use crate::model::attempt::{Attempt, AttemptOutcome, LeaseId};
use crate::model::catalog::{Catalog, TriggerDef};
use crate::model::definition::WorkflowDef;
use crate::port::graph_calls::GraphRunner;
use futures_util::future::BoxFuture;
use longshore_store::{Digest, TenantId};
use std::sync::Arc;
use tokio::sync::watch;

/// The answer of a poll.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PollOutcome {
    /// Nothing to start.
    Skip,
    /// Start the workflow with the frame of this context's patch.
    Fire(Vec<u8>),
    /// The poll failed.
    Failed(String),
}

/// A digest that takes no attempt: it is not loaded, or is being unloaded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("digest {digest} is not loaded")]
pub struct Refused {
    /// The digest.
    pub digest: Digest,
}

/// The engine as packages report to it. Reporting never blocks.
pub trait AttemptReports: Send + Sync {
    /// An attempt ended. Only the first report of a lease counts.
    fn finished(&self, lease: LeaseId, outcome: AttemptOutcome);

    /// An attempt gives its concurrency slot back while it waits.
    fn release_slot(&self, lease: LeaseId);

    /// An attempt wants a slot again; [`Packages::resume`] follows when there is one.
    fn reclaim_slot(&self, lease: LeaseId);
}

/// Loaded packages, as the engine sees them. None of these calls blocks.
pub trait Packages: Send + Sync + 'static {
    /// Takes the engine that attempts report to. Called once, before any other call.
    fn attach(&self, reports: Arc<dyn AttemptReports>);

    /// The catalog as it is now.
    fn catalog(&self) -> Arc<Catalog>;

    /// Changes whenever [`Packages::catalog`] does.
    fn changed(&self) -> watch::Receiver<u64>;

    /// True when everything was tried that is to be loaded when the host starts: what the catalog lacks then is not on
    /// its way.
    fn is_settled(&self) -> bool {
        true
    }

    /// The definition that a run is pinned to, while its digest is loaded.
    fn definition(&self, digest: &Digest, tenant: &TenantId, workflow: &str) -> Option<Arc<WorkflowDef>>;

    /// Executes an attempt; its outcome comes through [`AttemptReports::finished`].
    ///
    /// # Errors
    /// [`Refused`] when the digest is not loaded, or is being unloaded.
    fn start(&self, attempt: Attempt) -> Result<(), Refused>;

    /// Cancels an attempt at its next await. Its outcome still comes, whether or not it was running.
    fn cancel(&self, digest: &Digest, lease: LeaseId);

    /// Gives a waiting attempt its slot.
    fn resume(&self, digest: &Digest, lease: LeaseId);

    /// Where the graphs and accumulators of a digest may be called, while it is loaded.
    fn graphs(&self, digest: &Digest) -> Option<Arc<dyn GraphRunner>>;

    /// Polls a trigger.
    fn poll(&self, trigger: Arc<TriggerDef>) -> BoxFuture<'static, PollOutcome>;
}
