//! [`Reconciler`]: plans, acts, records, repeats.

use crate::artifact::Checks;
use crate::catalog::{LoadedPackages, Snapshot};
use crate::error::Error;
use crate::files::{Files, News};
use crate::generation::Generation;
use crate::loader::{Loader, Prepared};
use crate::plan::{Action, Desired, Failure, Kept, Observed, Plan, Sight, backoff_ms, plan};
use crate::probe::ProbeOptions;
use crate::records::{Entered, Records, file_subject, package_subject};
use crate::report::{Outcome, Report};
use crate::steps::{Draft, NO_REACTOR, Orphan};
use crate::watch::FileEvents;
use futures_util::StreamExt;
use longshore_engine::Engine;
use longshore_package::Digest;
use longshore_store::RunRow;
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
    /// Published, and not recorded as such: the database failed at that moment.
    unrecorded: Vec<Entered>,
    /// Digests that stay only because others are bound to their reactors, and that this was said of.
    kept_owners: HashSet<String>,
    /// Files that were reported as superseded.
    superseded: HashSet<PathBuf>,
    woken: Arc<Notify>,
}

pub(crate) fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// A condition of a file that was not written is not worth forgetting what the file held: the log has it.
fn log_failure(recorded: Result<(), Error>) {
    if let Err(error) = recorded {
        tracing::warn!(error = &error as &dyn std::error::Error, "a condition was not recorded");
    }
}

/// A package whose reactor is missing because its owner waits for this one.
fn in_a_cycle(prepared: &Prepared, error: Error, packages: &[String], provided: &[String]) -> Error {
    let needs = |reactor: &String| prepared.generation.graphs().iter().any(|graph| graph.reactor == *reactor);
    match error {
        Error::Step { message, .. } if packages.len() > 1 && provided.iter().any(needs) => {
            Error::ReactorCycle { packages: packages.to_vec(), message }
        }
        error => error,
    }
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
        let events = FileEvents::watch(&options.directories, Arc::clone(&woken));
        let loader = Loader {
            checks: options.checks.clone(),
            cache: options.cache,
            probe: options.probe,
            log_level: options.log_level,
            news: Arc::clone(&woken),
            records: records.clone(),
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
        self.note_crashes(&mut report).await;
        let (observed, pins) = self.observe().await?;
        let is_active = |package: &Desired| {
            self.active.get(&package.name).is_some_and(|g| *g.artifact().digest() == package.digest)
        };
        let desired = self.files.offered(is_active);
        let sight = Sight { desired: &desired, observed: &observed, pins: &pins, failures: &self.failures };
        let Plan { actions, kept } = plan(sight, now_ms());
        self.apply(actions, &mut report).await?;
        self.note_superseded(&kept).await;
        let next = self.next_look(unsettled, &kept);
        report.kept = kept;
        Ok((report, next))
    }

    /// Everything that is loaded, closed. For the end of the host.
    pub async fn close(&mut self) {
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
        for kept in kept {
            next = next.min(match kept {
                Kept::Draining { .. } => Duration::from_millis(250),
                Kept::BackingOff { retry_at, .. } => {
                    Duration::from_millis(retry_at.saturating_sub(now_ms()).max(10) as u64)
                }
                Kept::Superseded { .. } => next,
            });
        }
        next
    }

    async fn note_news(&self, news: News, report: &mut Report) {
        for (path, error) in news.refused {
            log_failure(self.records.refused(&file_subject(&path), "", &error, now_ms()).await);
            report.outcomes.push(Outcome::Refused { name: path.display().to_string(), error });
        }
        let cured: Vec<String> = news.cured.iter().map(|path| file_subject(path)).collect();
        log_failure(self.records.forget(&cured).await);
    }

    /// Records how processes of isolated packages ended.
    async fn note_crashes(&self, report: &mut Report) {
        for generation in self.packages.snapshot().generations.values() {
            for crash in generation.take_crashes() {
                log_failure(self.records.crashed(generation, &crash, now_ms()).await);
                let name = generation.package().to_owned();
                report.outcomes.push(Outcome::Crashed { name, how: crash.how });
            }
        }
    }

    /// Says once of each file that another one counts in its place, and takes it back when that ends.
    async fn note_superseded(&mut self, kept: &[Kept]) {
        let mut now = HashSet::new();
        for kept in kept {
            let Kept::Superseded { package, winner } = kept else { continue };
            now.insert(package.path.clone());
            if !self.superseded.contains(&package.path) {
                let error = Error::Superseded { name: package.name.clone(), winner: winner.clone() };
                let subject = file_subject(&package.path);
                log_failure(self.records.refused(&subject, package.digest.as_str(), &error, now_ms()).await);
            }
        }
        let over: Vec<String> = self.superseded.difference(&now).map(|path| file_subject(path)).collect();
        log_failure(self.records.forget(&over).await);
        self.superseded = now;
    }

    async fn record_late(&mut self) -> Result<(), Error> {
        if !self.unrecorded.is_empty() {
            self.records.loaded(&self.unrecorded, now_ms()).await?;
            self.unrecorded.clear();
        }
        Ok(())
    }

    /// What is open, and what runs are pinned to.
    async fn observe(&self) -> Result<(Vec<Observed>, BTreeMap<Digest, u64>), Error> {
        let snapshot = self.packages.snapshot();
        let retired = snapshot.generations.values().filter(|generation| !self.is_active(generation));
        let mut flying = BTreeMap::new();
        // Before the database is asked: a start that is on its way now is in the one or the other.
        for generation in retired {
            flying.insert(generation.digest(), self.engine.in_flight(generation.digest()).await as u64);
        }
        let pins = RunRow::pins(&self.records.store).await?;
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
            })
            .collect();
        // Runs of programs that embed an engine are pinned to no package.
        let packaged = pins.iter().filter_map(|(digest, n)| Some((Digest::parse(digest)?, *n)));
        Ok((observed, packaged.map(|(digest, n)| (digest, u64::try_from(n).unwrap_or(0))).collect()))
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
                Action::Retire { name, .. } => retires.push(name),
                Action::Unload { name, digest } => self.unload(name, &digest, report).await?,
            }
        }
        // Subscribers go before the owners of their reactors.
        retires.sort_by_key(|name| (self.owns_reactors(name), name.clone()));
        for name in retires {
            self.retire(name, report).await?;
        }
        for together in loads.chunks(TOGETHER) {
            self.load(together, report).await?;
        }
        Ok(())
    }

    fn owns_reactors(&self, package: &str) -> bool {
        self.active.get(package).is_some_and(|generation| !generation.reactors().is_empty())
    }

    /// Prepares packages side by side, then enters those that came through into one catalog.
    async fn load(&mut self, packages: &[Arc<Desired>], report: &mut Report) -> Result<(), Error> {
        let snapshot = self.packages.snapshot();
        let prepared = packages.iter().map(|package| {
            let (loader, package) = (self.loader.clone(), Arc::clone(package));
            let open = snapshot.generations.get(package.digest.as_str()).cloned();
            async move { (Arc::clone(&package), loader.prepare(package, open).await) }
        });
        let prepared: Vec<_> = futures_util::stream::iter(prepared).buffered(*PARALLEL).collect().await;
        let mut ready = Vec::with_capacity(prepared.len());
        let mut failed = None;
        for (package, prepared) in prepared {
            match prepared {
                Ok(prepared) => ready.push(prepared),
                Err(Error::Store(error)) => failed = Some(Error::Store(error)),
                Err(error) => self.refuse(&package, error, report).await?,
            }
        }
        self.enter(ready, report).await?;
        failed.map_or(Ok(()), Err)
    }

    async fn refuse(&mut self, package: &Desired, error: Error, report: &mut Report) -> Result<(), Error> {
        if !matches!(error, Error::Replaced { .. }) {
            self.note_failure(&package.digest);
        }
        let subject = package_subject(&package.name);
        self.records.refused(&subject, package.digest.as_str(), &error, now_ms()).await?;
        report.outcomes.push(Outcome::Refused { name: package.name.clone(), error });
        Ok(())
    }

    fn note_failure(&mut self, digest: &Digest) {
        let times = self.failures.get(digest).map_or(0, |failure| failure.times) + 1;
        let retry_at = now_ms() + backoff_ms(times, rand::random());
        self.failures.insert(digest.clone(), Failure { times, retry_at });
    }

    /// Takes generations through the load steps, records them, and publishes them in one store.
    ///
    /// One that needs a reactor of another goes after it: what does not enter now is tried again while others do.
    async fn enter(&mut self, prepared: Vec<Prepared>, report: &mut Report) -> Result<(), Error> {
        let mut draft = Draft::of(&self.packages.snapshot().catalog);
        let mut entered: Vec<Entered> = Vec::with_capacity(prepared.len());
        let mut waiting = prepared;
        loop {
            let before = entered.len();
            let mut missing = Vec::new();
            for prepared in waiting {
                match self.enter_one(&mut draft, &prepared) {
                    Ok(replaced) => {
                        let Prepared { package, generation, warnings } = prepared;
                        entered.push(Entered { package, generation, replaced, warnings });
                    }
                    Err(error @ Error::Step { code: NO_REACTOR, .. }) => missing.push((prepared, error)),
                    Err(error) => self.drop_refused(prepared, error, report).await?,
                }
            }
            if missing.is_empty() {
                break;
            }
            if entered.len() == before {
                let packages: Vec<String> = missing.iter().map(|(p, _)| p.package.name.clone()).collect();
                let provided: Vec<String> = missing
                    .iter()
                    .flat_map(|(p, _)| p.generation.reactors().iter().map(|r| r.name.clone()))
                    .collect();
                for (prepared, error) in missing {
                    let error = in_a_cycle(&prepared, error, &packages, &provided);
                    self.drop_refused(prepared, error, report).await?;
                }
                break;
            }
            waiting = missing.into_iter().map(|(prepared, _)| prepared).collect();
        }
        self.publish_entered(draft, entered, report).await
    }

    /// Enters one generation into a draft in the place of the one it replaces, which is returned; on failure the
    /// draft is as before.
    fn enter_one(&self, draft: &mut Draft, prepared: &Prepared) -> Result<Option<Arc<Generation>>, Error> {
        let replaced = self.active.get(&prepared.package.name).cloned();
        if let Some(old) = &replaced {
            draft.leave(old);
        }
        let entered = draft.enter(&prepared.generation).and_then(|()| {
            let orphans = draft.orphans();
            if orphans.is_empty() { Ok(()) } else { Err(Error::HasSubscribers { orphans }) }
        });
        match entered {
            Ok(()) => Ok(replaced),
            Err(error) => {
                draft.leave(&prepared.generation);
                if let Some(Err(again)) = replaced.map(|old| draft.enter(&old)) {
                    // It was in this draft a moment ago.
                    tracing::error!(
                        error = &again as &dyn std::error::Error,
                        "a generation did not enter again"
                    );
                }
                Err(error)
            }
        }
    }

    async fn drop_refused(
        &mut self,
        prepared: Prepared,
        error: Error,
        report: &mut Report,
    ) -> Result<(), Error> {
        self.drop_unpublished(&prepared.generation).await;
        self.refuse(&prepared.package, error, report).await
    }

    async fn publish_entered(
        &mut self,
        draft: Draft,
        entered: Vec<Entered>,
        report: &mut Report,
    ) -> Result<(), Error> {
        if entered.is_empty() {
            return Ok(());
        }
        if let Err(error) = self.record_loading(&entered).await {
            for entered in &entered {
                self.drop_unpublished(&entered.generation).await;
            }
            return Err(error);
        }
        fail::fail_point!("reconciler.loading_recorded");
        self.publish(draft, |generations| {
            generations.extend(
                entered.iter().map(|e| (e.generation.digest().to_owned(), Arc::clone(&e.generation))),
            );
        });
        fail::fail_point!("reconciler.published");
        for Entered { package, generation, .. } in &entered {
            self.active.insert(package.name.clone(), Arc::clone(generation));
            self.failures.remove(&package.digest);
            let Desired { name, version, digest, .. } = (**package).clone();
            report.outcomes.push(Outcome::Loaded { name, version, digest });
        }
        self.unrecorded.extend(entered);
        self.record_late().await
    }

    async fn record_loading(&self, entered: &[Entered]) -> Result<(), Error> {
        let open = self.packages.snapshot();
        let fresh = entered.iter().map(|e| &*e.generation);
        let fresh: Vec<_> = fresh.filter(|g| !open.generations.contains_key(g.digest())).collect();
        if fresh.is_empty() { Ok(()) } else { self.records.loading(&fresh, now_ms()).await }
    }

    /// Closes a generation that nobody can have seen.
    async fn drop_unpublished(&self, generation: &Generation) {
        if !self.packages.snapshot().generations.contains_key(generation.digest()) {
            generation.close().await;
        }
    }

    /// Publishes a draft with other generations than now, and tells the engine.
    fn publish(&self, draft: Draft, change: impl FnOnce(&mut HashMap<String, Arc<Generation>>)) {
        let mut next = Snapshot::clone(&self.packages.snapshot());
        change(&mut next.generations);
        next.catalog = Arc::new(draft.finish(next.generations.keys().cloned().collect()));
        self.packages.publish(next);
        self.engine.wake();
    }

    /// Opens a digest for the runs that are pinned to it; no new run starts on it.
    async fn restore(&mut self, digest: Digest, pinned_runs: u64, report: &mut Report) -> Result<(), Error> {
        let generation = match self.loader.restore(&digest).await {
            Ok(generation) => generation,
            Err(Error::Store(error)) => return Err(Error::Store(error)),
            Err(error) => {
                self.note_failure(&digest);
                let subject = format!("digest/{digest}");
                self.records.refused(&subject, digest.as_str(), &error, now_ms()).await?;
                report.outcomes.push(Outcome::Refused { name: digest.as_str().to_owned(), error });
                return Ok(());
            }
        };
        if let Err(error) = self.records.loading(&[&generation], now_ms()).await {
            generation.close().await;
            return Err(error);
        }
        let draft = Draft::of(&self.packages.snapshot().catalog);
        self.publish(draft, |generations| {
            generations.insert(generation.digest().to_owned(), Arc::clone(&generation));
        });
        self.failures.remove(&digest);
        self.records.restored(&generation, pinned_runs, now_ms()).await?;
        report.outcomes.push(Outcome::Restored { name: generation.package().to_owned(), digest });
        Ok(())
    }

    async fn retire(&mut self, name: String, report: &mut Report) -> Result<(), Error> {
        let Some(generation) = self.active.get(&name).cloned() else { return Ok(()) };
        let mut draft = Draft::of(&self.packages.snapshot().catalog);
        draft.leave(&generation);
        let orphans = draft.orphans();
        if !orphans.is_empty() {
            return self.keep_owner(&generation, orphans, report).await;
        }
        self.publish(draft, |_| {});
        // Until this is recorded the generation counts as active, and is retired again.
        self.records.retired(&generation, now_ms()).await?;
        self.active.remove(&name);
        report.outcomes.push(Outcome::Retired { name });
        Ok(())
    }

    /// The owner of a reactor with subscribers stays although its file is gone, and says so once.
    async fn keep_owner(
        &mut self,
        generation: &Generation,
        orphans: Vec<Orphan>,
        report: &mut Report,
    ) -> Result<(), Error> {
        if self.kept_owners.insert(generation.digest().to_owned()) {
            let error = Error::HasSubscribers { orphans };
            let subject = package_subject(generation.package());
            self.records.kept(&subject, generation.digest(), &error, now_ms()).await?;
            report.outcomes.push(Outcome::Refused { name: generation.package().to_owned(), error });
        }
        Ok(())
    }

    async fn unload(&mut self, name: String, digest: &Digest, report: &mut Report) -> Result<(), Error> {
        let snapshot = self.packages.snapshot();
        let Some(generation) = snapshot.generations.get(digest.as_str()).cloned() else { return Ok(()) };
        let mut draft = Draft::of(&snapshot.catalog);
        draft.leave(&generation);
        self.publish(draft, |generations| {
            generations.remove(digest.as_str());
        });
        drop(snapshot);
        // A claim that was made on the snapshot before this one is refused by the lane, and put back.
        let released = generation.close().await;
        fail::fail_point!("reconciler.closed");
        let gone = !self.active.contains_key(&name);
        self.records.unloaded(&generation, released, gone, now_ms()).await?;
        report.outcomes.push(Outcome::Unloaded { name, released });
        Ok(())
    }
}
