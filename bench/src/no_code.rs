//! Packages whose tasks are not code: each ends after a time, with a change of the context. What is left is the engine.

use longshore_engine::{
    Attempt, AttemptOutcome, AttemptReports, BoxFuture, Catalog, ContextMap, Engine, GraphRunner, LeaseId,
    Options, Packages, PollOutcome, Refused, TriggerDef, WorkflowDef, definitions,
};
use longshore_store::{Digest, RunState, Store, TenantId};
use longshore_workflow_plugin::wire::{PackageMeta, RetryMeta, TaskMeta, TaskMetadata, WorkflowMeta};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::sync::watch;

/// The digest of these packages.
pub(crate) fn digest() -> Digest {
    Digest::from_sha256([7; 32])
}

/// The workflow's name.
pub(crate) const WORKFLOW: &str = "measured";

/// One workflow whose tasks end by themselves.
pub(crate) struct NoCode {
    catalog: Arc<Catalog>,
    changed: watch::Sender<u64>,
    reports: OnceLock<Arc<dyn AttemptReports>>,
    takes: Duration,
    /// The key that each task sets to its index; none changes nothing.
    key: Option<&'static str>,
}

impl NoCode {
    /// A workflow of these tasks, each of which takes so long.
    pub(crate) fn new(
        tasks: &[(String, Vec<String>)],
        takes: Duration,
        key: Option<&'static str>,
    ) -> anyhow::Result<Arc<Self>> {
        let task = |(id, dependencies): &(String, Vec<String>)| TaskMeta {
            workflow: WORKFLOW.to_owned(),
            tenant: "public".to_owned(),
            id: id.clone(),
            dependencies: dependencies.clone(),
            retry: RetryMeta {
                attempts: 1,
                backoff: "fixed".to_owned(),
                condition: "never".to_owned(),
                ..RetryMeta::default()
            },
            ..TaskMeta::default()
        };
        let mut tasks: Vec<TaskMeta> = tasks.iter().map(task).collect();
        tasks.sort_by(|a, b| a.id.cmp(&b.id));
        let workflow = WorkflowMeta {
            name: WORKFLOW.to_owned(),
            tenant: "public".to_owned(),
            ..WorkflowMeta::default()
        };
        let package = PackageMeta {
            name: "measured".to_owned(),
            version: "1.0.0".to_owned(),
            ..PackageMeta::default()
        };
        let metadata = TaskMetadata { package, workflows: vec![workflow], tasks };
        let workflows = definitions(&metadata, &digest())?;
        let catalog = Catalog {
            digests: [digest()].into(),
            queues: workflows.iter().map(|def| def.queue).collect(),
            workflows: workflows.into_iter().map(|def| (def.key(), Arc::new(def))).collect(),
            ..Catalog::default()
        };
        let (changed, reports) = (watch::channel(0).0, OnceLock::new());
        Ok(Arc::new(Self { catalog: Arc::new(catalog), changed, reports, takes, key }))
    }

    /// An engine on these packages that keeps everything.
    pub(crate) async fn open(self: Arc<Self>, store: Store, slots: usize) -> anyhow::Result<Engine> {
        let options =
            Options { slots, triggers: false, reactors: false, retention: None, ..Options::default() };
        Ok(Engine::open(store, self, options).await?)
    }
}

/// Waits for a run that has to succeed.
pub(crate) async fn succeeded(engine: &Engine, run: longshore_store::RunId) -> anyhow::Result<()> {
    let state = engine.ended(run).await?;
    anyhow::ensure!(state == RunState::Succeeded, "a run ended as {state:?}");
    Ok(())
}

impl Packages for NoCode {
    fn attach(&self, reports: Arc<dyn AttemptReports>) {
        let _ = self.reports.set(reports);
    }

    fn catalog(&self) -> Arc<Catalog> {
        Arc::clone(&self.catalog)
    }

    fn changed(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    fn definition(&self, _: &Digest, tenant: &TenantId, workflow: &str) -> Option<Arc<WorkflowDef>> {
        self.catalog.workflows.get(&(tenant.clone(), workflow.to_owned())).cloned()
    }

    fn start(&self, attempt: Attempt) -> Result<(), Refused> {
        let Some(engine) = self.reports.get().cloned() else {
            return Err(Refused { digest: attempt.digest });
        };
        let mut patch = ContextMap::default();
        if let Some(key) = self.key {
            patch.set(key, attempt.index.to_string());
        }
        let (lease, outcome, takes) = (attempt.lease, AttemptOutcome::Done(patch.to_frame()), self.takes);
        if takes.is_zero() {
            engine.finished(lease, outcome);
            return Ok(());
        }
        tokio::spawn(async move {
            tokio::time::sleep(takes).await;
            engine.finished(lease, outcome);
        });
        Ok(())
    }

    fn cancel(&self, _: &Digest, _: LeaseId) {}

    fn resume(&self, _: &Digest, _: LeaseId) {}

    fn graphs(&self, _: &Digest) -> Option<Arc<dyn GraphRunner>> {
        None
    }

    fn poll(&self, _: Arc<TriggerDef>) -> BoxFuture<'static, PollOutcome> {
        Box::pin(async { PollOutcome::Skip })
    }
}
