//! A package of the test program that comes and goes.

use longshore_engine::embedded::EmbeddedPackage;
use longshore_engine::{
    Attempt, AttemptReports, BoxFuture, Catalog, GraphRunner, LeaseId, Packages, PollOutcome, Refused,
    TriggerDef, WorkflowDef,
};
use longshore_store::{Digest, TenantId};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::watch;

/// The program's package, which can be unloaded and loaded again.
pub struct Unloadable {
    package: EmbeddedPackage,
    loaded: AtomicBool,
    settled: AtomicBool,
}

impl Unloadable {
    /// The package, loaded.
    pub fn new() -> Arc<Self> {
        let package = EmbeddedPackage::from_inventory("test", "1.0.0").expect("good definitions");
        let (loaded, settled) = (AtomicBool::new(true), AtomicBool::new(true));
        Arc::new(Self { package, loaded, settled })
    }

    /// Says whether everything was tried that is to be loaded when the host starts.
    pub fn set_settled(&self, settled: bool) {
        self.settled.store(settled, Ordering::SeqCst);
    }

    /// Loads or unloads it. Nobody is told: whoever looks next sees it.
    pub fn set_loaded(&self, loaded: bool) {
        self.loaded.store(loaded, Ordering::SeqCst);
    }
}

impl Packages for Unloadable {
    fn attach(&self, reports: Arc<dyn AttemptReports>) {
        self.package.attach(reports);
    }

    fn catalog(&self) -> Arc<Catalog> {
        if self.loaded.load(Ordering::SeqCst) { self.package.catalog() } else { Arc::default() }
    }

    fn changed(&self) -> watch::Receiver<u64> {
        self.package.changed()
    }

    fn is_settled(&self) -> bool {
        self.settled.load(Ordering::SeqCst)
    }

    fn definition(&self, digest: &Digest, tenant: &TenantId, workflow: &str) -> Option<Arc<WorkflowDef>> {
        let loaded = self.loaded.load(Ordering::SeqCst);
        loaded.then(|| self.package.definition(digest, tenant, workflow)).flatten()
    }

    fn start(&self, attempt: Attempt) -> Result<(), Refused> {
        self.package.start(attempt)
    }

    fn cancel(&self, digest: &Digest, lease: LeaseId) {
        self.package.cancel(digest, lease);
    }

    fn resume(&self, digest: &Digest, lease: LeaseId) {
        self.package.resume(digest, lease);
    }

    fn graphs(&self, digest: &Digest) -> Option<Arc<dyn GraphRunner>> {
        self.package.graphs(digest)
    }

    fn poll(&self, trigger: Arc<TriggerDef>) -> BoxFuture<'static, PollOutcome> {
        self.package.poll(trigger)
    }
}
