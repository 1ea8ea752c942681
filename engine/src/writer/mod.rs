//! The one task that writes: it turns commands into transactions.
//!
//! [`Writer::run`] repeats [`Writer::turn`]; one turn is:
//! 1. take the commands that arrived (`command`), and wait for those that arrive together (`batching`);
//! 2. begin a transaction, and in it (`transaction`): heartbeat, cancel runs (`cancelled`), commit outcomes (`outcomes`,
//!    `record`), record starts, claim tasks as far as there are slots (`claim`, `slots`, `ready_queue`);
//! 3. commit, and only then apply the effects (`effects`): answer, report progress, hand attempts over (`attempts`).
//!
//! While a transaction is on its way to disk, commands pile up; the next transaction takes all of them. So one outcome
//! is committed at once, and a thousand share a commit.
//!
//! # Guarantees
//! - Everything that a transaction changes in memory can be read again from the database, and is, when the transaction
//!   is aborted.
//! - An effect follows only from a transaction that is on disk.
//!
//! # Assumptions
//! - Memory is compared with the rows that change: a difference aborts the transaction, and it is repeated without
//!   memory ([`effects::Abort::StaleCache`]).

mod attempts;
mod batching;
mod cancelled;
mod claim;
pub(crate) mod command;
pub(crate) mod effects;
mod lease_table;
mod log;
mod migrate;
mod outcomes;
mod ready_queue;
mod record;
mod recovery;
mod refusals;
mod run_cache;
mod search;
mod slots;
mod transaction;

use crate::backoff::Backoff;
use crate::clock::{Clock, Rng, SteadyTime};
use crate::error::Error;
use crate::model::attempt::AttemptOutcome;
use crate::options::{Options, Resume};
use crate::port::packages::Packages;
use batching::{Batching, MAX_BATCH, MAX_BATCH_DELAY, Pending};
use command::{Command, Migration, PendingStart};
use effects::{Abort, Aborted, ProgressEvent};
use lease_table::{HeldLease, LeaseTable};
use longshore_store::{Error as StoreError, FencingToken, HostId, RunId, RunScope, Store, TaskKey};
use ready_queue::ReadyQueue;
use run_cache::RunCache;
use search::{HeldBack, Search};
use slots::Slots;
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{broadcast, mpsc, oneshot};

/// The interval at which the host row is touched, and cancel requests of other programs are scanned for at the latest.
const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(5);

/// The interval at which cancel requests of other programs are scanned for while runs are open.
const CANCEL_SCAN_INTERVAL: Duration = Duration::from_millis(500);

/// Pauses after transactions that the database failed.
const STORE_BACKOFF: Backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(5));

/// The time a start waits for a database that others use, or that is away.
const START_TIMEOUT: Duration = Duration::from_secs(30);

/// Transactions in a row that are done again at once because another one came first.
const MAX_CONFLICTS: u32 = 10;

/// The time cancelled attempts get to report when the engine stops.
const CANCEL_GRACE: Duration = Duration::from_secs(5);

struct Stopping {
    /// On the clock's uptime.
    deadline: Duration,
    cancelled: bool,
    reply: oneshot::Sender<()>,
}

/// When, on the clock's uptime, the writer did what it does from time to time.
struct Timers {
    last_heartbeat: Duration,
    last_cancel_scan: Duration,
    /// Cancel requests are scanned for in the next transaction.
    scan_cancelled: bool,
}

/// The state of the writer. What waits for the next transaction stands in `starts`, `ended` and `migrations`.
pub(crate) struct Writer {
    store: Store,
    packages: Arc<dyn Packages>,
    host: HostId,
    clock: Arc<dyn Clock>,
    rng: Arc<dyn Rng>,
    progress: broadcast::Sender<ProgressEvent>,
    starts: Vec<PendingStart>,
    ended: Vec<(HeldLease, AttemptOutcome)>,
    /// Outcomes whose definitions are not loaded: they are recorded when the catalog has them again.
    parked: Vec<(HeldLease, AttemptOutcome)>,
    migrations: Vec<Migration>,
    slots: Slots,
    leases: LeaseTable,
    ready: ReadyQueue,
    runs: RunCache,
    max_cached_bytes: usize,
    /// Other runs are left as they are.
    scope: RunScope,
    batching: Batching,
    timers: Timers,
    token: FencingToken,
    time: SteadyTime,
    /// The last transaction found memory stale: this one believes only the database.
    bypass_cache: bool,
    /// Transactions in a row that the database failed.
    failures: u32,
    /// Transactions in a row that another one came before.
    conflicts: u32,
    /// Claims of this host are compared with its leases in the next transaction.
    verify_claims: bool,
    stopping: Option<Stopping>,
    search: Search,
    held_back: HeldBack,
    /// Outcomes that the database refused once.
    refused: HashSet<(TaskKey, FencingToken)>,
    /// Another host has taken the database: this one writes nothing any more.
    displaced: bool,
}

impl Writer {
    /// Takes the database over: registers the host, and takes the stale claims of dead hosts.
    pub(crate) async fn open(
        store: Store,
        packages: Arc<dyn Packages>,
        options: &Options,
        host: HostId,
        progress: broadcast::Sender<ProgressEvent>,
    ) -> Result<Self, Error> {
        let (now, uptime) = (options.clock.now_ms(), options.clock.uptime());
        let stale = recovery::take_over(&store, host, &options.host_name, now).await?;
        Ok(Self {
            store,
            packages,
            host,
            clock: Arc::clone(&options.clock),
            rng: Arc::clone(&options.rng),
            progress,
            starts: Vec::new(),
            ended: stale,
            parked: Vec::new(),
            migrations: Vec::new(),
            slots: Slots::new(options.slots),
            leases: LeaseTable::new(),
            ready: ReadyQueue::new(),
            runs: RunCache::default(),
            max_cached_bytes: options.max_cached_bytes,
            scope: match &options.resume {
                Resume::All => RunScope::All,
                // Ids are made in order: runs of its own come after this one.
                Resume::Nothing => RunScope::Since(RunId::new()),
                Resume::Only(runs) => RunScope::Only(runs.clone()),
            },
            batching: Batching::new(),
            timers: Timers { last_heartbeat: uptime, last_cancel_scan: uptime, scan_cancelled: true },
            // Later than every token of an earlier host on this database, as its clock ran.
            token: FencingToken::new(now),
            time: SteadyTime::start(&*options.clock),
            bypass_cache: false,
            failures: 0,
            conflicts: 0,
            verify_claims: false,
            stopping: None,
            search: Search::Off,
            held_back: HeldBack::default(),
            refused: HashSet::new(),
            displaced: false,
        })
    }

    /// Runs until it is told to shut down.
    pub(crate) async fn run(mut self, mut commands: mpsc::UnboundedReceiver<Command>) {
        loop {
            let timer = self.clock.sleep_until(self.next_timer());
            tokio::select! {
                biased;
                command = commands.recv() => match command {
                    Some(command) => self.receive(command),
                    None => return,
                },
                () = timer => {}
            }
            for _ in 1..MAX_BATCH {
                let Ok(command) = commands.try_recv() else { break };
                self.receive(command);
            }
            if self.failures > 0 {
                let pause = STORE_BACKOFF.pause(self.failures);
                self.clock.sleep_until(self.clock.uptime().saturating_add(pause)).await;
            }
            self.coalesce(&mut commands).await;
            self.turn().await;
            if self.bypass_cache {
                self.turn().await;
            }
            self.migrate_runs().await;
            if self.displaced || self.stop_if_done().await {
                return;
            }
        }
    }

    /// Waits for the end of a burst of starts or outcomes. tokio's timers are too coarse for a fraction of a
    /// millisecond, so this yields to other tasks until the burst is over.
    async fn coalesce(&mut self, commands: &mut mpsc::UnboundedReceiver<Command>) {
        let began = std::time::Instant::now();
        let mut last = began;
        while let Some(quiet_period) = self.batching.quiet_period(self.pending()) {
            let before = self.ended.len() + self.starts.len();
            match commands.try_recv() {
                Ok(command) => {
                    self.receive(command);
                    if self.ended.len() + self.starts.len() > before {
                        last = std::time::Instant::now();
                    }
                }
                Err(_) if last.elapsed() >= quiet_period || began.elapsed() >= MAX_BATCH_DELAY => return,
                Err(_) => {
                    // What is waited for runs on other threads, which may want this processor.
                    std::thread::yield_now();
                    tokio::task::yield_now().await;
                }
            }
        }
    }

    fn pending(&self) -> Pending {
        Pending {
            outcomes: self.ended.len(),
            starts: self.starts.len(),
            more_to_come: !self.leases.is_empty(),
        }
    }

    /// One transaction, and what follows from it.
    async fn turn(&mut self) {
        self.hold_back();
        self.try_turn().await;
        self.put_back_held();
    }

    async fn try_turn(&mut self) {
        let Aborted { why, touched } = match self.transact().await {
            Ok(effects) => {
                (self.failures, self.conflicts) = (0, 0);
                (self.bypass_cache, self.verify_claims) = (false, false);
                self.search = self.search.after_success();
                return self.apply(effects);
            }
            Err(aborted) => aborted,
        };
        self.ready.reset();
        touched.into_iter().for_each(|run: RunId| self.runs.forget(run, None));
        match why {
            Abort::StaleCache { expected, actual } => {
                tracing::debug!(expected, actual, "memory is stale; the transaction is repeated without it");
                (self.bypass_cache, self.timers.scan_cancelled) = (true, true);
            }
            Abort::Store(error) => {
                self.bypass_cache = false;
                // A cancel that it contained is looked for again.
                (self.verify_claims, self.timers.scan_cancelled) = (true, true);
                self.store_failed(&error);
            }
        }
    }

    /// Keeps what is pending after a transaction that the database failed: outcomes always, starts as far as waiting
    /// helps them.
    fn store_failed(&mut self, error: &StoreError) {
        if self.search_on(error) {
            return;
        }
        if matches!(error, StoreError::Conflict { .. }) && self.conflicts < MAX_CONFLICTS {
            self.conflicts += 1;
            tracing::debug!(error = error as &dyn std::error::Error, "a transaction is repeated");
            return;
        }
        tracing::error!(
            error = error as &dyn std::error::Error,
            code = error.code(),
            "a transaction failed; outcomes are kept and tried again"
        );
        self.failures += 1;
        self.displaced = matches!(
            error,
            StoreError::SecondHost { .. } | StoreError::Moved { .. } | StoreError::Unlocked { .. }
        );
        if matches!(error, StoreError::CommitUnknown { .. }) {
            self.starts.iter_mut().for_each(|start| start.uncertain = true);
        }
        let now = self.clock.uptime();
        let waits = |start: &PendingStart| {
            let in_time = now < start.since.saturating_add(START_TIMEOUT);
            in_time && (start.uncertain || error.is_contention())
        };
        let (waiting, refused) = std::mem::take(&mut self.starts).into_iter().partition(waits);
        self.starts = waiting;
        refused.into_iter().for_each(|start| start.refuse(error));
    }

    fn receive(&mut self, command: Command) {
        match command {
            Command::Start(start) => self.starts.push(start),
            Command::Finished { lease, outcome } => self.finished(lease, outcome),
            Command::ReleaseSlot { lease } => self.release_slot(lease),
            Command::ReclaimSlot { lease } => self.slots.wait(lease),
            Command::ScanCancelled => self.timers.scan_cancelled = true,
            Command::Wake => {
                self.ready.mark_incomplete();
                self.ended.append(&mut self.parked);
            }
            Command::AwaitRun { run, reply } => self.runs.await_end(run, reply),
            Command::CountInFlight { digest, reply } => {
                let queued = self.starts.iter().filter(|start| start.run.digest == digest).count();
                let _ = reply.send(self.leases.count_of(&digest) + queued);
            }
            Command::Migrate(migration) => self.migrations.push(migration),
            Command::Shutdown { grace, reply } => {
                self.give_up_parked();
                let deadline = self.clock.uptime().saturating_add(grace);
                self.stopping = Some(Stopping { deadline, cancelled: false, reply });
            }
        }
    }

    /// When, on the clock's uptime, there is something to do without a command.
    fn next_timer(&self) -> Duration {
        let uptime = self.clock.uptime();
        if !self.ended.is_empty() || !self.starts.is_empty() {
            return uptime;
        }
        let mut next = self.timers.last_heartbeat + HEARTBEAT_INTERVAL;
        if !self.runs.is_empty() {
            next = next.min(self.timers.last_cancel_scan + CANCEL_SCAN_INTERVAL);
        }
        if let Some(due) = self.ready.next_due().filter(|_| self.stopping.is_none()) {
            let until = due.saturating_sub(self.time.now_ms(&*self.clock)).max(0);
            next = next.min(uptime.saturating_add(Duration::from_millis(until as u64)));
        }
        if let Some(stopping) = &self.stopping {
            next = next.min(stopping.deadline);
        }
        next
    }

    /// Answers the starts that may have been recorded, and are not looked up any more.
    fn answer_uncertain_starts(&mut self) {
        for start in self.starts.extract_if(.., |start| start.uncertain) {
            let message = "the engine stopped before the database was back".to_owned();
            let _ = start.reply.send(Err(Error::StartUnknown { run: start.run.id, message }));
        }
    }

    /// True when the engine was told to stop and nothing is left to record.
    async fn stop_if_done(&mut self) -> bool {
        let Some(stopping) = &mut self.stopping else { return false };
        let expired = self.clock.uptime() >= stopping.deadline;
        let idle = self.leases.is_empty() && self.ended.is_empty() && self.starts.is_empty();
        if !idle && expired && !stopping.cancelled {
            stopping.cancelled = true;
            stopping.deadline = self.clock.uptime() + CANCEL_GRACE;
            for (lease, digest) in self.leases.executing() {
                self.packages.cancel(digest, lease);
            }
            return false;
        }
        if !idle && !expired {
            return false;
        }
        self.answer_uncertain_starts();
        if let Err(error) = recovery::sign_off(&self.store, self.host, self.clock.now_ms()).await {
            tracing::warn!(error = &error as &dyn std::error::Error, "the host could not sign off");
        }
        if let Some(stopping) = self.stopping.take() {
            let _ = stopping.reply.send(());
        }
        true
    }
}
