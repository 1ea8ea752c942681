//! The program's own inventory as a package: the same shell, without a library.

use crate::model::attempt::{Attempt, LeaseId};
use crate::model::catalog::{Catalog, TriggerDef, subscriptions, triggers};
use crate::model::definition::{DefinitionError, WorkflowDef, definitions};
use crate::model::reactor_def;
use crate::model::tenancy::PackageTenants;
use crate::port::graph_calls::{GraphCalls, GraphJob, GraphRunner, Outputs};
use crate::port::packages::{AttemptReports, Packages, PollOutcome, Refused};
use crate::port::wire::{POLL_DEADLINE_MS, read_poll, read_reply, start_request};
use futures_util::future::BoxFuture;
use longshore_store::{Digest, PackageName, TenantId};
use longshore_workflow::InputCache;
use longshore_workflow_plugin::Shell;
use longshore_workflow_plugin::interface::{LongshoreHost, Method};
use longshore_workflow_plugin::private::fidius::PluginError;
use longshore_workflow_plugin::wire::{
    CallFailure, GraphMetadata, PackageMeta, PollRequest, ReactorMetadata, ShellConfig, TaskMetadata,
    TaskRequest, Wire,
};
use serde_bytes::ByteBuf;
use sha2::{Digest as _, Sha256};
use std::borrow::Cow;
use std::sync::{Arc, OnceLock};
use tokio::sync::watch;

/// The bytes that the digests of embedded programs begin with: no package has them.
const MARK: [u8; 8] = [0; 8];

/// The digest that stands for the program as a whole: its triggers, reactors and graphs.
pub fn digest() -> Digest {
    Digest::from_sha256([0; 32])
}

/// True for a digest of an embedded program.
pub fn is_embedded(digest: &Digest) -> bool {
    digest.as_str().starts_with("0000000000000000")
}

/// The digest that runs of an embedded workflow are pinned to: its name, and which tasks wait for which. The next
/// version of the program goes on with them when that is the same, as the next version of a package would.
fn workflow_digest(def: &WorkflowDef) -> Digest {
    let mut hasher = Sha256::new();
    let mut add = |text: &str| {
        hasher.update((text.len() as u64).to_le_bytes());
        hasher.update(text);
    };
    add(def.tenant.as_str());
    add(&def.name);
    for task in &def.tasks {
        add(&task.id);
        task.dependencies.iter().for_each(|above| add(&above.to_string()));
        add("");
    }
    let mut bytes: [u8; 32] = hasher.finalize().into();
    bytes[..MARK.len()].copy_from_slice(&MARK);
    Digest::from_sha256(bytes)
}

/// Calls the program's own graphs on whatever thread asks.
struct OwnGraphs(Arc<Shell>);

impl GraphRunner for OwnGraphs {
    fn run(&self, job: GraphJob) -> bool {
        job(self);
        true
    }
}

impl GraphCalls for OwnGraphs {
    fn fire(&self, graph: u32, cache: &InputCache, deadline_ms: u64) -> Result<Outputs, CallFailure> {
        let outputs = self.0.fire(graph, cache, deadline_ms)?;
        Ok(outputs.into_iter().map(|(terminal, value)| (Cow::Borrowed(terminal), value)).collect())
    }

    fn event(&self, accumulator: u32, event: &[u8]) -> Result<Vec<u8>, CallFailure> {
        self.0.accumulate(accumulator, event)
    }

    fn stateful(
        &self,
        accumulator: u32,
        state: &[u8],
        event: &[u8],
    ) -> Result<(Vec<u8>, Vec<u8>), CallFailure> {
        self.0.accumulate_with(accumulator, state, event)
    }

    fn batch(&self, accumulator: u32, events: &[&[u8]]) -> Result<Option<Vec<u8>>, CallFailure> {
        self.0.accumulate_batch(accumulator, events)
    }

    fn poll(&self, accumulator: u32, deadline_ms: u64) -> Result<Option<Vec<u8>>, CallFailure> {
        self.0.poll_accumulator(accumulator, deadline_ms)
    }
}

/// Passes what the shell reports on to the engine.
#[derive(Default)]
struct Reports {
    engine: OnceLock<Arc<dyn AttemptReports>>,
}

impl LongshoreHost for Reports {
    fn finished(&self, lease: u64, reply: ByteBuf) {
        let Some(engine) = self.engine.get() else { return };
        if let Ok(Some(outcome)) = read_reply(&reply) {
            engine.finished(LeaseId(lease), outcome);
        }
    }

    // An embedded shell installs no log channel: its lines are the program's own.
    fn log(&self, _: ByteBuf) {}

    fn release_slot(&self, lease: u64) -> Result<(), PluginError> {
        let engine = self.engine.get().ok_or_else(stopped)?;
        engine.release_slot(LeaseId(lease));
        Ok(())
    }

    fn reclaim_slot(&self, lease: u64) -> Result<bool, PluginError> {
        let engine = self.engine.get().ok_or_else(stopped)?;
        engine.reclaim_slot(LeaseId(lease));
        Ok(false)
    }

    fn asset(&self, _: String) -> Result<ByteBuf, PluginError> {
        Err(PluginError::new("ASSET", "a program reads its assets itself"))
    }
}

fn stopped() -> PluginError {
    PluginError::new("STOPPED", "no engine is attached")
}

/// The program's own inventory as a package.
pub struct EmbeddedPackage {
    shell: Arc<Shell>,
    own: Arc<OwnGraphs>,
    reports: Arc<Reports>,
    catalog: Arc<Catalog>,
    changed: watch::Sender<u64>,
}

impl EmbeddedPackage {
    /// Walks the program's inventory.
    ///
    /// # Errors
    /// [`DefinitionError`] for what the macros could not see at compile time.
    pub fn from_inventory(name: &str, version: &str) -> Result<Self, DefinitionError> {
        let reports = Arc::new(Reports::default());
        let (digest, package) = (digest(), PackageName::from(name));
        let meta = PackageMeta {
            name: name.to_owned(),
            version: version.to_owned(),
            sdk: env!("CARGO_PKG_VERSION").into(),
        };
        let workers = std::thread::available_parallelism().map_or(2, |n| n.get() as u32);
        let config = ShellConfig { workers, log_level: 0, shutdown_ms: 5000 };
        let shell = Arc::new(Shell::embedded(Arc::clone(&reports) as Arc<dyn LongshoreHost>, meta, config));
        let tasks: TaskMetadata = ask(&shell, Method::GetTaskMetadata);
        let reactors: ReactorMetadata = ask(&shell, Method::GetReactorMetadata);
        let graphs: GraphMetadata = ask(&shell, Method::GetGraphMetadata);
        let defs = definitions(&tasks, &digest)?.into_iter();
        let workflows: Vec<WorkflowDef> = defs
            .map(|def| {
                let own = workflow_digest(&def);
                def.with_digest(own)
            })
            .collect();
        let tenants = PackageTenants::of(workflows.iter().map(|def| (&def.tenant, def.name.as_str())));
        let triggers = triggers(&ask(&shell, Method::GetTriggerMetadata), &digest, &tenants);
        let graphs = reactor_def::graphs(&graphs, &reactors, &digest, &package, &tenants);
        let reactors = reactor_def::reactors(&reactors, &digest, &package, &tenants);
        let is_reactor = |name: &str| reactors.iter().any(|reactor| reactor.name == name);
        let catalog = Catalog {
            queues: workflows.iter().map(|def| def.queue).collect(),
            digests: workflows.iter().map(|def| def.digest.clone()).chain([digest.clone()]).collect(),
            workflows: workflows.into_iter().map(|def| (def.key(), Arc::new(def))).collect(),
            subscriptions: subscriptions(&triggers, is_reactor),
            triggers,
            graphs: graphs.iter().map(|graph| Arc::new(graph.bound(is_reactor))).collect(),
            reactors,
        };
        let own = Arc::new(OwnGraphs(Arc::clone(&shell)));
        Ok(Self { shell, own, reports, catalog: Arc::new(catalog), changed: watch::channel(0).0 })
    }

    fn send(&self, request: &TaskRequest) -> Vec<u8> {
        self.shell.call(Method::ExecuteTask, request.encode())
    }
}

/// Asks the shell of this program, which answers in the types it was compiled with.
fn ask<T: Wire + Default>(shell: &Shell, method: Method) -> T {
    T::decode(&shell.call(method, Vec::new())).unwrap_or_default()
}

impl Packages for EmbeddedPackage {
    fn attach(&self, engine: Arc<dyn AttemptReports>) {
        // A second engine on the same program would get no reports; the first one keeps them.
        let _ = self.reports.engine.set(engine);
    }

    fn catalog(&self) -> Arc<Catalog> {
        Arc::clone(&self.catalog)
    }

    fn changed(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    fn definition(&self, of: &Digest, tenant: &TenantId, workflow: &str) -> Option<Arc<WorkflowDef>> {
        let key = (tenant.clone(), workflow.to_owned());
        self.catalog.workflows.get(&key).filter(|def| def.digest == *of).cloned()
    }

    fn start(&self, attempt: Attempt) -> Result<(), Refused> {
        let reply = self.shell.call(Method::ExecuteTask, start_request(&attempt));
        if let (Ok(Some(outcome)), Some(engine)) = (read_reply(&reply), self.reports.engine.get()) {
            engine.finished(attempt.lease, outcome);
        }
        Ok(())
    }

    fn cancel(&self, _: &Digest, lease: LeaseId) {
        self.send(&TaskRequest::Cancel { lease: lease.0 });
    }

    fn resume(&self, _: &Digest, lease: LeaseId) {
        self.send(&TaskRequest::Resume { lease: lease.0 });
    }

    fn graphs(&self, of: &Digest) -> Option<Arc<dyn GraphRunner>> {
        (*of == digest()).then(|| Arc::clone(&self.own) as Arc<dyn GraphRunner>)
    }

    fn poll(&self, trigger: Arc<TriggerDef>) -> BoxFuture<'static, PollOutcome> {
        let shell = Arc::clone(&self.shell);
        Box::pin(async move {
            let request = PollRequest { trigger: trigger.index, deadline_ms: POLL_DEADLINE_MS }.encode();
            let call = tokio::task::spawn_blocking(move || shell.call(Method::InvokeTriggerPoll, request));
            match call.await {
                Ok(reply) => read_poll(&reply),
                Err(error) => PollOutcome::Failed(error.to_string()),
            }
        })
    }
}
