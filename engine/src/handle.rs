//! [`EngineHandle`]: starts runs, waits for them, cancels them.

use crate::clock::Clock;
use crate::decide;
use crate::error::Error;
use crate::model::definition::WorkflowDef;
use crate::port::packages::Packages;
use crate::report::RunReport;
use crate::turns::Turns;
use crate::writer::command::{Command, Inbox, Migration, PendingStart, Started};
use crate::writer::effects::ProgressEvent;
use longshore_store::{Digest, HostId, NewRun, NewTask, RunId, RunRow, RunState, Store, TenantId};
use longshore_workflow::MAX_CONTEXT_BYTES;
use serde_json::{Map, Value};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Semaphore, broadcast};

/// The interval at which the row of a run is polled that this host has not in memory.
const REMOTE_POLL_INTERVAL: Duration = Duration::from_millis(200);

/// Starts that wait to be recorded, in KiB together; more wait before they are handed to the writer.
pub(crate) const MAX_WAITING_KIB: usize = 64 << 10;

/// A run to start.
#[derive(Debug, Clone, Default)]
pub struct StartRequest {
    /// The tenant, `public` by default.
    pub tenant: TenantId,
    /// The workflow.
    pub workflow: String,
    /// Its params, or any context for a workflow that declares none.
    pub params: Map<String, Value>,
    /// Keys of its context beside the params. They may be params too, and need not be declared.
    pub context: Map<String, Value>,
    /// Its origin, `manual` when empty.
    pub origin: String,
    /// At most one run has this key, for as long as it is kept.
    pub dedup_key: Option<String>,
}

/// A handle to a running engine. Clones are handles to the same one.
#[derive(Clone)]
pub struct EngineHandle {
    pub(crate) store: Store,
    pub(crate) packages: Arc<dyn Packages>,
    pub(crate) inbox: Inbox,
    pub(crate) progress: broadcast::Sender<ProgressEvent>,
    pub(crate) host: HostId,
    pub(crate) clock: Arc<dyn Clock>,
    /// A permit for each KiB of starts that wait to be recorded.
    pub(crate) room: Arc<Semaphore>,
    /// The triggers that fire right now.
    pub(crate) turns: Turns,
}

impl EngineHandle {
    /// The database.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// The id of this host in the records.
    pub fn host(&self) -> HostId {
        self.host
    }

    pub(crate) fn packages(&self) -> &Arc<dyn Packages> {
        &self.packages
    }

    pub(crate) fn clock(&self) -> &dyn Clock {
        &*self.clock
    }

    /// Milliseconds since 1970 on the engine's clock.
    pub(crate) fn now_ms(&self) -> i64 {
        self.clock.now_ms()
    }

    /// Starts a run. When this returns, the run is on disk. While others use the database, or it is away, it waits up
    /// to 30 seconds; before that, while the starts that wait are 64 MiB together.
    ///
    /// # Errors
    /// [`Error::UnknownWorkflow`], [`Error::MissingParam`] and its siblings; [`Error::NotRecorded`] when the database
    /// refused, [`Error::StartUnknown`] when it went away in the middle.
    pub async fn start(&self, request: StartRequest) -> Result<Started, Error> {
        let def = self.find_workflow(&request.tenant, &request.workflow)?;
        let run = Box::new(new_run(&def, request)?);
        let kib = bytes_of(&run).div_ceil(1024).min(MAX_WAITING_KIB) as u32;
        let _room = self.room.acquire_many(kib).await.map_err(|_| Error::Stopped)?;
        let since = self.clock.uptime();
        let start = |reply| Command::Start(PendingStart { run, def, since, uncertain: false, reply });
        self.inbox.ask(start).await?
    }

    /// The runs that a fire of a trigger (its name, its tenant, the workflow that it names) starts: one for each workflow
    /// that it is for, each with a dedup key of its own, made of that of the fire.
    pub(crate) fn requests(
        &self,
        (trigger, tenant, workflow): (&str, &TenantId, &str),
        origin: &str,
        key: &str,
    ) -> Vec<StartRequest> {
        let targets = self.packages.catalog().targets(trigger, tenant, workflow).into_iter();
        let request = |(place, (tenant, workflow)): (usize, (TenantId, String))| {
            let dedup_key = Some(match place {
                0 => key.to_owned(),
                _ => format!("{key}:{tenant}/{workflow}"),
            });
            StartRequest { tenant, workflow, dedup_key, origin: origin.to_owned(), ..StartRequest::default() }
        };
        targets.enumerate().map(request).collect()
    }

    /// The current definition of a workflow.
    pub(crate) fn find_workflow(&self, tenant: &TenantId, workflow: &str) -> Result<Arc<WorkflowDef>, Error> {
        let catalog = self.packages.catalog();
        let key = (tenant.clone(), workflow.to_owned());
        catalog.workflows.get(&key).cloned().ok_or_else(|| {
            let (tenant, workflow) = key;
            let of_tenant = catalog.workflows.keys().filter(|(t, _)| *t == tenant);
            let mut known: Vec<String> = of_tenant.map(|(_, name)| name.clone()).collect();
            known.sort();
            Error::UnknownWorkflow { tenant, workflow, known }
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

    /// Waits until a run has ended and returns its state, without reading its record when this host ended it.
    ///
    /// # Errors
    /// [`Error::UnknownRun`], [`Error::Store`], [`Error::Stopped`].
    pub async fn ended(&self, run: RunId) -> Result<RunState, Error> {
        loop {
            if let Some(state) = self.inbox.ask(|reply| Command::AwaitRun { run, reply }).await? {
                return Ok(state);
            }
            let row = RunRow::find(&self.store, run).await?.ok_or(Error::UnknownRun { run })?;
            if row.state.is_terminal() {
                return Ok(row.state);
            }
            // The run is open and not in memory here: its digest is not loaded on this host.
            tokio::time::sleep(REMOTE_POLL_INTERVAL).await;
        }
    }

    /// Requests to cancel a run. False when it is not running.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn cancel(&self, run: RunId) -> Result<bool, Error> {
        let requested = RunRow::request_cancel(&self.store, run, None, self.now_ms()).await?;
        let _ = self.inbox.send(Command::ScanCancelled);
        Ok(requested)
    }

    /// Every change of a task's state, from now on.
    pub fn progress(&self) -> broadcast::Receiver<ProgressEvent> {
        self.progress.subscribe()
    }

    /// True when the engine has stopped.
    pub(crate) fn is_stopped(&self) -> bool {
        self.inbox.is_closed()
    }

    /// Completes when the engine has stopped: it was shut down, or its writer died and nothing is recorded any more.
    pub async fn stopped(&self) {
        self.inbox.closed().await;
    }

    /// Wakes the engine after a change of the catalog: runs that waited for a digest may go on.
    pub fn wake(&self) {
        let _ = self.inbox.send(Command::Wake);
    }

    /// Moves the open runs of a workflow that are pinned to a digest to another definition, which has to
    /// [continue](WorkflowDef::continues) theirs. Running attempts end where they are. Returns the number of runs.
    ///
    /// # Errors
    /// [`Error::Store`], [`Error::Stopped`].
    pub async fn migrate(&self, from: &Digest, to: Arc<WorkflowDef>) -> Result<u64, Error> {
        let from = from.clone();
        Ok(self.inbox.ask(|reply| Command::Migrate(Migration { from, to, reply })).await??)
    }

    /// Attempts of a digest that this host executes right now, and runs that it is about to start on it.
    pub async fn in_flight(&self, digest: &Digest) -> usize {
        let digest = digest.clone();
        self.inbox.ask(|reply| Command::CountInFlight { digest, reply }).await.unwrap_or(0)
    }
}

/// The memory that a run takes until it is recorded, about.
fn bytes_of(run: &NewRun) -> usize {
    run.input.len() + run.tasks.iter().map(|task| size_of::<NewTask>() + task.id.len()).sum::<usize>()
}

fn new_run(def: &WorkflowDef, request: StartRequest) -> Result<NewRun, Error> {
    let context = decide::start_context(def, &request.params, &request.context)?;
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
        // Set when it is recorded.
        deadline_at: None,
        tasks: tasks.collect(),
    })
}
