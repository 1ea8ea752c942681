//! [`Reconciler`]: plans, acts, records, repeats.
//!
//! - `enter`: packages come in. - `leave`: packages go. - `watch_over`: what replaced another is watched for a while.
//! - `notes`: what is written down beside that. - `prune`: private copies that are too much.

mod enter;
mod leave;
mod notes;
mod prune;
mod watch_over;

use crate::artifact::Checks;
use crate::catalog::{LoadedPackages, Snapshot};
use crate::error::Error;
use crate::files::Files;
use crate::generation::Generation;
use crate::health::{HealthPolicy, Unproven};
use crate::loader::Loader;
use crate::observer::{NoObserver, Observer};
use crate::plan::{Action, Drain, DrainPolicy, Failure, Kept, Observed, Plan, Sight, pins_by_digest, plan};
use crate::probe::ProbeOptions;
use crate::records::{Entered, Records};
use crate::report::Report;
use crate::steps::Draft;
use crate::wanted::Desired;
use crate::watch::FileEvents;
use longshore_engine::Engine;
use longshore_package::Digest;
use longshore_store::{Outlook, RegistryRow, Stance};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::PathBuf;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::Notify;

/// Packages that are read, probed and opened at the same time: what that costs is processor time.
pub(crate) static PARALLEL: LazyLock<usize> =
    LazyLock::new(|| std::thread::available_parallelism().map_or(2, usize::from));

/// Packages that are published together: one copy of the catalog and two transactions for all of them, and
/// the first ones do not wait for the last.
const TOGETHER: usize = 64;

/// How a reconciler works.
#[derive(Debug, Clone)]
pub struct Options {
    /// Directories (or single files) that packages come from.
    pub directories: Vec<PathBuf>,
    /// The host's private place for libraries.
    pub cache: PathBuf,
    /// What checks go by.
    pub checks: Checks,
    /// How probes are run; none to load without probing.
    pub probe: Option<ProbeOptions>,
    /// The most verbose log level packages send: 0 none, 1 error to 5 trace.
    pub log_level: u8,
    /// The timer: what file events miss is found at the latest then.
    pub interval: Duration,
    /// How long generations that were replaced or retired keep their runs.
    pub drain: DrainPolicy,
    /// How a generation that replaced another is watched; none to keep it whatever it does.
    pub health: Option<HealthPolicy>,
    /// What to do about libraries that stay mapped after they were closed.
    pub leaks: LeakPolicy,
    /// A folder that commands of other programs write to when they decided something.
    pub wake: Option<PathBuf>,
    /// Is told of what happens.
    pub observer: Arc<dyn Observer>,
}

/// What to do about libraries that stay mapped after they were closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeakPolicy {
    /// So many are taken without a word beyond their record.
    pub budget: usize,
    /// Beyond it, packages that leave their library behind get a process of their own at their next load.
    pub isolate: bool,
}

impl Default for LeakPolicy {
    fn default() -> Self {
        Self { budget: 16, isolate: false }
    }
}

impl std::fmt::Debug for dyn Observer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Observer")
    }
}

impl Options {
    /// The usual way: probed, relaxed, info, every five seconds.
    pub fn new(directories: Vec<PathBuf>, cache: PathBuf) -> Self {
        Self {
            directories,
            cache,
            checks: Checks::default(),
            probe: Some(ProbeOptions::default()),
            log_level: 3,
            interval: Duration::from_secs(5),
            drain: DrainPolicy::default(),
            health: Some(HealthPolicy::default()),
            leaks: LeakPolicy::default(),
            wake: None,
            observer: Arc::new(NoObserver),
        }
    }
}

/// Makes what is loaded what the sources offer. It takes no input but their state, so that any pass may be
/// the first or the last.
pub struct Reconciler {
    interval: Duration,
    loader: Loader,
    files: Files,
    packages: Arc<LoadedPackages>,
    engine: Engine,
    records: Records,
    failures: BTreeMap<Digest, Failure>,
    /// Digests on which new runs start, by package.
    active: HashMap<String, Arc<Generation>>,
    drain: DrainPolicy,
    health: Option<HealthPolicy>,
    leaks: LeakPolicy,
    /// Libraries that stayed mapped after they were closed, and their bytes.
    leaked: (usize, u64),
    /// Generations that are in no catalog any more and are being closed, by digest.
    closing: HashMap<String, leave::Closing>,
    /// How far the end of generations is that are not active, by digest.
    draining: HashMap<String, Drain>,
    /// Packages that were rolled back, as the last pass saw it.
    rolled_back: HashSet<String>,
    /// Generations that replaced another a moment ago, by package.
    probation: HashMap<String, watch_over::Probation>,
    /// What hosts before this one had loaded and did not have for long, by package.
    unproven: HashMap<String, Unproven>,
    /// Whether it was looked for that.
    looked_back: bool,
    observer: Arc<dyn Observer>,
    /// Published, and not recorded as such: the database failed at that moment.
    unrecorded: Vec<Entered>,
    /// Digests that stay only because others are bound to their reactors, and that this was said of.
    kept_owners: HashSet<String>,
    /// Files that were reported as superseded.
    superseded: HashSet<PathBuf>,
    woken: Arc<Notify>,
}

/// What a pass sees beside the files.
struct Sighted {
    observed: Vec<Observed>,
    pins: BTreeMap<Digest, u64>,
    registry: Vec<Arc<RegistryRow>>,
}

pub(crate) fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

impl Reconciler {
    /// The packages that an engine is opened with, before there is a reconciler.
    pub fn packages() -> Arc<LoadedPackages> {
        Arc::new(LoadedPackages::new())
    }

    /// A reconciler that feeds an engine.
    pub fn new(options: Options, packages: Arc<LoadedPackages>, engine: Engine) -> Self {
        let records = Records { store: engine.store().clone(), host: engine.host() };
        let woken: Arc<Notify> = Arc::default();
        let watched: Vec<PathBuf> = options.directories.iter().chain(&options.wake).cloned().collect();
        let events = FileEvents::watch(&watched, Arc::clone(&woken));
        let loader = Loader {
            checks: options.checks.clone(),
            cache: options.cache,
            probe: options.probe,
            log_level: options.log_level,
            observer: Arc::clone(&options.observer),
            news: Arc::clone(&woken),
            records: records.clone(),
            mapped: HashMap::new(),
        };
        Self {
            interval: options.interval,
            loader,
            files: Files::new(options.directories, options.checks, events),
            packages,
            engine,
            records,
            failures: BTreeMap::new(),
            active: HashMap::new(),
            drain: options.drain,
            health: options.health,
            leaks: options.leaks,
            leaked: (0, 0),
            closing: HashMap::new(),
            draining: HashMap::new(),
            rolled_back: HashSet::new(),
            probation: HashMap::new(),
            unproven: HashMap::new(),
            looked_back: false,
            observer: options.observer,
            unrecorded: Vec::new(),
            kept_owners: HashSet::new(),
            superseded: HashSet::new(),
            woken,
        }
    }

    /// What is loaded right now.
    pub fn loaded(&self) -> &Arc<LoadedPackages> {
        &self.packages
    }

    /// Reconciles whenever files change or the timer goes, until it is dropped. `report` gets every pass
    /// that did something.
    pub async fn run(&mut self, mut report: impl FnMut(&Report)) {
        let mut wait = Duration::ZERO;
        loop {
            let woken = Arc::clone(&self.woken);
            tokio::select! {
                () = woken.notified() => {}
                () = tokio::time::sleep(wait) => {}
            }
            wait = match self.reconcile().await {
                Ok((pass, next)) => {
                    if !pass.outcomes.is_empty() {
                        report(&pass);
                    }
                    next
                }
                Err(error) => {
                    tracing::error!(
                        error = &error as &dyn std::error::Error,
                        code = error.code(),
                        "a pass failed; it is repeated"
                    );
                    self.interval
                }
            };
        }
    }

    /// One pass. Without a change it costs one query.
    ///
    /// # Errors
    /// [`Error::Store`] when the database fails; what is wrong with a package is in the report.
    pub async fn reconcile(&mut self) -> Result<(Report, Duration), Error> {
        let mut report = Report::default();
        let news = self.files.look().await;
        let unsettled = news.unsettled;
        self.note_news(news, &mut report).await;
        self.record_late().await?;
        self.note_closed(&mut report).await?;
        self.note_crashes(&mut report).await?;
        self.look_back(&mut report).await?;
        let Sighted { observed, pins, registry } = self.observe().await?;
        let rolled_back = registry.iter().filter(|row| row.stance == Stance::RolledBack);
        self.rolled_back = rolled_back.map(|row| row.name.clone()).collect();
        let is_active = |package: &Desired| {
            self.active.get(&package.name).is_some_and(|g| *g.artifact().digest() == package.digest)
        };
        let sight = Sight {
            desired: &self.files.offered(is_active),
            registry: &registry,
            observed: &observed,
            pins: &pins,
            failures: &self.failures,
            drain: self.drain,
        };
        let Plan { actions, kept } = plan(sight, now_ms());
        self.apply(actions, &mut report).await?;
        self.note_superseded(&kept).await;
        self.watch_over(&mut report).await?;
        let next = self.next_look(unsettled, &kept);
        report.kept = kept;
        Ok((report, next))
    }

    /// Everything that is loaded, closed. For the end of the host.
    pub async fn close(&mut self) {
        let closing: Vec<String> = self.closing.keys().cloned().collect();
        for digest in closing {
            let closed = self.wait_for_closing(&digest, leave::FOR_GOOD, &mut Report::default()).await;
            notes::log_failure(closed);
        }
        self.active.clear();
        let snapshot = self.packages.snapshot();
        self.packages.publish(Snapshot::default());
        for generation in snapshot.generations.values() {
            let released = generation.close().await;
            fail::fail_point!("reconciler.closed");
            if let Err(error) = self.records.unloaded(generation, released, false, now_ms()).await {
                tracing::warn!(error = &error as &dyn std::error::Error, "an unload was not recorded");
            }
        }
    }

    fn next_look(&self, unsettled: bool, kept: &[Kept]) -> Duration {
        let mut next = self.interval;
        if unsettled {
            next = next.min(Duration::from_millis(200));
        }
        if !self.probation.is_empty() {
            next = next.min(watch_over::LOOK);
        }
        if !self.closing.is_empty() {
            next = next.min(leave::PATIENCE);
        }
        for kept in kept {
            next = next.min(match kept {
                Kept::Draining { .. } => Duration::from_millis(250),
                Kept::BackingOff { retry_at, .. } => {
                    Duration::from_millis(retry_at.saturating_sub(now_ms()).max(10) as u64)
                }
                Kept::Superseded { .. } | Kept::Overruled { .. } => next,
            });
        }
        next
    }

    /// What is open, and what runs are pinned to.
    async fn observe(&self) -> Result<Sighted, Error> {
        let snapshot = self.packages.snapshot();
        let retired = snapshot.generations.values().filter(|generation| !self.is_active(generation));
        let mut flying = BTreeMap::new();
        // Before the database is asked: a start that is on its way now is in the one or the other.
        for generation in retired {
            flying.insert(generation.digest(), self.engine.in_flight(generation.digest()).await as u64);
        }
        let Outlook { pins, registry } = Outlook::load(&self.records.store).await?;
        let pinned = |digest: &str| {
            let open = pins.get(digest).map_or(0, |n| u64::try_from(*n).unwrap_or(0));
            open.max(flying.get(digest).copied().unwrap_or(0))
        };
        let observed: Vec<Observed> = snapshot
            .generations
            .values()
            .map(|generation| Observed {
                name: generation.package().to_owned(),
                digest: generation.artifact().digest().clone(),
                active: self.is_active(generation),
                pinned_runs: pinned(generation.digest()),
                drain: self.draining.get(generation.digest()).copied().unwrap_or_default(),
            })
            .collect();
        let pins = pins_by_digest(&pins);
        Ok(Sighted { observed, pins, registry: registry.into_iter().map(Arc::new).collect() })
    }

    fn is_active(&self, generation: &Generation) -> bool {
        self.active.get(generation.package()).is_some_and(|active| active.digest() == generation.digest())
    }

    async fn apply(&mut self, actions: Vec<Action>, report: &mut Report) -> Result<(), Error> {
        let (mut loads, mut retires) = (Vec::new(), Vec::new());
        for action in actions {
            match action {
                Action::Load { package, .. } => loads.push(package),
                Action::Restore { digest, pinned_runs } => self.restore(digest, pinned_runs, report).await?,
                Action::Retire { name, decision, .. } => retires.push((name, decision)),
                Action::Cancel { name, digest, .. } => self.cancel_runs(name, &digest, report).await?,
                Action::Orphan { name, digest } => self.orphan(name, &digest, report).await?,
                Action::Unload { name, digest } => self.unload(name, &digest, report).await?,
            }
        }
        // Subscribers go before the owners of their reactors.
        retires.sort_by_key(|(name, _)| (self.owns_reactors(name), name.clone()));
        for (name, decision) in retires {
            self.retire(name, decision, report).await?;
        }
        for together in loads.chunks(TOGETHER) {
            self.load(together, report).await?;
        }
        Ok(())
    }

    fn owns_reactors(&self, package: &str) -> bool {
        self.active.get(package).is_some_and(|generation| !generation.reactors().is_empty())
    }

    async fn record_late(&mut self) -> Result<(), Error> {
        if !self.unrecorded.is_empty() {
            self.records.loaded(&self.unrecorded, now_ms()).await?;
            self.unrecorded.clear();
        }
        Ok(())
    }

    /// Publishes a draft with other generations than now, and tells the engine.
    fn publish(&self, draft: Draft, change: impl FnOnce(&mut HashMap<String, Arc<Generation>>)) {
        let mut next = Snapshot::clone(&self.packages.snapshot());
        change(&mut next.generations);
        next.catalog = Arc::new(draft.finish(next.generations.keys().cloned().collect()));
        self.packages.publish(next);
        self.engine.wake();
    }
}
