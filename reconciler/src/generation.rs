//! A loaded digest, and the threads that may call it.
//!
//! A lane is a thread of the generation. The library is opened, called and closed on lanes only, so that
//! thread-local destructors of the package run before the library is unmapped.

use crate::artifact::VerifiedArtifact;
use crate::error::Error;
use crate::library::{Mapping, OpenLibrary, check_declared};
use crate::logs::{self, Named};
use longshore_engine::embedded::{POLL_DEADLINE_MS, read_poll, read_reply, start_request, triggers};
use longshore_engine::{
    AttemptFailure, AttemptOutcome, GraphDef, GraphJob, GraphRunner, Lease, Outcomes, PollOutcome,
    ReactorDef, TriggerDef, WorkflowDef, definitions, graphs, reactor_defs,
};
use longshore_package::LiveEntries;
use longshore_store::GenerationId;
use longshore_workflow_plugin::Method;
use longshore_workflow_plugin::interface::LongshoreHost;
use longshore_workflow_plugin::private::fidius::PluginError;
use longshore_workflow_plugin::wire::{PollRequest, ShellConfig, TaskReply, TaskRequest, Wire};
use serde_bytes::ByteBuf;
use std::collections::HashMap;
use std::fmt;
use std::path::Path;
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::oneshot;

/// How long an instance's runtime gets to end when the generation is closed.
const SHUTDOWN: Duration = Duration::from_secs(5);

/// How long the lanes get to end when a generation is closed. One that is stuck in the package keeps its thread
/// and the library for the rest of the process.
const LANES_END: Duration = Duration::from_secs(15);

/// Threads of a package's runtime, unless its manifest says otherwise.
const WORKERS: u32 = 2;

/// Work for a lane.
type Job = Box<dyn FnOnce(&OpenLibrary) + Send>;

/// A loaded digest.
pub struct Generation {
    id: GenerationId,
    artifact: VerifiedArtifact,
    workflows: Vec<Arc<WorkflowDef>>,
    triggers: Vec<Arc<TriggerDef>>,
    reactors: Vec<Arc<ReactorDef>>,
    graphs: Vec<Arc<GraphDef>>,
    triggerless_graphs: Vec<String>,
    shared: Arc<Shared>,
    lanes: Arc<Mutex<Option<Lanes>>>,
}

/// What the package's callbacks reach. The table that the library is bound to lives as long as the process,
/// so it holds this weakly.
struct Shared {
    package: String,
    outcomes: OnceLock<Outcomes>,
    names: Mutex<HashMap<u64, Named>>,
}

struct Lanes {
    calls: Sender<Job>,
    /// Polls of triggers, which may take their time.
    polls: Sender<Job>,
    /// Graphs and accumulators, which reactors call.
    graphs: Sender<Job>,
    thread: JoinHandle<()>,
    mapping: Arc<OnceLock<Mapping>>,
}

/// Whether a closed library's memory was given back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Released {
    /// Nothing of it is mapped.
    Unmapped,
    /// It is still mapped.
    Pinned {
        /// How much of it.
        bytes: u64,
    },
    /// This platform does not say.
    Unknown,
}

impl fmt::Display for Released {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unmapped => f.write_str("unmapped"),
            Self::Pinned { bytes } => write!(f, "pinned, {bytes} bytes"),
            Self::Unknown => f.write_str("unknown"),
        }
    }
}

impl Generation {
    /// Opens a verified library on a lane of its own and asks it for everything it declares.
    ///
    /// # Errors
    /// [`Error::Load`], [`Error::Answer`], [`Error::RecordMismatch`], [`Error::Definition`].
    pub async fn open(artifact: VerifiedArtifact, log_level: u8) -> Result<Self, Error> {
        let limits = &artifact.manifest().limits;
        let config = ShellConfig {
            workers: limits.workers.unwrap_or(WORKERS),
            log_level,
            shutdown_ms: SHUTDOWN.as_millis() as u64,
        };
        let shared = Arc::new(Shared {
            package: artifact.manifest().package.name.clone(),
            outcomes: OnceLock::new(),
            names: Mutex::default(),
        });
        let host = Arc::new(Callbacks { shared: Arc::downgrade(&shared) });
        let (lanes, opened) = Lanes::start(artifact.clone(), host, config);
        let metadata = opened.await.unwrap_or_else(|_| Err(Error::Load { message: "its lane ended".into() }));
        let checked = metadata.and_then(|live| {
            check_declared(&live, &artifact.declared())?;
            let digest = artifact.digest().as_str();
            let workflows = definitions(&live.tasks, digest)?;
            Ok((workflows, live))
        });
        let (workflows, live) = match checked {
            Ok(checked) => checked,
            Err(error) => {
                lanes.close().await;
                return Err(error);
            }
        };
        let (digest, package) = (artifact.digest().as_str(), &artifact.manifest().package.name);
        let limited = |def: WorkflowDef| def.with_limits(limits.task_timeout_ms, limits.run_timeout_ms);
        let workflows = workflows.into_iter().map(limited).collect();
        Ok(Self {
            id: GenerationId::new(),
            workflows,
            triggers: triggers(&live.triggers, digest),
            reactors: reactor_defs(&live.reactors, digest, package),
            graphs: graphs(&live.bound_graphs, &live.reactors, digest, package),
            triggerless_graphs: live.triggerless_graphs.graphs.into_iter().map(|graph| graph.name).collect(),
            shared,
            lanes: Arc::new(Mutex::new(Some(lanes))),
            artifact,
        })
    }

    /// Its id in the records.
    pub fn id(&self) -> GenerationId {
        self.id
    }

    /// What it was loaded from.
    pub fn artifact(&self) -> &VerifiedArtifact {
        &self.artifact
    }

    /// The digest.
    pub fn digest(&self) -> &str {
        self.artifact.digest().as_str()
    }

    /// The package's name.
    pub fn package(&self) -> &str {
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

    /// Where its graphs and accumulators may be called.
    pub(crate) fn graph_runner(&self) -> Arc<dyn GraphRunner> {
        Arc::new(GraphLane(Arc::clone(&self.lanes)))
    }

    /// Where its attempts report.
    pub(crate) fn attach(&self, outcomes: Outcomes) {
        // The engine attaches once; a second one would be a second engine on the same packages.
        let _ = self.shared.outcomes.set(outcomes);
    }

    /// Executes an attempt. False when the generation is closed.
    pub(crate) fn start(&self, lease: Lease) -> bool {
        let named = Named { run: lease.run.to_string(), task: lease.task.clone(), attempt: lease.attempt };
        self.shared.names().insert(lease.id, named);
        let shared = Arc::clone(&self.shared);
        self.submit(Box::new(move |library| {
            let reply = library.call(Method::ExecuteTask, &start_request(&lease));
            if let Some(outcome) = immediate(reply) {
                shared.finished(lease.id, outcome);
            }
        }))
    }

    /// Cancels an attempt. When it was running, nobody else reports its outcome.
    pub(crate) fn cancel(&self, lease: u64) {
        let shared = Arc::clone(&self.shared);
        self.submit(Box::new(move |library| {
            let request = TaskRequest::Cancel { lease }.encode();
            if let Ok(Some(reply)) = library.call(Method::ExecuteTask, &request)
                && TaskReply::decode(&reply) == Ok(TaskReply::Accepted)
            {
                shared.finished(lease, AttemptOutcome::Cancelled);
            }
        }));
    }

    /// Tells an attempt that it has a slot again.
    pub(crate) fn resume(&self, lease: u64) {
        self.submit(Box::new(move |library| {
            // An attempt that is gone needs no slot.
            let _ = library.call(Method::ExecuteTask, &TaskRequest::Resume { lease }.encode());
        }));
    }

    /// Polls a trigger, on the lane for polls: a slow poll holds up other polls and no attempt.
    pub(crate) async fn poll(&self, index: u32) -> PollOutcome {
        let (reply, answer) = oneshot::channel();
        let job: Job = Box::new(move |library| {
            let request = PollRequest { trigger: index, deadline_ms: POLL_DEADLINE_MS }.encode();
            let outcome = match library.call(Method::InvokeTriggerPoll, &request) {
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

    /// Ends the instance, its runtime and its lanes, closes the library, and looks whether it is gone.
    pub async fn close(&self) -> Released {
        let lanes = self.lanes().take();
        if let Some(lanes) = lanes {
            lanes.close().await;
        }
        released(self.artifact.path())
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
        Err(error) => failed(error.full()),
    }
}

/// The lane for graphs, for as long as it is open.
struct GraphLane(Arc<Mutex<Option<Lanes>>>);

impl GraphRunner for GraphLane {
    fn run(&self, job: GraphJob) -> bool {
        let lanes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lanes.as_ref().is_some_and(|lanes| lanes.graphs.send(Box::new(move |library| job(library))).is_ok())
    }
}

impl Lanes {
    /// Starts the lane that opens the library, and the lane for polls once it is open.
    fn start(
        artifact: VerifiedArtifact,
        host: Arc<dyn LongshoreHost>,
        config: ShellConfig,
    ) -> (Self, oneshot::Receiver<Result<LiveEntries, Error>>) {
        let (calls, call_jobs) = mpsc::channel::<Job>();
        let (polls, poll_jobs) = mpsc::channel::<Job>();
        let (graphs, graph_jobs) = mpsc::channel::<Job>();
        let (opened, answer) = oneshot::channel();
        let name = format!("lane-{}", artifact.digest().short());
        let (poll_name, graph_name) =
            (format!("poll-{}", artifact.digest().short()), format!("graph-{}", artifact.digest().short()));
        let mapping: Arc<OnceLock<Mapping>> = Arc::default();
        let mapped = Arc::clone(&mapping);
        let run = move || {
            let library = match OpenLibrary::open(&artifact, Some(host), &config) {
                Ok(library) => library,
                Err(error) => {
                    let _ = opened.send(Err(error));
                    return;
                }
            };
            mapped.get_or_init(|| library.mapping());
            let metadata = library.metadata();
            let failed = metadata.is_err();
            let (polled, graphed) = metadata.as_ref().map_or((false, false), needs);
            let _ = opened.send(metadata);
            if failed {
                return;
            }
            std::thread::scope(|scope| {
                let library = &library;
                let lane = |name: String, jobs: mpsc::Receiver<Job>| {
                    let serve = move || jobs.iter().for_each(|job| job(library));
                    // Without its thread a lane takes no jobs; the host is short of threads and says so.
                    if let Err(error) = std::thread::Builder::new().name(name).spawn_scoped(scope, serve) {
                        tracing::error!(%error, "no thread for a lane");
                    }
                };
                if polled {
                    lane(poll_name, poll_jobs);
                }
                if graphed {
                    lane(graph_name, graph_jobs);
                }
                call_jobs.iter().for_each(|job| job(library));
            });
        };
        let thread = std::thread::Builder::new().name(name).spawn(run);
        // A host that cannot start a thread cannot do anything; there is no way on from here.
        let thread = thread.unwrap_or_else(|error| panic!("no thread for a package: {error}"));
        (Self { calls, polls, graphs, thread, mapping }, answer)
    }

    async fn close(self) {
        drop(self.calls);
        drop(self.polls);
        drop(self.graphs);
        let (thread, mapping) = (self.thread, self.mapping);
        let close = move || {
            // The lane drops the instance; a package whose destructor panics has lost its own thread.
            let _ = thread.join();
            drop(mapping);
        };
        let closed = tokio::time::timeout(LANES_END, tokio::task::spawn_blocking(close)).await;
        if closed.is_err() {
            tracing::error!(
                limit_s = LANES_END.as_secs(),
                "a lane does not end: its thread and its library stay"
            );
        }
    }
}

/// Which lanes a library needs beside the first: for polls, for graphs.
fn needs(live: &LiveEntries) -> (bool, bool) {
    let polled = live.triggers.triggers.iter().any(|t| t.poll_interval_ms > 0);
    let graphed = !live.reactors.reactors.is_empty() || !live.bound_graphs.graphs.is_empty();
    (polled, graphed)
}

impl Shared {
    fn names(&self) -> std::sync::MutexGuard<'_, HashMap<u64, Named>> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn finished(&self, lease: u64, outcome: AttemptOutcome) {
        self.names().remove(&lease);
        if let Some(outcomes) = self.outcomes.get() {
            outcomes.finished(lease, outcome);
        }
    }
}

/// The host as the library calls it, on the library's own threads.
struct Callbacks {
    shared: Weak<Shared>,
}

impl Callbacks {
    fn outcomes(&self) -> Result<Outcomes, PluginError> {
        let shared = self.shared.upgrade();
        let outcomes = shared.and_then(|shared| shared.outcomes.get().cloned());
        outcomes.ok_or_else(|| PluginError::new("STOPPED", "the host has let go of this generation"))
    }
}

impl LongshoreHost for Callbacks {
    fn finished(&self, lease: u64, reply: ByteBuf) {
        let Some(shared) = self.shared.upgrade() else { return };
        let outcome = match read_reply(&reply) {
            Ok(Some(outcome)) => outcome,
            Ok(None) => return,
            Err(error) => AttemptOutcome::Failed(AttemptFailure {
                message: format!("the package's outcome does not decode: {error}"),
                ..AttemptFailure::default()
            }),
        };
        shared.finished(lease, outcome);
    }

    fn log(&self, record: ByteBuf) {
        let Some(shared) = self.shared.upgrade() else { return };
        logs::emit(&shared.package, &record, |lease| shared.names().get(&lease).cloned());
    }

    fn release_slot(&self, lease: u64) -> Result<(), PluginError> {
        self.outcomes()?.release_slot(lease);
        Ok(())
    }

    fn reclaim_slot(&self, lease: u64) -> Result<bool, PluginError> {
        self.outcomes()?.reclaim_slot(lease);
        Ok(false)
    }
}

/// Looks for mappings of a file in this process.
fn released(path: &Path) -> Released {
    let Ok(maps) = std::fs::read_to_string("/proc/self/maps") else { return Released::Unknown };
    let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let Some(path) = path.to_str() else { return Released::Unknown };
    let size = |line: &str| {
        let (start, end) = line.split_whitespace().next()?.split_once('-')?;
        Some(u64::from_str_radix(end, 16).ok()? - u64::from_str_radix(start, 16).ok()?)
    };
    let bytes: u64 = maps.lines().filter(|line| line.contains(path)).filter_map(size).sum();
    if bytes == 0 { Released::Unmapped } else { Released::Pinned { bytes } }
}
