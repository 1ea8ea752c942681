//! Loaded generations, and the catalog that the engine reads.

use crate::generation::Generation;
use arc_swap::ArcSwap;
use longshore_engine::{
    BoxFuture, Catalog, GraphRunner, Lease, Outcomes, Packages, PollOutcome, Refused, TriggerDef, WorkflowDef,
};
use std::collections::HashMap;
use std::sync::{Arc, OnceLock};
use tokio::sync::watch;

/// One immutable state of everything that is loaded.
#[derive(Default, Clone)]
pub(crate) struct Snapshot {
    /// Every loaded generation by digest, those included that only finish what they have.
    pub(crate) generations: HashMap<String, Arc<Generation>>,
    /// What the engine reads.
    pub(crate) catalog: Arc<Catalog>,
}

/// The packages of this host.
pub struct LoadedPackages {
    snapshot: ArcSwap<Snapshot>,
    outcomes: OnceLock<Outcomes>,
    changed: watch::Sender<u64>,
}

impl LoadedPackages {
    pub(crate) fn new() -> Self {
        Self { snapshot: ArcSwap::default(), outcomes: OnceLock::new(), changed: watch::channel(0).0 }
    }

    pub(crate) fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshot.load_full()
    }

    /// Replaces everything in one store: whoever reads sees the old state or the new one.
    pub(crate) fn publish(&self, snapshot: Snapshot) {
        if let Some(outcomes) = self.outcomes.get() {
            for generation in snapshot.generations.values() {
                generation.attach(outcomes.clone());
            }
        }
        self.snapshot.store(Arc::new(snapshot));
        self.changed.send_modify(|version| *version += 1);
    }

    fn generation(&self, digest: &str) -> Option<Arc<Generation>> {
        self.snapshot.load().generations.get(digest).cloned()
    }
}

impl Packages for LoadedPackages {
    fn attach(&self, outcomes: Outcomes) {
        for generation in self.snapshot.load().generations.values() {
            generation.attach(outcomes.clone());
        }
        // One engine for the packages of a process.
        let _ = self.outcomes.set(outcomes);
    }

    fn catalog(&self) -> Arc<Catalog> {
        Arc::clone(&self.snapshot.load().catalog)
    }

    fn changed(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    fn definition(&self, digest: &str, tenant: &str, workflow: &str) -> Option<Arc<WorkflowDef>> {
        let generation = self.generation(digest)?;
        generation.workflows().iter().find(|def| def.tenant == tenant && def.name == workflow).cloned()
    }

    fn start(&self, lease: Lease) -> Result<(), Refused> {
        let digest = lease.digest.clone();
        let started = self.generation(&digest).is_some_and(|generation| generation.start(lease));
        if started { Ok(()) } else { Err(Refused { digest }) }
    }

    fn cancel(&self, digest: &str, lease: u64) {
        if let Some(generation) = self.generation(digest) {
            generation.cancel(lease);
        }
    }

    fn resume(&self, digest: &str, lease: u64) {
        if let Some(generation) = self.generation(digest) {
            generation.resume(lease);
        }
    }

    fn graphs(&self, digest: &str) -> Option<Arc<dyn GraphRunner>> {
        self.generation(digest).map(|generation| generation.graph_runner())
    }

    fn poll(&self, trigger: Arc<TriggerDef>) -> BoxFuture<'static, PollOutcome> {
        let generation = self.generation(&trigger.digest);
        Box::pin(async move {
            match generation {
                Some(generation) => generation.poll(trigger.index).await,
                None => PollOutcome::Skip,
            }
        })
    }
}
