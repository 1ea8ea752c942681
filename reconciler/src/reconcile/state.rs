//! [`Reconciler`]: its state. Each loaded digest is [`Tracked`] in one [`Phase`].

use crate::artifact::warning::Warning;
use crate::catalog::draft::Draft;
use crate::catalog::{LoadedPackages, Snapshot};
use crate::error::UnboundGraph;
use crate::observer::Observer;
use crate::plan::BACKOFF;
use crate::plan::model::{Drain, DrainPolicy, Failure};
use crate::plan::rollout::{HealthPolicy, Unverified};
use crate::reconcile::closing::{Closing, Unpublished};
use crate::reconcile::journal::{Journal, Registered};
use crate::reconcile::loading::Loadings;
use crate::reconcile::noted::Noted;
use crate::reconcile::options::{LeakPolicy, Options};
use crate::reconcile::prepare::Loader;
use crate::runtime::environment::environment;
use crate::runtime::generation::{Generation, UnloadResult};
use crate::source::events::FileEvents;
use crate::source::offers::Offers;
use longshore_engine::{Catalog, Clock, EngineHandle, Rng};
use longshore_package::trust::{Admission, Signature};
use longshore_package::{Digest, PackageName};
use longshore_store::GenerationId;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;

/// A digest that this host has opened and not yet closed.
pub(super) struct Tracked {
    pub(super) generation: Arc<Generation>,
    pub(super) phase: Phase,
    /// The file that it was loaded from, when it was one.
    pub(super) source: Option<PathBuf>,
    /// Problems that do not keep it from being loaded.
    pub(super) warnings: Vec<Warning>,
    /// Its signatures, as they were read last.
    pub(super) signatures: Vec<Signature>,
    /// The last result of the trust policy.
    pub(super) admission: Admission,
    /// Graphs of other packages for whose sake alone it stays loaded, as was reported; empty when it is desired.
    pub(super) retained_for: Vec<UnboundGraph>,
}

/// The phase of a loaded digest.
pub(super) enum Phase {
    /// New runs start on it.
    Active {
        /// Its observation, while it may be rolled back.
        rollout: Option<Rollout>,
    },
    /// It only finishes the runs it has.
    Draining(Drain),
    /// It is in no catalog any more and is being closed.
    Closing(Closing),
}

/// A change of phase.
pub(super) enum Transition {
    /// New runs start on it.
    Activate { rollout: Option<Rollout> },
    /// No new runs start on it.
    Drain { now: i64 },
    /// Its runs were asked to stop.
    CancelRuns { now: i64 },
    /// It left the catalog and is being closed.
    Close(Closing),
}

/// The observation of an active generation that replaced another.
#[derive(Debug, Clone)]
pub(super) struct Rollout {
    /// Digest and version of the generation before: what it is rolled back to.
    pub(super) before: (Digest, String),
    pub(super) since: i64,
    /// Ends of its process so far.
    pub(super) crashes: u32,
}

impl Tracked {
    pub(super) fn new(generation: Arc<Generation>, phase: Phase) -> Self {
        let artifact = generation.artifact();
        let (signatures, admission) = (artifact.signatures().to_vec(), artifact.admission().clone());
        let (source, warnings, retained_for) = (None, Vec::new(), Vec::new());
        Self { generation, phase, source, warnings, signatures, admission, retained_for }
    }

    /// Changes the phase. A transition that the phase does not allow changes nothing and is reported: it is a bug.
    pub(super) fn apply(&mut self, transition: Transition) {
        let next = match (&self.phase, transition) {
            (Phase::Active { .. } | Phase::Draining(_), Transition::Activate { rollout }) => {
                Phase::Active { rollout }
            }
            (Phase::Active { .. }, Transition::Drain { now }) => {
                Phase::Draining(Drain { since: now, cancelled_at: None })
            }
            (Phase::Draining(drain), Transition::Drain { .. }) => Phase::Draining(*drain),
            (Phase::Draining(drain), Transition::CancelRuns { now }) => {
                Phase::Draining(Drain { cancelled_at: Some(now), ..*drain })
            }
            (Phase::Active { .. } | Phase::Draining(_), Transition::Close(closing)) => {
                Phase::Closing(closing)
            }
            (Phase::Active { .. }, Transition::CancelRuns { .. }) | (Phase::Closing(_), _) => {
                debug_assert!(false, "a phase changed in a way that it does not allow");
                tracing::error!(generation = ?self.generation, "a phase changed in a way that it does not allow");
                return;
            }
        };
        self.phase = next;
    }

    pub(super) fn is_active(&self) -> bool {
        matches!(self.phase, Phase::Active { .. })
    }

    pub(super) fn rollout(&self) -> Option<&Rollout> {
        match &self.phase {
            Phase::Active { rollout } => rollout.as_ref(),
            Phase::Draining(_) | Phase::Closing(_) => None,
        }
    }
}

/// Makes the loaded packages those that are desired. A pass takes no input but the state itself, so that any pass may
/// be the first or the last.
pub struct Reconciler {
    pub(super) interval: Duration,
    pub(super) loader: Loader,
    pub(super) offers: Offers,
    pub(super) packages: Arc<LoadedPackages>,
    pub(super) engine: EngineHandle,
    pub(super) journal: Journal,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) rng: Arc<dyn Rng>,
    pub(super) observer: Arc<dyn Observer>,
    pub(super) restore: Option<BTreeSet<Digest>>,
    pub(super) transient: bool,
    pub(super) drain: DrainPolicy,
    pub(super) health: Option<HealthPolicy>,
    pub(super) leaks: LeakPolicy,
    /// Every digest that is open here.
    pub(super) tracked: HashMap<Digest, Tracked>,
    /// Digests that failed and are not loaded.
    pub(super) failures: BTreeMap<Digest, Failure>,
    /// The requests for a retry that were seen last; none before the first pass.
    pub(super) retries: Option<BTreeMap<PackageName, i64>>,
    /// Packages with a roll-back among the overrides of the last pass.
    pub(super) rolled_back: HashSet<PackageName>,
    /// Digests that hosts before this one had loaded and did not have for long, by package; none until they were
    /// looked up.
    pub(super) unverified: Option<HashMap<PackageName, Unverified>>,
    /// Libraries that stayed mapped after they were closed, and their bytes.
    pub(super) leaked: (usize, u64),
    /// Packages whose libraries stay mapped beyond the budget, until they are loaded again.
    pub(super) leaky: HashSet<PackageName>,
    /// Packages with conditions of a version that does not run, or of a time that is over.
    pub(super) troubled: HashSet<PackageName>,
    /// The result of the last unload of each package.
    pub(super) unloads: HashMap<PackageName, UnloadResult>,
    /// Digests on their way to be loaded.
    pub(super) loadings: Loadings,
    /// Digests that were opened, were not published, and are being closed.
    pub(super) unpublished: Vec<Unpublished>,
    /// The digests that hosts before this one had loaded last, of packages that this one has not loaded yet.
    pub(super) recorded: HashMap<PackageName, Digest>,
    /// The packages that were only run, with what was run last of them.
    pub(super) only_run: HashMap<PackageName, Digest>,
    pub(super) knows_recorded: bool,
    /// True when files were being written at the last pass.
    pub(super) unsettled: bool,
    /// The version of the trust policy that loaded packages were judged by; none before the first pass.
    pub(super) trust_version: Option<u64>,
    /// Files that were rewritten and hold the digests they held before; their signatures are not read again yet.
    pub(super) rewritten: BTreeMap<Digest, PathBuf>,
    /// True when loaded packages are to be judged again.
    pub(super) judges_again: bool,
    /// Results of the trust policy that are not recorded yet, in words.
    pub(super) admissions: Vec<(PackageName, String)>,
    /// Times of the overrides of the last pass, by package.
    pub(super) seen_overrides: HashMap<PackageName, i64>,
    /// The file of the trust policy and its fault, while it has one.
    pub(super) trust_fault: Option<(PathBuf, String)>,
    /// Subjects that have conditions in the database; none before the first pass.
    pub(super) noted: Option<Noted>,
    /// Published generations whose runs are not moved to them, with those that they replaced.
    pub(super) unmigrated: Vec<(Arc<Generation>, Arc<Generation>)>,
    /// Published generations that are not recorded as loaded: the database failed at that moment.
    pub(super) unrecorded: Vec<Registered>,
    /// Files that were reported as superseded.
    pub(super) superseded: HashSet<PathBuf>,
    /// The catalog in which names were looked up last.
    pub(super) resolved_in: Arc<Catalog>,
    /// Generations that were reported as naming what nobody has, and what.
    pub(super) unresolved: HashMap<GenerationId, Vec<String>>,
    pub(super) wake: Arc<Notify>,
    /// Packages that are followed in registries, and since when; none before the first pass.
    pub(super) followed: Option<Vec<(PackageName, i64)>>,
    /// Wakes whoever asks the registries.
    pub(super) followed_changed: Arc<Notify>,
}

impl Reconciler {
    /// The packages that an engine is opened with, before there is a reconciler.
    pub fn packages() -> Arc<LoadedPackages> {
        Arc::new(LoadedPackages::new())
    }

    /// A reconciler that feeds an engine.
    pub fn new(options: Options, packages: Arc<LoadedPackages>, engine: EngineHandle) -> Self {
        let journal = Journal { store: engine.store().clone(), host: engine.host() };
        let wake: Arc<Notify> = Arc::default();
        let watched: Vec<PathBuf> = options.directories.iter().chain(&options.wake).cloned().collect();
        let events = FileEvents::watch(&watched, Arc::clone(&wake));
        let own_folders: Vec<PathBuf> = options.wake.iter().chain([&options.cache]).cloned().collect();
        let loader = Loader {
            verify: options.verify.clone(),
            cache: options.cache,
            environment: environment(options.probe.as_ref().map_or(Path::new(""), |probe| &probe.program))
                .into(),
            probe: options.probe,
            log_level: options.log_level,
            observer: Arc::clone(&options.observer),
            wake: Arc::clone(&wake),
            journal: journal.clone(),
            clock: Arc::clone(&options.clock),
            linker: Arc::default(),
            may_go_back: options.transient,
        };
        Self {
            interval: options.interval,
            loader,
            offers: Offers::new(options.directories, &own_folders, options.verify, events),
            packages,
            engine,
            journal,
            clock: options.clock,
            rng: options.rng,
            observer: options.observer,
            restore: options.restore,
            transient: options.transient,
            drain: options.drain,
            health: options.health,
            leaks: options.leaks,
            tracked: HashMap::new(),
            failures: BTreeMap::new(),
            retries: None,
            rolled_back: HashSet::new(),
            unverified: None,
            leaked: (0, 0),
            leaky: HashSet::new(),
            troubled: HashSet::new(),
            unloads: HashMap::new(),
            loadings: Loadings::default(),
            unpublished: Vec::new(),
            recorded: HashMap::new(),
            only_run: HashMap::new(),
            knows_recorded: false,
            unsettled: true,
            trust_version: None,
            trust_fault: None,
            rewritten: BTreeMap::new(),
            followed: None,
            followed_changed: Arc::default(),
            judges_again: false,
            admissions: Vec::new(),
            seen_overrides: HashMap::new(),
            noted: None,
            unmigrated: Vec::new(),
            unrecorded: Vec::new(),
            superseded: HashSet::new(),
            resolved_in: Arc::default(),
            unresolved: HashMap::new(),
            wake,
        }
    }

    /// Notified when there is a reason for a pass.
    pub(crate) fn wake(&self) -> Arc<Notify> {
        Arc::clone(&self.wake)
    }

    /// Longest time between passes.
    pub(crate) fn interval(&self) -> Duration {
        self.interval
    }

    /// True when no file was being written at the last pass, and no package is on its way.
    pub(crate) fn is_settled(&self) -> bool {
        !self.unsettled && self.loadings.is_empty()
    }

    /// True when a package is on its way to be loaded.
    pub(crate) fn is_loading(&self, package: &PackageName) -> bool {
        self.loadings.has(package)
    }

    /// True when a generation of a package is open here.
    pub(crate) fn has(&self, package: &PackageName) -> bool {
        self.tracked.values().any(|tracked| tracked.generation.package() == package)
    }

    /// The result of the last unload of a package; none while a generation of it is open.
    pub(crate) fn unloaded(&self, package: &PackageName) -> Option<UnloadResult> {
        if self.has(package) { None } else { self.unloads.get(package).copied() }
    }

    /// The graphs for whose sake a package that is not desired any more stays loaded.
    pub(crate) fn retained_for(&self, package: &PackageName) -> Option<&[UnboundGraph]> {
        let graphs = self.active(package).map(|tracked| tracked.retained_for.as_slice());
        graphs.filter(|graphs| !graphs.is_empty())
    }

    /// Forgets that a digest failed: it is tried at the next pass.
    pub(crate) fn retry(&mut self, digest: &Digest) {
        self.failures.remove(digest);
    }

    /// The loaded packages.
    pub fn loaded(&self) -> &Arc<LoadedPackages> {
        &self.packages
    }

    pub(super) fn now_ms(&self) -> i64 {
        self.clock.now_ms()
    }

    /// The active generation of a package.
    pub(super) fn active(&self, package: &PackageName) -> Option<&Tracked> {
        self.tracked.values().find(|tracked| tracked.is_active() && tracked.generation.package() == package)
    }

    /// True when a digest has reactors, to which others may be bound.
    pub(super) fn owns_reactors(&self, digest: &Digest) -> bool {
        self.tracked.get(digest).is_some_and(|tracked| !tracked.generation.reactors().is_empty())
    }

    pub(super) fn apply_to(&mut self, digest: &Digest, transition: Transition) {
        if let Some(tracked) = self.tracked.get_mut(digest) {
            tracked.apply(transition);
        }
    }

    /// Digests that are being closed.
    pub(super) fn closing(&self) -> Vec<Digest> {
        let closing = self.tracked.iter().filter(|(_, tracked)| matches!(tracked.phase, Phase::Closing(_)));
        let unpublished = self.unpublished.iter().map(|unpublished| unpublished.digest.clone());
        closing.map(|(digest, _)| digest.clone()).chain(unpublished).collect()
    }

    /// Counts a failure of a digest, which is tried again after a pause.
    pub(super) fn note_failure(&mut self, digest: &Digest, depends_on_others: bool) {
        let times = self.failures.get(digest).map_or(0, |failure| failure.times) + 1;
        let pause = BACKOFF.jittered(times, self.rng.draw()).as_millis();
        let retry_at = self.now_ms().saturating_add(i64::try_from(pause).unwrap_or(i64::MAX));
        self.failures.insert(digest.clone(), Failure { times, retry_at, depends_on_others });
    }

    /// Publishes a draft with every generation that is not being closed, and wakes the engine.
    pub(super) fn publish(&self, draft: Draft) {
        self.publish_where(draft, |tracked| !matches!(tracked.phase, Phase::Closing(_)));
    }

    /// As [`Reconciler::publish`], without a generation that is about to be closed.
    pub(super) fn publish_without(&self, draft: Draft, leaving: &Digest) {
        let stays = |tracked: &Tracked| {
            !matches!(tracked.phase, Phase::Closing(_)) && tracked.generation.digest() != leaving
        };
        self.publish_where(draft, stays);
    }

    fn publish_where(&self, draft: Draft, stays: impl Fn(&Tracked) -> bool) {
        let open = self.tracked.iter().filter(|(_, tracked)| stays(tracked));
        let generations: HashMap<Digest, Arc<Generation>> =
            open.map(|(digest, tracked)| (digest.clone(), Arc::clone(&tracked.generation))).collect();
        let active = self.tracked.iter().filter(|(_, tracked)| tracked.is_active() && stays(tracked));
        let active = active.map(|(digest, _)| digest.clone()).collect();
        let digests = generations.keys().cloned().collect();
        let queues = generations.values().flat_map(|generation| generation.workflows()).map(|def| def.queue);
        let catalog = Arc::new(draft.finish(digests, queues.collect()));
        self.packages.publish(Snapshot { generations, active, catalog });
        self.engine.wake();
    }
}
