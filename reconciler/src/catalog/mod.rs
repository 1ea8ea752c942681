//! The loaded generations, and the catalog that the engine reads.

pub(crate) mod draft;
#[expect(unsafe_code, reason = "linkme gathers the slice by placing statics in a section")]
pub(crate) mod steps;

pub use draft::Draft;

use crate::runtime::generation::Generation;
use arc_swap::ArcSwap;
use longshore_engine::{
    Attempt, AttemptReports, BoxFuture, Catalog, GraphRunner, LeaseId, Packages, PollOutcome, Refused,
    TriggerDef, WorkflowDef,
};
use longshore_package::Digest;
use longshore_store::TenantId;
use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use tokio::sync::watch;

/// One immutable state of everything that is loaded.
#[derive(Default, Clone)]
pub(crate) struct Snapshot {
    /// Every loaded generation, active or draining.
    pub(crate) generations: HashMap<Digest, Arc<Generation>>,
    /// Digests on which new runs start.
    pub(crate) active: HashSet<Digest>,
    /// The catalog for the engine.
    pub(crate) catalog: Arc<Catalog>,
}

/// The packages of this host.
pub struct LoadedPackages {
    snapshot: ArcSwap<Snapshot>,
    engine: OnceLock<Arc<dyn AttemptReports>>,
    changed: watch::Sender<u64>,
    /// True when the first pass is over.
    settled: AtomicBool,
}

impl LoadedPackages {
    pub(crate) fn new() -> Self {
        Self {
            snapshot: ArcSwap::default(),
            engine: OnceLock::new(),
            changed: watch::channel(0).0,
            settled: AtomicBool::new(false),
        }
    }

    /// The first pass is over: what is not loaded comes with a change, if at all.
    pub(crate) fn settle(&self) {
        self.settled.store(true, Ordering::Release);
    }

    pub(crate) fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshot.load_full()
    }

    /// Replaces everything in one store: a reader sees the old state or the new one.
    pub(crate) fn publish(&self, snapshot: Snapshot) {
        if let Some(engine) = self.engine.get() {
            for generation in snapshot.generations.values() {
                generation.attach(Arc::clone(engine));
            }
        }
        self.snapshot.store(Arc::new(snapshot));
        self.changed.send_modify(|version| *version += 1);
    }

    fn generation(&self, digest: &Digest) -> Option<Arc<Generation>> {
        self.snapshot.load().generations.get(digest).cloned()
    }
}

impl Packages for LoadedPackages {
    fn attach(&self, engine: Arc<dyn AttemptReports>) {
        for generation in self.snapshot.load().generations.values() {
            generation.attach(Arc::clone(&engine));
        }
        // One engine for the packages of a process.
        let _ = self.engine.set(engine);
    }

    fn catalog(&self) -> Arc<Catalog> {
        Arc::clone(&self.snapshot.load().catalog)
    }

    fn changed(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    fn is_settled(&self) -> bool {
        self.settled.load(Ordering::Acquire)
    }

    fn definition(&self, digest: &Digest, tenant: &TenantId, workflow: &str) -> Option<Arc<WorkflowDef>> {
        let generation = self.generation(digest)?;
        generation.workflows().iter().find(|def| def.tenant == *tenant && def.name == workflow).cloned()
    }

    fn start(&self, attempt: Attempt) -> Result<(), Refused> {
        let digest = attempt.digest.clone();
        let started = self.generation(&digest).is_some_and(|generation| generation.start(attempt));
        if started { Ok(()) } else { Err(Refused { digest }) }
    }

    fn cancel(&self, digest: &Digest, lease: LeaseId) {
        if let Some(generation) = self.generation(digest) {
            generation.cancel(lease);
        }
    }

    fn resume(&self, digest: &Digest, lease: LeaseId) {
        if let Some(generation) = self.generation(digest) {
            generation.resume(lease);
        }
    }

    fn graphs(&self, digest: &Digest) -> Option<Arc<dyn GraphRunner>> {
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
