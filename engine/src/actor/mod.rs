//! The one task that writes: it turns commands into transactions.
//!
//! While a transaction is on its way to disk, commands pile up; the next transaction takes all of them. So
//! one outcome is committed at once, and a thousand share a commit. Attempts that were handed over together
//! and end together share one as well: while such outcomes keep arriving, the transaction waits for the lull.
//!
//! What a transaction changed in memory is dropped when it fails, and read again from the database.

mod cache;
mod claim;
mod migrate;
mod settle;
mod transact;

pub(crate) use migrate::Migration;

use crate::definition::WorkflowDef;
use crate::engine::{Options, ProgressEvent, Started, now_ms};
use crate::error::Error;
use crate::packages::{AttemptOutcome, Lease, Packages};
use cache::RunCache;
use longshore_store::{HostId, NewRun, RunId, RunState, Store, TaskKey};
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{broadcast, mpsc, oneshot};
use tokio::time::Instant;
use transact::{Failed, Undone};

/// Most commands of one transaction: bounds how long a commit can keep the others waiting.
const MAX_BATCH: usize = 512;

/// How often the host row is touched, and cancel requests of other programs are looked for at the latest.
const HEARTBEAT: Duration = Duration::from_secs(5);

/// How often cancel requests of other programs are looked for while runs are open.
const CANCEL_LOOK: Duration = Duration::from_millis(500);

/// Pause after a transaction that failed; doubles up to [`MAX_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(50);

/// See [`FIRST_PAUSE`].
const MAX_PAUSE: Duration = Duration::from_secs(5);

/// Attempts that were handed over this short a time ago may end together.
const TOGETHER: Duration = Duration::from_millis(2);

/// This many outcomes are a burst however long ago they were handed over: what the lull costs is shared.
const BURST: usize = 8;

/// The lull that ends a burst of outcomes: several times what one takes to arrive.
const LULL: Duration = Duration::from_micros(150);

/// So many more outcomes that share the wait make it longer by a [`LULL`].
const SHARE: u32 = 64;

/// The longest burst that is waited for: no outcome waits longer for its transaction.
const LONGEST: Duration = Duration::from_millis(10);

/// The lull that ends a burst of starts: their callers are in this process, and each waits for its answer.
const START_LULL: Duration = Duration::from_micros(20);

/// How long cancelled attempts get to say so when the engine stops.
const CANCEL_GRACE: Duration = Duration::from_secs(5);

/// What the actor is told.
#[derive(Debug)]
pub(crate) enum Command {
    Start { run: Box<NewRun>, def: Arc<WorkflowDef>, reply: oneshot::Sender<Result<Started, Error>> },
    Finished { lease: u64, outcome: AttemptOutcome },
    ReleaseSlot { lease: u64 },
    ReclaimSlot { lease: u64 },
    LookForCancelled,
    Wake,
    Watch { run: RunId, reply: oneshot::Sender<Option<RunState>> },
    CountInFlight { digest: String, reply: oneshot::Sender<usize> },
    Migrate(Migration),
    Shutdown { drain: Duration, reply: oneshot::Sender<()> },
}

/// An attempt that this host executes.
#[derive(Debug, Clone)]
struct Held {
    key: TaskKey,
    token: i64,
    attempt: i64,
    lost: i64,
    digest: String,
    host: String,
    started_at: i64,
    has_slot: bool,
    /// Its run was cancelled: its outcome is recorded as an attempt and nothing more.
    cancelled: bool,
}

struct PendingStart {
    run: Box<NewRun>,
    def: Arc<WorkflowDef>,
    reply: oneshot::Sender<Result<Started, Error>>,
}

struct Stopping {
    deadline: Instant,
    cancelled: bool,
    reply: oneshot::Sender<()>,
}

pub(crate) struct Actor {
    store: Store,
    packages: Arc<dyn Packages>,
    host: HostId,
    progress: broadcast::Sender<ProgressEvent>,
    slots: usize,
    held_slots: usize,
    leases: HashMap<u64, Held>,
    /// Deferred attempts that want a slot again, in order.
    wanting: VecDeque<u64>,
    runs: HashMap<RunId, RunCache>,
    watchers: HashMap<RunId, Vec<oneshot::Sender<Option<RunState>>>>,
    starts: Vec<PendingStart>,
    ended: Vec<(Held, AttemptOutcome)>,
    migrations: Vec<Migration>,
    next_lease: u64,
    next_token: i64,
    /// When the earliest task is due that was put back for later.
    next_due: Option<i64>,
    /// Whether the database may have a due task that is not in `ready`: then it is asked.
    may_be_ready: bool,
    /// Tasks that this host made ready and had no slot for, oldest first, with when they became due; none while the
    /// database is asked. What is not ready any more is passed over when it is met.
    ready: BTreeSet<(i64, TaskKey)>,
    /// Whether the last transaction found that memory was wrong: this one believes only the database.
    careful: bool,
    look_for_cancelled: bool,
    last_dispatch: Instant,
    last_heartbeat: Instant,
    last_cancel_look: Instant,
    pause: Duration,
    stopping: Option<Stopping>,
}

impl Actor {
    /// Takes the database over: registers the host and takes what dead hosts held.
    pub(crate) async fn open(
        store: Store,
        packages: Arc<dyn Packages>,
        options: &Options,
        host: HostId,
        progress: broadcast::Sender<ProgressEvent>,
    ) -> Result<Self, Error> {
        let now = now_ms();
        let orphans = transact::take_over(&store, host, &options.host_name, now).await?;
        Ok(Self {
            store,
            packages,
            host,
            progress,
            slots: options.slots.max(1),
            held_slots: 0,
            leases: HashMap::new(),
            wanting: VecDeque::new(),
            runs: HashMap::new(),
            watchers: HashMap::new(),
            starts: Vec::new(),
            migrations: Vec::new(),
            ended: orphans,
            next_lease: 1,
            // Later than every token of an earlier host on this database, as its clock ran.
            next_token: now,
            // Tasks that an earlier host put back: the first claim looks up when they are due.
            next_due: Some(now),
            may_be_ready: true,
            ready: BTreeSet::new(),
            careful: false,
            look_for_cancelled: true,
            last_dispatch: Instant::now(),
            last_heartbeat: Instant::now(),
            last_cancel_look: Instant::now(),
            pause: Duration::ZERO,
            stopping: None,
        })
    }

    /// Runs until it is told to shut down.
    pub(crate) async fn run(mut self, mut commands: mpsc::UnboundedReceiver<Command>) {
        loop {
            let wait = self.until_next_timer();
            match tokio::time::timeout(wait, commands.recv()).await {
                Ok(Some(command)) => self.take(command),
                Ok(None) => return,
                Err(_) => {}
            }
            for _ in 1..MAX_BATCH {
                let Ok(command) = commands.try_recv() else { break };
                self.take(command);
            }
            if !self.pause.is_zero() {
                tokio::time::sleep(self.pause).await;
            }
            self.gather(&mut commands).await;
            self.turn().await;
            if self.careful {
                self.turn().await;
            }
            self.migrate_runs().await;
            if self.stop_if_done().await {
                return;
            }
        }
    }

    /// Waits for the end of a burst of starts or outcomes. tokio's timers are too coarse for a fraction of a
    /// millisecond, so this yields to other tasks until the lull; an attempt that takes longer than
    /// [`TOGETHER`] is only waited for in a [`BURST`].
    async fn gather(&mut self, commands: &mut mpsc::UnboundedReceiver<Command>) {
        let began = Instant::now();
        let mut last = began;
        while let Some(lull) = self.expected_lull() {
            let before = self.ended.len() + self.starts.len();
            match commands.try_recv() {
                Ok(command) => {
                    self.take(command);
                    if self.ended.len() + self.starts.len() > before {
                        last = Instant::now();
                    }
                }
                Err(_) if last.elapsed() >= lull || began.elapsed() >= LONGEST => return,
                Err(_) => {
                    // What is waited for runs on other threads, which may want this processor.
                    std::thread::yield_now();
                    tokio::task::yield_now().await;
                }
            }
        }
    }

    /// How long a pause ends the burst that may be going on; none when nothing more is to be expected.
    fn expected_lull(&self) -> Option<Duration> {
        let full = self.ended.len() + self.starts.len() >= MAX_BATCH;
        let outcomes = !self.ended.is_empty() && !self.leases.is_empty();
        let together = self.ended.len() >= BURST || self.last_dispatch.elapsed() < TOGETHER;
        if full {
            None
        } else if outcomes && together {
            Some(LULL * (1 + self.ended.len() as u32 / SHARE))
        } else {
            (!self.starts.is_empty()).then_some(START_LULL)
        }
    }

    /// One transaction, and what follows from it.
    async fn turn(&mut self) {
        let Failed { why, touched } = match self.transact().await {
            Ok(effects) => {
                self.pause = Duration::ZERO;
                self.careful = false;
                return self.after_commit(effects);
            }
            Err(failed) => failed,
        };
        self.careful = matches!(why, Undone::Surprised);
        // What surprised is not known: it may be any of them.
        let wrong: Vec<RunId> =
            if self.careful { self.runs.keys().copied().collect() } else { touched.into_iter().collect() };
        for run in wrong {
            self.forget(run, None);
        }
        self.ready.clear();
        self.may_be_ready = true;
        if let Undone::Store(error) = why {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                code = error.code(),
                "a transaction failed; outcomes are kept and tried again"
            );
            self.pause = (self.pause * 2).clamp(FIRST_PAUSE, MAX_PAUSE);
            self.refuse_starts(&error);
        }
    }

    fn refuse_starts(&mut self, error: &longshore_store::Error) {
        for start in self.starts.drain(..) {
            let refused =
                Error::NotRecorded { code: error.code(), message: error.to_string(), fix: error.fix() };
            let _ = start.reply.send(Err(refused));
        }
    }

    fn take(&mut self, command: Command) {
        match command {
            Command::Start { run, def, reply } => self.starts.push(PendingStart { run, def, reply }),
            Command::Finished { lease, outcome } => self.finished(lease, outcome),
            Command::ReleaseSlot { lease } => self.release_slot(lease),
            Command::ReclaimSlot { lease } => self.wanting.push_back(lease),
            Command::LookForCancelled => self.look_for_cancelled = true,
            Command::Wake => self.may_be_ready = true,
            Command::Watch { run, reply } => self.watch(run, reply),
            Command::CountInFlight { digest, reply } => {
                let held = self.leases.values().filter(|held| held.digest == digest).count();
                let queued = self.starts.iter().filter(|start| start.run.digest == digest).count();
                let _ = reply.send(held + queued);
            }
            Command::Migrate(migration) => self.migrations.push(migration),
            Command::Shutdown { drain, reply } => {
                self.stopping = Some(Stopping { deadline: Instant::now() + drain, cancelled: false, reply });
            }
        }
    }

    /// Answers when the run has ended; at once when it is not open in memory, where its end may have been.
    fn watch(&mut self, run: RunId, reply: oneshot::Sender<Option<RunState>>) {
        if self.runs.contains_key(&run) {
            self.watchers.entry(run).or_default().push(reply);
        } else {
            let _ = reply.send(None);
        }
    }

    /// Drops a run from memory. Whoever watches it is told how it ended, or looks for itself.
    fn forget(&mut self, run: RunId, ended: Option<RunState>) {
        self.runs.remove(&run);
        for watcher in self.watchers.remove(&run).into_iter().flatten() {
            let _ = watcher.send(ended);
        }
    }

    fn finished(&mut self, lease: u64, outcome: AttemptOutcome) {
        // A second report of the same lease finds nothing: only the first counts.
        if let Some(held) = self.leases.remove(&lease) {
            self.held_slots -= usize::from(held.has_slot);
            self.ended.push((held, outcome));
        }
    }

    fn release_slot(&mut self, lease: u64) {
        if let Some(held) = self.leases.get_mut(&lease)
            && std::mem::take(&mut held.has_slot)
        {
            self.held_slots -= 1;
        }
    }

    /// Gives free slots to deferred attempts first: they were there before anything that is claimed now.
    fn grant_slots(&mut self) {
        while self.held_slots < self.slots {
            let Some(lease) = self.wanting.pop_front() else { return };
            if let Some(held) = self.leases.get_mut(&lease)
                && !held.has_slot
            {
                held.has_slot = true;
                self.held_slots += 1;
                self.packages.resume(&held.digest, lease);
            }
        }
    }

    /// Hands claimed attempts over. One that is refused is put back.
    fn dispatch(&mut self, leases: Vec<Lease>) {
        if !leases.is_empty() {
            self.last_dispatch = Instant::now();
        }
        for lease in leases {
            let id = lease.id;
            if let Err(refused) = self.packages.start(lease) {
                self.finished(id, AttemptOutcome::Lost(refused.to_string()));
            }
        }
    }

    fn until_next_timer(&self) -> Duration {
        if !self.ended.is_empty() {
            return Duration::ZERO;
        }
        let mut wait = HEARTBEAT.saturating_sub(self.last_heartbeat.elapsed());
        if !self.runs.is_empty() {
            wait = wait.min(CANCEL_LOOK.saturating_sub(self.last_cancel_look.elapsed()));
        }
        // Without a free slot nothing is claimed: the outcome that frees one wakes this loop.
        let may_claim = self.stopping.is_none() && self.held_slots < self.slots;
        if let Some(due) = self.next_due.filter(|_| may_claim) {
            wait = wait.min(Duration::from_millis(due.saturating_sub(now_ms()).max(0) as u64));
        }
        if let Some(stopping) = &self.stopping {
            wait = wait.min(stopping.deadline.saturating_duration_since(Instant::now()));
        }
        wait
    }

    /// Whether the engine was told to stop and nothing is left to record.
    async fn stop_if_done(&mut self) -> bool {
        let Some(stopping) = &mut self.stopping else { return false };
        let expired = Instant::now() >= stopping.deadline;
        let idle = self.leases.is_empty() && self.ended.is_empty();
        if !idle && expired && !stopping.cancelled {
            stopping.cancelled = true;
            stopping.deadline = Instant::now() + CANCEL_GRACE;
            for (lease, held) in &self.leases {
                self.packages.cancel(&held.digest, *lease);
            }
            return false;
        }
        if !idle && !expired {
            return false;
        }
        if let Err(error) = transact::sign_off(&self.store, self.host).await {
            tracing::warn!(error = &error as &dyn std::error::Error, "the host could not sign off");
        }
        if let Some(stopping) = self.stopping.take() {
            let _ = stopping.reply.send(());
        }
        true
    }
}
