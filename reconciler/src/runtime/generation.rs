//! A loaded digest. Its package is called on its lanes only, in this process or in one of its own.

use crate::artifact::cache::{VerifiedArtifact, remove_unique_path};
use crate::artifact::policy::IsolationPolicy;
use crate::error::Error;
use crate::runtime::callbacks::{Callbacks, CrashNote, Shared};
use crate::runtime::instance::{Instance, check_declared};
use crate::runtime::lanes::{GraphLane, Job, Lanes, Open, Opened};
use crate::runtime::leftovers::{self, Leftovers};
use crate::runtime::library::OpenLibrary;
use crate::runtime::linker::Linker;
use crate::runtime::options::RuntimeOptions;
use crate::runtime::package_log::AttemptName;
use longshore_engine::{
    Attempt, AttemptFailure, AttemptOutcome, AttemptReports, GraphDef, GraphRunner, LeaseId,
    POLL_DEADLINE_MS, PackageTenants, PollOutcome, ReactorDef, TriggerDef, WorkflowDef, definitions, graphs,
    reactor_defs, read_poll, read_reply, start_request, triggers,
};
use longshore_package::{Digest, Isolation, LiveEntries, PackageName};
use longshore_store::GenerationId;
use longshore_workflow_plugin::Method;
use longshore_workflow_plugin::wire::{PollRequest, ShellConfig, TaskRequest, Wire};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::oneshot;

/// The time an instance's runtime gets to end when the generation is closed.
const RUNTIME_SHUTDOWN: Duration = Duration::from_secs(5);

/// Threads of a package's runtime, unless its manifest says otherwise.
const DEFAULT_WORKERS: u32 = 2;

/// A loaded digest.
pub struct Generation {
    id: GenerationId,
    artifact: VerifiedArtifact,
    workflows: Vec<Arc<WorkflowDef>>,
    triggers: Vec<Arc<TriggerDef>>,
    reactors: Vec<Arc<ReactorDef>>,
    graphs: Vec<Arc<GraphDef>>,
    triggerless_graphs: Vec<String>,
    isolation: Isolation,
    shared: Arc<Shared>,
    lanes: Arc<Mutex<Option<Lanes>>>,
}

/// A package that was not opened.
#[derive(Debug, thiserror::Error)]
#[error("the package was not opened")]
pub struct NotOpened {
    /// Why.
    #[source]
    pub error: Error,
    /// What has to be closed; none when nothing was opened.
    pub remains: Option<Remains>,
}

impl From<Error> for NotOpened {
    fn from(error: Error) -> Self {
        Self { error, remains: None }
    }
}

/// The lanes of a package, and its library.
pub struct Remains {
    lanes: Lanes,
    library: PathBuf,
    isolation: Isolation,
}

impl fmt::Debug for Remains {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Remains").field("library", &self.library).finish_non_exhaustive()
    }
}

impl Remains {
    /// Ends the instance, its runtime and its lanes, closes the library, and looks whether it is gone.
    pub async fn close(self) -> UnloadResult {
        let (library, names) = (self.library.clone(), self.lanes.thread_names());
        let ended = self.lanes.close(move || clear_leftovers(&library, &names)).await;
        if ended && self.isolation == Isolation::Process {
            return UnloadResult::ProcessEnded;
        }
        let result = unload_result(&self.library);
        if result == UnloadResult::Unmapped {
            remove_unique_path(&self.library);
        }
        result
    }
}

/// True when a closed library's memory was given back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnloadResult {
    /// Nothing of it is mapped.
    Unmapped,
    /// It is still mapped.
    StillMapped {
        /// Bytes that are mapped.
        bytes: u64,
    },
    /// It was in a process of its own, which is gone.
    ProcessEnded,
    /// This platform does not say.
    Unknown,
}

impl fmt::Display for UnloadResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unmapped => f.write_str("unmapped"),
            Self::StillMapped { bytes } => write!(f, "still mapped, {bytes} bytes"),
            Self::ProcessEnded => f.write_str("process ended"),
            Self::Unknown => f.write_str("unknown"),
        }
    }
}

impl Generation {
    /// Opens a verified library on a lane of its own and asks it for everything it declares.
    ///
    /// # Errors
    /// [`NotOpened`] with [`Error::Load`], [`Error::Answer`], [`Error::RecordMismatch`], [`Error::Definition`],
    /// [`Error::OpenHung`], [`Error::LinkerHeld`], [`Error::NoThread`], and what is left to close.
    pub async fn open(artifact: VerifiedArtifact, options: &RuntimeOptions) -> Result<Self, NotOpened> {
        let limits = &artifact.manifest().limits;
        let config = ShellConfig {
            workers: limits.workers.unwrap_or(DEFAULT_WORKERS),
            log_level: options.log_level,
            shutdown_ms: RUNTIME_SHUTDOWN.as_millis() as u64,
        };
        let isolation = options.isolation.of(artifact.manifest());
        let shared = Arc::new(Shared::new(&artifact, options));
        let callbacks = Arc::new(Callbacks(Arc::downgrade(&shared)));
        let open = match isolation {
            Isolation::InProcess => in_process(&artifact, config, callbacks),
            Isolation::Process => in_its_own(&artifact, &config, &options.isolation, callbacks),
        };
        let limit = options.isolation.start;
        let turn = match isolation {
            Isolation::InProcess => Some(options.linker.turn().await?),
            Isolation::Process => None,
        };
        let (lanes, opened) = Lanes::start(artifact.digest().short(), open)?;
        let declared = match turn {
            // The process has limits of its own, and is ended when it exceeds them.
            None => opened.declared.await.unwrap_or_else(|_| Err(lane_ended())),
            Some(turn) => declared_within(limit, opened, turn, &options.linker, &shared.package).await,
        };
        let checked = declared.and_then(|live| {
            check_declared(&live, &artifact.declared())?;
            let workflows = definitions(&live.tasks, artifact.digest())?;
            Ok((workflows, live))
        });
        let (workflows, live) = match checked {
            Ok(checked) => checked,
            Err(error) => {
                let library = artifact.path().to_owned();
                return Err(NotOpened { error, remains: Some(Remains { lanes, library, isolation }) });
            }
        };
        let (digest, package) = (artifact.digest(), &artifact.manifest().package.name);
        let limited = |def: WorkflowDef| def.with_limits(limits.task_timeout_ms, limits.run_timeout_ms);
        let workflows: Vec<_> = workflows.into_iter().map(limited).collect();
        let tenants = PackageTenants::of(workflows.iter().map(|def| (&def.tenant, def.name.as_str())));
        Ok(Self {
            id: GenerationId::new(),
            workflows,
            triggers: triggers(&live.triggers, digest, &tenants),
            reactors: reactor_defs(&live.reactors, digest, package, &tenants),
            graphs: graphs(&live.bound_graphs, &live.reactors, digest, package, &tenants),
            triggerless_graphs: live.triggerless_graphs.graphs.into_iter().map(|graph| graph.name).collect(),
            isolation,
            shared,
            lanes: Arc::new(Mutex::new(Some(lanes))),
            artifact,
        })
    }

    /// Its id in the journal.
    pub fn id(&self) -> GenerationId {
        self.id
    }

    /// Its source.
    pub fn artifact(&self) -> &VerifiedArtifact {
        &self.artifact
    }

    /// The digest.
    pub fn digest(&self) -> &Digest {
        self.artifact.digest()
    }

    /// The package's name.
    pub fn package(&self) -> &PackageName {
        &self.shared.package
    }

    /// Its workflows.
    pub fn workflows(&self) -> &[Arc<WorkflowDef>] {
        &self.workflows
    }

    /// Its triggers.
    pub fn triggers(&self) -> &[Arc<TriggerDef>] {
        &self.triggers
    }

    /// Its reactors.
    pub fn reactors(&self) -> &[Arc<ReactorDef>] {
        &self.reactors
    }

    /// Its graphs that reactors fire.
    pub fn graphs(&self) -> &[Arc<GraphDef>] {
        &self.graphs
    }

    /// Names of its graphs that tasks call.
    pub fn triggerless_graphs(&self) -> &[String] {
        &self.triggerless_graphs
    }

    /// Where it runs.
    pub fn isolation(&self) -> Isolation {
        self.isolation
    }

    /// The ends of its processes since this was asked last.
    pub(crate) fn take_crashes(&self) -> Vec<CrashNote> {
        self.shared.take_crashes()
    }

    /// Where its graphs and accumulators may be called.
    pub(crate) fn graph_runner(&self) -> Arc<dyn GraphRunner> {
        Arc::new(GraphLane(Arc::clone(&self.lanes)))
    }

    /// Where its attempts report.
    pub(crate) fn attach(&self, engine: Arc<dyn AttemptReports>) {
        // The engine attaches once; a second one would be a second engine on the same packages.
        let _ = self.shared.engine.set(engine);
    }

    /// Executes an attempt. False when the generation is closed.
    pub(crate) fn start(&self, attempt: Attempt) -> bool {
        let Attempt { lease: LeaseId(lease), run, task, number, .. } = &attempt;
        let (lease, name) =
            (*lease, AttemptName { run: run.to_string(), task: task.clone(), attempt: *number });
        self.shared.begin_attempt(lease, name);
        let shared = Arc::clone(&self.shared);
        self.submit(Box::new(move |package| {
            let request = start_request(&attempt);
            let reply = if attempt.alone {
                package.start_alone(&request)
            } else {
                package.call(Method::ExecuteTask, &request)
            };
            if let Some(outcome) = immediate(reply) {
                shared.finished(lease, outcome);
            }
        }))
    }

    /// Tells an attempt to stop. It reports its outcome when it has.
    pub(crate) fn cancel(&self, LeaseId(lease): LeaseId) {
        self.submit(Box::new(move |package| {
            // An attempt that is gone has reported.
            let _ = package.call(Method::ExecuteTask, &TaskRequest::Cancel { lease }.encode());
        }));
    }

    /// Tells an attempt that it has a slot again.
    pub(crate) fn resume(&self, LeaseId(lease): LeaseId) {
        self.submit(Box::new(move |package| {
            // An attempt that is gone needs no slot.
            let _ = package.call(Method::ExecuteTask, &TaskRequest::Resume { lease }.encode());
        }));
    }

    /// Polls a trigger, on the lane for polls: a slow poll holds up other polls and no attempt.
    pub(crate) async fn poll(&self, index: u32) -> PollOutcome {
        let (reply, answer) = oneshot::channel();
        let job: Job = Box::new(move |package| {
            let request = PollRequest { trigger: index, deadline_ms: POLL_DEADLINE_MS }.encode();
            let outcome = match package.call(Method::InvokeTriggerPoll, &request) {
                Ok(Some(bytes)) => read_poll(&bytes),
                Ok(None) => PollOutcome::Failed("the package has no triggers".into()),
                Err(error) => PollOutcome::Failed(error.to_string()),
            };
            let _ = reply.send(outcome);
        });
        let sent = self.lanes().as_ref().is_some_and(|lanes| lanes.polls.send(job).is_ok());
        if !sent {
            return PollOutcome::Skip;
        }
        answer.await.unwrap_or(PollOutcome::Skip)
    }

    /// Gives up on the attempts that it has: each is reported as lost. Returns how many there were.
    pub(crate) fn fail_in_flight(&self) -> usize {
        self.shared.fail_in_flight()
    }

    /// Does something with the package on its lane for calls. None when the generation is closed.
    pub async fn on_its_lane<T: Send + 'static>(
        &self,
        work: impl FnOnce(&dyn Instance) -> T + Send + 'static,
    ) -> Option<T> {
        let (reply, answer) = oneshot::channel();
        self.submit(Box::new(move |package| {
            // Whoever asked may have gone.
            let _ = reply.send(work(package));
        }));
        answer.await.ok()
    }

    /// Ends the instance, its runtime and its lanes, closes the library, and looks whether it is gone.
    pub async fn close(&self) -> UnloadResult {
        let lanes = self.lanes().take();
        let (library, isolation) = (self.artifact.path().to_owned(), self.isolation);
        match lanes {
            Some(lanes) => Remains { lanes, library, isolation }.close().await,
            None => unload_result(&library),
        }
    }

    fn submit(&self, job: Job) -> bool {
        self.lanes().as_ref().is_some_and(|lanes| lanes.calls.send(job).is_ok())
    }

    fn lanes(&self) -> std::sync::MutexGuard<'_, Option<Lanes>> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Generation")
            .field("package", &self.shared.package)
            .field("digest", &self.artifact.digest().short())
            .finish_non_exhaustive()
    }
}

fn lane_ended() -> Error {
    Error::Load { message: "its lane ended".into() }
}

/// What a package that is opened in this process declares. Its constructors and its answers get `limit` each.
async fn declared_within(
    limit: Duration,
    opened: Opened,
    turn: tokio::sync::MutexGuard<'_, ()>,
    linker: &Linker,
    package: &PackageName,
) -> Result<LiveEntries, Error> {
    let hung = |in_constructor| Error::OpenHung { seconds: limit.as_secs(), in_constructor };
    if tokio::time::timeout(limit, opened.mapped).await.is_err() {
        linker.held_by(package, opened.has_come_back);
        return Err(hung(true));
    }
    drop(turn);
    let declared = tokio::time::timeout(limit, opened.declared).await.map_err(|_| hung(false))?;
    declared.unwrap_or_else(|_| Err(lane_ended()))
}

/// The outcome of an attempt that did not go on detached.
fn immediate(reply: Result<Option<Vec<u8>>, Error>) -> Option<AttemptOutcome> {
    let failed = |message: String| {
        Some(AttemptOutcome::Failed(AttemptFailure { message, ..AttemptFailure::default() }))
    };
    match reply {
        Ok(Some(bytes)) => match read_reply(&bytes) {
            Ok(outcome) => outcome,
            Err(error) => failed(format!("the package's reply does not decode: {error}")),
        },
        Ok(None) => failed("the package has no execute_task".into()),
        Err(error @ Error::Crashed { .. }) => {
            Some(AttemptOutcome::Lost { reason: error.full(), alone: false })
        }
        Err(error) if error.is_process_failure() => Some(AttemptOutcome::NeverBegan(error.full())),
        Err(error) => failed(error.full()),
    }
}

/// Opens the library in this process.
fn in_process(artifact: &VerifiedArtifact, config: ShellConfig, callbacks: Arc<Callbacks>) -> Open {
    let artifact = artifact.clone();
    Box::new(move |mapped| {
        let keep = |mapping| drop(mapped.set(mapping));
        let library = OpenLibrary::open(&artifact, Some(callbacks), &config, keep)?;
        Ok(Box::new(library) as Box<dyn Instance>)
    })
}

/// Opens the library in a process of its own.
#[cfg(unix)]
fn in_its_own(
    artifact: &VerifiedArtifact,
    config: &ShellConfig,
    policy: &IsolationPolicy,
    callbacks: Arc<Callbacks>,
) -> Open {
    use crate::runtime::process::spec::{ChildSpec, ResourceLimits};
    use crate::runtime::process::supervisor::Isolated;
    let limits = &artifact.manifest().limits;
    let spec = ChildSpec {
        library: artifact.path().to_owned(),
        identity: artifact.identity(),
        assets: artifact.assets().cloned(),
        workers: config.workers,
        log_level: config.log_level,
        shutdown_ms: config.shutdown_ms,
        memory_mb: limits.memory_mb,
        cpu_seconds: limits.cpu_seconds,
    };
    let limits = ResourceLimits {
        program: policy.program.clone(),
        name: artifact.digest().short().to_owned(),
        memory_mb: limits.memory_mb,
        cpu_percent: limits.cpu_percent,
        start: policy.start,
        call: policy.call,
    };
    let runtime = tokio::runtime::Handle::current();
    Box::new(move |_| {
        let isolated = Isolated::open(spec, limits, runtime, callbacks)?;
        Ok(Box::new(isolated) as Box<dyn Instance>)
    })
}

#[cfg(not(unix))]
fn in_its_own(_: &VerifiedArtifact, _: &ShellConfig, _: &IsolationPolicy, _: Arc<Callbacks>) -> Open {
    let message = "this platform has no processes for packages".to_owned();
    Box::new(|_| Err(Error::Load { message }))
}

/// Takes the signal handlers of a library away. True when it must stay mapped: threads go on in it.
fn clear_leftovers(library: &Path, lanes: &[String]) -> bool {
    let Leftovers { threads, handlers } = leftovers::clear(library, lanes);
    let library = library.display();
    if !handlers.is_empty() {
        tracing::warn!(%library, ?handlers, "a package left signal handlers behind: they are taken away");
    }
    if threads > 0 {
        tracing::warn!(%library, threads, "a package left threads behind: its library stays mapped");
    }
    threads > 0
}

/// Looks for mappings of a file in this process.
fn unload_result(path: &Path) -> UnloadResult {
    if !Path::new("/proc/self/maps").exists() {
        return UnloadResult::Unknown;
    }
    let bytes: usize = leftovers::ranges(path).into_iter().map(|(start, end)| end - start).sum();
    if bytes == 0 { UnloadResult::Unmapped } else { UnloadResult::StillMapped { bytes: bytes as u64 } }
}
