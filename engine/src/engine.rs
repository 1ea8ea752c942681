//! [`Engine`]: the handle.

use crate::actor::{Actor, Command, Migration};
use crate::decide;
use crate::definition::WorkflowDef;
use crate::error::Error;
use crate::packages::{Outcomes, Packages};
use crate::reactors::Reactors;
use crate::report::RunReport;
use crate::scheduler;
use longshore_store::{HostId, NewRun, NewTask, RunId, RunRow, RunState, Store, TaskState};
use longshore_workflow::MAX_CONTEXT_BYTES;
use serde_json::{Map, Value};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::{broadcast, mpsc, oneshot};
use tokio::task::JoinHandle;

/// Progress events kept for a slow reader; one that falls further behind misses the oldest.
const PROGRESS_BACKLOG: usize = 8192;

/// How often a run is looked at that this host does not drive.
const REMOTE_LOOK: Duration = Duration::from_millis(200);

/// How an engine runs.
#[derive(Debug, Clone)]
pub struct Options {
    /// Name of this host in the records.
    pub host_name: String,
    /// Attempts that run at the same time; a deferred attempt does not count.
    pub slots: usize,
    /// Whether schedules and polls of the catalog's triggers fire.
    pub triggers: bool,
    /// Whether the catalog's reactors run.
    pub reactors: bool,
    /// How long a graph may take for a firing.
    pub graph_deadline: Duration,
    /// Whether reactors begin anew: what was recorded of them is forgotten when they start.
    pub replay: bool,
    /// Where relative paths of event streams are looked for, in this order.
    pub stream_roots: Vec<PathBuf>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            host_name: "local".to_owned(),
            slots: 512,
            triggers: true,
            reactors: true,
            graph_deadline: Duration::from_secs(30),
            replay: false,
            stream_roots: vec![PathBuf::from(".")],
        }
    }
}

/// A run to start.
#[derive(Debug, Clone, Default)]
pub struct StartRequest {
    /// The tenant, `public` when empty.
    pub tenant: String,
    /// The workflow.
    pub workflow: String,
    /// Its params, or any context for a workflow that declares none.
    pub params: Map<String, Value>,
    /// What starts it, `manual` when empty.
    pub origin: String,
    /// At most one run ever has this key.
    pub dedup_key: Option<String>,
}

/// What a start came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Started {
    /// The run that was started, or that has the dedup key.
    pub run: RunId,
    /// Whether it was there already.
    pub existing: bool,
}

/// A task of a run moved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProgressEvent {
    /// The run.
    pub run: RunId,
    /// The task's place in the definition.
    pub idx: usize,
    /// The attempt it is in or was in.
    pub attempt: i64,
    /// Where it is now.
    pub state: TaskState,
    /// Why, when it failed, was skipped, or is tried again.
    pub message: Option<String>,
}

/// A running engine. Clones are handles to the same one.
#[derive(Clone)]
pub struct Engine {
    store: Store,
    packages: Arc<dyn Packages>,
    inbox: mpsc::UnboundedSender<Command>,
    progress: broadcast::Sender<ProgressEvent>,
    host: HostId,
    reactors: Arc<Reactors>,
    tasks: Arc<std::sync::Mutex<Vec<JoinHandle<()>>>>,
}

/// The clock's reading in milliseconds since 1970.
pub(crate) fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

impl Engine {
    /// Starts an engine on a database: recovers what dead hosts left, then goes on with every open run.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn open(store: Store, packages: Arc<dyn Packages>, options: Options) -> Result<Self, Error> {
        let host = HostId::new();
        let (inbox, commands) = mpsc::unbounded_channel();
        let (progress, _) = broadcast::channel(PROGRESS_BACKLOG);
        packages.attach(Outcomes { inbox: inbox.clone() });
        let actor =
            Actor::open(store.clone(), Arc::clone(&packages), &options, host, progress.clone()).await?;
        let (reactors, firings) =
            Reactors::new(options.stream_roots.clone(), options.replay, options.graph_deadline);
        let engine = Self { store, packages, inbox, progress, host, reactors, tasks: Arc::default() };
        let mut tasks = vec![tokio::spawn(actor.run(commands))];
        if options.triggers {
            tasks.push(tokio::spawn(scheduler::run(engine.clone())));
        }
        if options.reactors {
            let reactors = Arc::clone(&engine.reactors);
            tasks.push(tokio::spawn(crate::reactors::run(engine.clone(), reactors, firings)));
        }
        if let Ok(mut held) = engine.tasks.lock() {
            held.extend(tasks);
        }
        Ok(engine)
    }

    /// The database.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// The reactors of this host.
    pub fn reactors(&self) -> &Arc<Reactors> {
        &self.reactors
    }

    /// This host's id in the records.
    pub fn host(&self) -> HostId {
        self.host
    }

    pub(crate) fn packages(&self) -> &Arc<dyn Packages> {
        &self.packages
    }

    /// Starts a run. When this returns, the run is on disk.
    ///
    /// # Errors
    /// [`Error::UnknownWorkflow`], [`Error::MissingParam`] and its siblings, [`Error::Store`].
    pub async fn start(&self, request: StartRequest) -> Result<Started, Error> {
        let def = self.resolve(&request)?;
        let run = new_run(&def, request)?;
        let (reply, answer) = oneshot::channel();
        self.inbox.send(Command::Start { run: Box::new(run), def, reply }).map_err(|_| Error::Stopped)?;
        answer.await.map_err(|_| Error::Stopped)?
    }

    fn resolve(&self, request: &StartRequest) -> Result<Arc<WorkflowDef>, Error> {
        let tenant = if request.tenant.is_empty() { "public" } else { &request.tenant };
        let catalog = self.packages.catalog();
        let key = (tenant.to_owned(), request.workflow.clone());
        catalog.workflows.get(&key).cloned().ok_or_else(|| {
            let mut known: Vec<String> =
                catalog.workflows.keys().filter(|(t, _)| t == tenant).map(|(_, name)| name.clone()).collect();
            known.sort();
            Error::UnknownWorkflow { tenant: tenant.to_owned(), workflow: request.workflow.clone(), known }
        })
    }

    /// Waits until a run has ended and returns it.
    ///
    /// # Errors
    /// [`Error::UnknownRun`], [`Error::Store`], [`Error::Stopped`].
    pub async fn wait(&self, run: RunId) -> Result<RunReport, Error> {
        self.ended(run).await?;
        RunReport::load(&self.store, run).await
    }

    /// Waits until a run has ended and returns how, without reading its record when this host ended it.
    ///
    /// # Errors
    /// [`Error::UnknownRun`], [`Error::Store`], [`Error::Stopped`].
    pub async fn ended(&self, run: RunId) -> Result<RunState, Error> {
        loop {
            let (reply, ended) = oneshot::channel();
            self.inbox.send(Command::Watch { run, reply }).map_err(|_| Error::Stopped)?;
            if let Some(state) = ended.await.map_err(|_| Error::Stopped)? {
                return Ok(state);
            }
            let row = RunRow::find(&self.store, run).await?.ok_or(Error::UnknownRun { run })?;
            if row.state.is_terminal() {
                return Ok(row.state);
            }
            // The run is open and this host has it not in memory: its digest is not loaded here.
            tokio::time::sleep(REMOTE_LOOK).await;
        }
    }

    /// Asks to cancel a run. False when it is not running.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn cancel(&self, run: RunId) -> Result<bool, Error> {
        let asked = RunRow::request_cancel(&self.store, run, now_ms()).await?;
        let _ = self.inbox.send(Command::LookForCancelled);
        Ok(asked)
    }

    /// Every move of every task, from now on.
    pub fn progress(&self) -> broadcast::Receiver<ProgressEvent> {
        self.progress.subscribe()
    }

    /// Tells the engine that the catalog changed: runs that waited for a digest may go on.
    pub fn wake(&self) {
        let _ = self.inbox.send(Command::Wake);
    }

    /// Moves the open runs of a workflow that are pinned to a digest to another definition, which has to
    /// [continue](WorkflowDef::continues) theirs. Attempts that are on their way end where they are.
    ///
    /// # Errors
    /// [`Error::Store`], [`Error::Stopped`].
    pub async fn migrate(&self, from: &str, to: Arc<WorkflowDef>) -> Result<u64, Error> {
        let (reply, moved) = oneshot::channel();
        let migration = Migration { from: from.to_owned(), to, reply };
        self.inbox.send(Command::Migrate(migration)).map_err(|_| Error::Stopped)?;
        Ok(moved.await.map_err(|_| Error::Stopped)??)
    }

    /// How many attempts of a digest this host executes right now, and runs it is about to start on it.
    pub async fn in_flight(&self, digest: &str) -> usize {
        let (reply, count) = oneshot::channel();
        let _ = self.inbox.send(Command::CountInFlight { digest: digest.to_owned(), reply });
        count.await.unwrap_or(0)
    }

    /// Stops: no attempt is claimed any more; those that run get `drain` to end, and are then cancelled and
    /// put back, to be executed at the next start.
    pub async fn shutdown(&self, drain: Duration) {
        self.reactors.shutdown(self).await;
        let (reply, done) = oneshot::channel();
        if self.inbox.send(Command::Shutdown { drain, reply }).is_ok() {
            let _ = done.await;
        }
        let tasks = self.tasks.lock().map(|mut tasks| std::mem::take(&mut *tasks)).unwrap_or_default();
        for task in tasks {
            task.abort();
            let _ = task.await;
        }
    }
}

fn new_run(def: &WorkflowDef, request: StartRequest) -> Result<NewRun, Error> {
    let context = decide::start_context(def, &request.params)?;
    let bytes = context.to_frame().len();
    if bytes > MAX_CONTEXT_BYTES {
        return Err(Error::ContextTooLarge { bytes, limit: MAX_CONTEXT_BYTES });
    }
    let tasks = def.tasks.iter().enumerate().map(|(i, task)| NewTask {
        idx: i as i64,
        id: task.id.clone(),
        waiting: task.dependencies.len() as i64,
    });
    Ok(NewRun {
        id: RunId::new(),
        tenant: def.tenant.clone(),
        workflow: def.name.clone(),
        package: def.package.clone(),
        version: def.version.clone(),
        digest: def.digest.clone(),
        origin: if request.origin.is_empty() { "manual".to_owned() } else { request.origin },
        dedup_key: request.dedup_key,
        input: context.to_json(),
        deadline_at: def
            .run_timeout_ms
            .map(|ms| now_ms().saturating_add(i64::try_from(ms).unwrap_or(i64::MAX))),
        tasks: tasks.collect(),
    })
}
