//! A package of the test program that comes and goes.

use longshore_engine::embedded::EmbeddedPackage;
use longshore_engine::{
    Attempt, AttemptReports, BoxFuture, Catalog, GraphRunner, LeaseId, Packages, PollOutcome, Refused,
    Subscription, TriggerDef, WorkflowDef,
};
use longshore_store::{Digest, TenantId};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use tokio::sync::watch;

/// The program's package, which can be unloaded and loaded again.
pub struct Unloadable {
    package: EmbeddedPackage,
    loaded: AtomicBool,
    settled: AtomicBool,
    /// Subscriptions beside those of the package.
    subscriptions: Mutex<Vec<Subscription>>,
    changed: watch::Sender<u64>,
}

impl Unloadable {
    /// The package, loaded.
    pub fn new() -> Arc<Self> {
        let package = EmbeddedPackage::from_inventory("test", "1.0.0").expect("good definitions");
        let (loaded, settled) = (AtomicBool::new(true), AtomicBool::new(true));
        let (subscriptions, changed) = (Mutex::default(), watch::Sender::new(0));
        Arc::new(Self { package, loaded, settled, subscriptions, changed })
    }

    /// Subscribes a workflow that nobody has to a reactor, as another package would, and tells whoever follows the catalog.
    pub fn subscribe(&self, reactor: &str) {
        let subscription = Subscription {
            trigger: "of another package".to_owned(),
            tenant: TenantId::default(),
            reactor: reactor.to_owned(),
            workflow: "nobody".to_owned(),
            when: None,
        };
        self.subscriptions.lock().expect("sound").push(subscription);
        self.changed.send_modify(|version| *version += 1);
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
        if !self.loaded.load(Ordering::SeqCst) {
            return Arc::default();
        }
        let (catalog, more) = (self.package.catalog(), self.subscriptions.lock().expect("sound").clone());
        if more.is_empty() {
            return catalog;
        }
        Arc::new(Catalog {
            workflows: catalog.workflows.clone(),
            digests: catalog.digests.clone(),
            queues: catalog.queues.clone(),
            triggers: catalog.triggers.clone(),
            reactors: catalog.reactors.clone(),
            graphs: catalog.graphs.clone(),
            subscriptions: catalog.subscriptions.iter().cloned().chain(more).collect(),
        })
    }

    fn changed(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
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
