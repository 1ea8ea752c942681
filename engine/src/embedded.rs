//! The program's own inventory as a package: the same shell, without a library.

use crate::definition::{DefinitionError, WorkflowDef, definitions};
use crate::packages::{
    AttemptFailure, AttemptOutcome, BoxFuture, Catalog, Lease, Outcomes, Packages, PollOutcome, Refused,
    TriggerDef, TriggerWhen,
};
use crate::reactors::calls::{GraphCalls, GraphJob, GraphRunner, Outputs};
use crate::reactors::def::{self, Subscription};
use longshore_workflow::InputCache;
use longshore_workflow_plugin::Shell;
use longshore_workflow_plugin::interface::{LongshoreHost, Method};
use longshore_workflow_plugin::private::fidius::PluginError;
use longshore_workflow_plugin::wire::{
    CallFailure, GraphMetadata, PackageMeta, PollReply, PollRequest, ReactorMetadata, Reader, ShellConfig,
    StartTask, TaskFailure, TaskMetadata, TaskReply, TaskRequest, TriggerMetadata, Wire, WireError,
};
use serde_bytes::ByteBuf;
use std::borrow::Cow;
use std::sync::{Arc, OnceLock};
use tokio::sync::watch;

/// The digest that embedded runs are pinned to. A program is its own and only version of itself.
pub const DIGEST: &str = "embedded";

/// How long a poll may take, in milliseconds.
pub const POLL_DEADLINE_MS: u64 = 30_000;

/// Reads what `execute_task` returned or `finished` carried.
///
/// # Errors
/// [`WireError`] when the bytes are no reply. `Accepted` has no outcome yet.
pub fn read_reply(bytes: &[u8]) -> Result<Option<AttemptOutcome>, WireError> {
    let mut reader = Reader::new(bytes);
    Ok(match TaskReply::take(&mut reader)? {
        TaskReply::Done => Some(AttemptOutcome::Done(bytes[reader.position()..].to_vec())),
        TaskReply::Failed(failure) => Some(AttemptOutcome::Failed(read_failure(failure))),
        TaskReply::Accepted => None,
        TaskReply::Cancelled => Some(AttemptOutcome::Cancelled),
        TaskReply::Unknown => Some(AttemptOutcome::Failed(AttemptFailure {
            message: "the package has no task with this index".into(),
            permanent: true,
            ..AttemptFailure::default()
        })),
    })
}

fn read_failure(failure: TaskFailure) -> AttemptFailure {
    AttemptFailure {
        message: failure.message,
        causes: failure.causes,
        panicked: failure.panicked,
        backtrace: failure.backtrace,
        timed_out: failure.timed_out,
        permanent: false,
    }
}

/// The request that starts an attempt, with its context.
pub fn start_request(lease: &Lease) -> Vec<u8> {
    let start = StartTask {
        lease: lease.id,
        task: lease.index,
        attempt: lease.attempt,
        run: *lease.run.as_bytes(),
        deadline_ms: lease.deadline_ms,
        detached: true,
    };
    let mut request = Vec::with_capacity(64 + lease.context.len());
    TaskRequest::Start(start).put(&mut request);
    request.extend_from_slice(&lease.context);
    request
}

/// Reads the reply of `invoke_trigger_poll`.
pub fn read_poll(bytes: &[u8]) -> PollOutcome {
    let mut reader = Reader::new(bytes);
    match PollReply::take(&mut reader) {
        Ok(PollReply::Skip) => PollOutcome::Skip,
        Ok(PollReply::Fire) => PollOutcome::Fire(bytes[reader.position()..].to_vec()),
        Ok(PollReply::Failed(message)) => PollOutcome::Failed(message),
        Err(error) => PollOutcome::Failed(error.to_string()),
    }
}

/// The triggers of a package's metadata.
pub fn triggers(metadata: &TriggerMetadata, digest: &str) -> Vec<Arc<TriggerDef>> {
    let trigger = |(index, meta): (usize, &longshore_workflow_plugin::wire::TriggerMeta)| {
        let when = if !meta.cron.is_empty() {
            TriggerWhen::Cron { expression: meta.cron.clone(), timezone: meta.timezone.clone() }
        } else if !meta.reactor.is_empty() {
            TriggerWhen::Reactor { reactor: meta.reactor.clone(), when: meta.when.clone() }
        } else {
            TriggerWhen::Poll { interval_ms: meta.poll_interval_ms.max(1) }
        };
        Arc::new(TriggerDef {
            digest: digest.to_owned(),
            index: index as u32,
            name: meta.name.clone(),
            workflow: meta.workflow.clone(),
            allow_concurrent: meta.allow_concurrent,
            when,
        })
    };
    metadata.triggers.iter().enumerate().map(trigger).collect()
}

/// The subscriptions among triggers. One whose predicate does not read starts nothing and is logged.
pub fn subscriptions(triggers: &[Arc<TriggerDef>]) -> Vec<Subscription> {
    let subscription = |trigger: &Arc<TriggerDef>| {
        let TriggerWhen::Reactor { reactor, when } = &trigger.when else { return None };
        let rule = if when.is_empty() { Ok(None) } else { serde_json::from_str(when).map(Some) };
        match rule {
            Ok(when) => Some(Subscription {
                trigger: trigger.name.clone(),
                reactor: reactor.clone(),
                workflow: trigger.workflow.clone(),
                when,
            }),
            Err(error) => {
                tracing::error!(trigger = trigger.name, %error, "a predicate does not read");
                None
            }
        }
    };
    triggers.iter().filter_map(subscription).collect()
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
    outcomes: OnceLock<Outcomes>,
}

impl LongshoreHost for Reports {
    fn finished(&self, lease: u64, reply: ByteBuf) {
        let Some(outcomes) = self.outcomes.get() else { return };
        if let Ok(Some(outcome)) = read_reply(&reply) {
            outcomes.finished(lease, outcome);
        }
    }

    // An embedded shell installs no log channel: its lines are the program's own.
    fn log(&self, _: ByteBuf) {}

    fn release_slot(&self, lease: u64) -> Result<(), PluginError> {
        let outcomes = self.outcomes.get().ok_or_else(stopped)?;
        outcomes.release_slot(lease);
        Ok(())
    }

    fn reclaim_slot(&self, lease: u64) -> Result<bool, PluginError> {
        let outcomes = self.outcomes.get().ok_or_else(stopped)?;
        outcomes.reclaim_slot(lease);
        Ok(false)
    }
}

fn stopped() -> PluginError {
    PluginError::new("STOPPED", "no engine is attached")
}

/// The workflows of this program.
pub struct Embedded {
    shell: Arc<Shell>,
    own: Arc<OwnGraphs>,
    reports: Arc<Reports>,
    catalog: Arc<Catalog>,
    changed: watch::Sender<u64>,
}

impl Embedded {
    /// Walks the program's inventory.
    ///
    /// # Errors
    /// [`DefinitionError`] for what the macros could not see at compile time.
    pub fn from_inventory(name: &str, version: &str) -> Result<Self, DefinitionError> {
        let reports = Arc::new(Reports::default());
        let package = PackageMeta {
            name: name.to_owned(),
            version: version.to_owned(),
            sdk: env!("CARGO_PKG_VERSION").into(),
        };
        let workers = std::thread::available_parallelism().map_or(2, |n| n.get() as u32);
        let config = ShellConfig { workers, log_level: 0, shutdown_ms: 5000 };
        let shell =
            Arc::new(Shell::embedded(Arc::clone(&reports) as Arc<dyn LongshoreHost>, package, config));
        let metadata =
            TaskMetadata::decode(&shell.call(Method::GetTaskMetadata, Vec::new())).unwrap_or_default();
        let trigger_metadata =
            TriggerMetadata::decode(&shell.call(Method::GetTriggerMetadata, Vec::new())).unwrap_or_default();
        let workflows =
            definitions(&metadata, DIGEST)?.into_iter().map(|def| (def.key(), Arc::new(def))).collect();
        let ask = |method| shell.call(method, Vec::new());
        let reactors = ReactorMetadata::decode(&ask(Method::GetReactorMetadata)).unwrap_or_default();
        let graphs = GraphMetadata::decode(&ask(Method::GetGraphMetadata)).unwrap_or_default();
        let triggers = triggers(&trigger_metadata, DIGEST);
        let catalog = Catalog {
            workflows,
            digests: [DIGEST.to_owned()].into(),
            subscriptions: subscriptions(&triggers),
            triggers,
            reactors: def::reactors(&reactors, DIGEST, name),
            graphs: def::graphs(&graphs, &reactors, DIGEST, name),
        };
        let own = Arc::new(OwnGraphs(Arc::clone(&shell)));
        Ok(Self { shell, own, reports, catalog: Arc::new(catalog), changed: watch::channel(0).0 })
    }

    fn send(&self, request: &TaskRequest) -> Vec<u8> {
        self.shell.call(Method::ExecuteTask, request.encode())
    }
}

impl Packages for Embedded {
    fn attach(&self, outcomes: Outcomes) {
        // A second engine on the same program would get no reports; the first one keeps them.
        let _ = self.reports.outcomes.set(outcomes);
    }

    fn catalog(&self) -> Arc<Catalog> {
        Arc::clone(&self.catalog)
    }

    fn changed(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    fn definition(&self, digest: &str, tenant: &str, workflow: &str) -> Option<Arc<WorkflowDef>> {
        let key = (tenant.to_owned(), workflow.to_owned());
        self.catalog.workflows.get(&key).filter(|_| digest == DIGEST).cloned()
    }

    fn start(&self, lease: Lease) -> Result<(), Refused> {
        let reply = self.shell.call(Method::ExecuteTask, start_request(&lease));
        if let (Ok(Some(outcome)), Some(outcomes)) = (read_reply(&reply), self.reports.outcomes.get()) {
            outcomes.finished(lease.id, outcome);
        }
        Ok(())
    }

    fn cancel(&self, _: &str, lease: u64) {
        let reply = self.send(&TaskRequest::Cancel { lease });
        if let (Ok(TaskReply::Accepted), Some(outcomes)) =
            (TaskReply::decode(&reply), self.reports.outcomes.get())
        {
            outcomes.finished(lease, AttemptOutcome::Cancelled);
        }
    }

    fn resume(&self, _: &str, lease: u64) {
        self.send(&TaskRequest::Resume { lease });
    }

    fn graphs(&self, digest: &str) -> Option<Arc<dyn GraphRunner>> {
        (digest == DIGEST).then(|| Arc::clone(&self.own) as Arc<dyn GraphRunner>)
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
