//! [`Reconciler`]: plans, acts, records, repeats.

use crate::artifact::{Accepted, Checks, accept, identify};
use crate::catalog::{LoadedPackages, Snapshot};
use crate::error::Error;
use crate::generation::{Generation, Released};
use crate::plan::{Action, Desired, Failure, Kept, Observed, Plan, backoff_ms, plan};
use crate::probe::{ProbeOptions, probe};
use crate::records::{Records, file_subject, package_subject};
use crate::source::{Found, Listing, list};
use crate::steps::Draft;
use crate::watch::FileEvents;
use longshore_engine::Engine;
use longshore_package::Digest;
use longshore_store::RunRow;
use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::Notify;

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

/// What became of one action.
#[derive(Debug)]
pub enum Outcome {
    /// A package was loaded.
    Loaded {
        /// The package.
        name: String,
        /// Its version.
        version: String,
        /// Its digest.
        digest: Digest,
    },
    /// A package, or a file that is none, was refused.
    Refused {
        /// The package or the file.
        name: String,
        /// Why.
        error: Error,
    },
    /// No new runs start on it.
    Retired {
        /// The package.
        name: String,
    },
    /// It was closed.
    Unloaded {
        /// The package.
        name: String,
        /// Whether its memory was given back.
        released: Released,
    },
}

/// What one pass did, and what it left alone and why.
#[derive(Debug, Default)]
pub struct Report {
    /// In the order it was done.
    pub outcomes: Vec<Outcome>,
    /// What was left.
    pub kept: Vec<Kept>,
}

/// What is known of a file, as long as it does not change.
enum Known {
    Package(Desired),
    /// It does not read; what its path held before may still be loaded.
    Broken(Option<Desired>),
}

impl Known {
    fn package(&self) -> Option<&Desired> {
        match self {
            Self::Package(package) | Self::Broken(Some(package)) => Some(package),
            Self::Broken(None) => None,
        }
    }
}

/// Makes what is loaded what the sources offer. It takes no input but their state, so that any pass may be
/// the first or the last.
pub struct Reconciler {
    options: Options,
    packages: Arc<LoadedPackages>,
    engine: Engine,
    records: Records,
    files: HashMap<Found, Known>,
    failures: BTreeMap<Digest, Failure>,
    /// Digests on which new runs start, by package.
    active: BTreeMap<String, Arc<Generation>>,
    changed: Arc<Notify>,
}

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// A condition of a file that was not written is not worth forgetting what the file held: the log has it.
fn log_failure(recorded: Result<(), Error>) {
    if let Err(error) = recorded {
        tracing::warn!(error = &error as &dyn std::error::Error, "a condition was not recorded");
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
        Self {
            options,
            packages,
            engine,
            records,
            files: HashMap::new(),
            failures: BTreeMap::new(),
            active: BTreeMap::new(),
            changed: Arc::default(),
        }
    }

    /// What is loaded right now.
    pub fn loaded(&self) -> &Arc<LoadedPackages> {
        &self.packages
    }

    /// Reconciles whenever files change or the timer goes, until it is dropped. `report` gets every pass
    /// that did something.
    pub async fn run(&mut self, mut report: impl FnMut(&Report)) {
        let _events = FileEvents::watch(&self.options.directories, Arc::clone(&self.changed));
        let mut wait = Duration::ZERO;
        loop {
            let changed = Arc::clone(&self.changed);
            tokio::select! {
                () = changed.notified() => {}
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
                    self.options.interval
                }
            };
        }
    }

    /// One pass.
    ///
    /// # Errors
    /// [`Error::Store`] when the database fails; what is wrong with a package is in the report.
    pub async fn reconcile(&mut self) -> Result<(Report, Duration), Error> {
        let directories = self.options.directories.clone();
        let listing = tokio::task::spawn_blocking(move || list(&directories, SystemTime::now())).await;
        // Without a listing nothing is known, and nothing is done.
        let Ok(listing) = listing else { return Ok((Report::default(), self.options.interval)) };
        let mut report = Report::default();
        let desired = self.read(&listing, &mut report).await;
        let observed = self.observe().await?;
        let Plan { actions, kept } = plan(&desired, &observed, &self.failures, now_ms());
        for action in actions {
            self.apply(action, &mut report).await?;
        }
        let next = self.next_look(&listing, &kept);
        report.kept = kept;
        Ok((report, next))
    }

    /// Everything that is loaded, closed in reverse. For the end of the host.
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

    fn next_look(&self, listing: &Listing, kept: &[Kept]) -> Duration {
        let mut next = self.options.interval;
        if !listing.unsettled.is_empty() {
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

    /// Names the files: what is unchanged since the last pass is not read again.
    ///
    /// A file that is just being written, or that was replaced by one that does not read, stands for what it
    /// was before: a bad copy does not take a good package away.
    async fn read(&mut self, listing: &Listing, report: &mut Report) -> Vec<Desired> {
        let mut before = std::mem::take(&mut self.files);
        let was_broken: Vec<PathBuf> = before
            .iter()
            .filter(|(_, k)| matches!(k, Known::Broken(_)))
            .map(|(f, _)| f.path.clone())
            .collect();
        for found in &listing.files {
            let known = match before.remove(found) {
                Some(known) => known,
                None => {
                    let last = before.iter().find(|(f, _)| f.path == found.path);
                    let last = last.and_then(|(_, known)| known.package().cloned());
                    self.identify(found, last, report).await
                }
            };
            self.files.insert(found.clone(), known);
        }
        let unknown = |found: &Found| {
            listing.unsettled.binary_search(&found.path).is_ok()
                || listing.unreadable.iter().any(|directory| found.path.starts_with(directory))
        };
        self.files.extend(before.into_iter().filter(|(found, _)| unknown(found)));
        let broken =
            |path: &PathBuf| self.files.iter().any(|(f, k)| f.path == *path && matches!(k, Known::Broken(_)));
        let cured: Vec<String> =
            was_broken.iter().filter(|path| !broken(path)).map(|path| file_subject(path)).collect();
        log_failure(self.records.forget(&cured).await);
        let loaded = |package: &&Desired| {
            self.active.get(&package.name).is_some_and(|g| *g.artifact().digest() == package.digest)
        };
        let offered = self.files.values().filter_map(|known| match known {
            Known::Package(package) => Some(package.clone()),
            Known::Broken(last) => last.as_ref().filter(loaded).cloned(),
        });
        offered.collect()
    }

    async fn identify(&self, found: &Found, last: Option<Desired>, report: &mut Report) -> Known {
        let (path, checks) = (found.path.clone(), self.options.checks.clone());
        let identified = tokio::task::spawn_blocking(move || identify(&path, &checks)).await;
        let identified = identified.unwrap_or_else(|e| Err(Error::Load { message: e.to_string() }));
        match identified {
            Ok((digest, package)) => Known::Package(Desired {
                name: package.name,
                version: package.version,
                digest,
                path: found.path.clone(),
            }),
            Err(error) => {
                log_failure(self.records.refused(&file_subject(&found.path), "", &error, now_ms()).await);
                report.outcomes.push(Outcome::Refused { name: found.path.display().to_string(), error });
                Known::Broken(last)
            }
        }
    }

    async fn observe(&self) -> Result<Vec<Observed>, Error> {
        let snapshot = self.packages.snapshot();
        let mut observed = Vec::with_capacity(snapshot.generations.len());
        for generation in snapshot.generations.values() {
            let active = self.is_active(generation);
            let pinned = if active { 0 } else { self.pinned_runs(generation).await? };
            observed.push(Observed {
                name: generation.package().to_owned(),
                digest: generation.artifact().digest().clone(),
                active,
                pinned_runs: pinned,
            });
        }
        observed.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(observed)
    }

    fn is_active(&self, generation: &Generation) -> bool {
        self.active.get(generation.package()).is_some_and(|active| active.digest() == generation.digest())
    }

    async fn pinned_runs(&self, generation: &Generation) -> Result<u64, Error> {
        let open = RunRow::pinned_to(&self.records.store, generation.digest()).await?;
        let flying = self.engine.in_flight(generation.digest()).await;
        Ok(u64::try_from(open).unwrap_or(0).max(flying as u64))
    }

    async fn apply(&mut self, action: Action, report: &mut Report) -> Result<(), Error> {
        match action {
            Action::Load { package, replaces } => match self.load(&package, replaces.as_ref()).await {
                Ok(()) => {
                    self.failures.remove(&package.digest);
                    let Desired { name, version, digest, .. } = package;
                    report.outcomes.push(Outcome::Loaded { name, version, digest });
                }
                Err(Error::Store(error)) => return Err(Error::Store(error)),
                Err(error) => {
                    self.note_failure(&package.digest);
                    let subject = package_subject(&package.name);
                    self.records.refused(&subject, package.digest.as_str(), &error, now_ms()).await?;
                    report.outcomes.push(Outcome::Refused { name: package.name, error });
                }
            },
            Action::Retire { name, .. } => {
                if let Some(generation) = self.active.get(&name).cloned() {
                    self.publish_without(&generation, false);
                    // Until this is recorded the generation counts as active, and is retired again.
                    self.records.retired(&generation, now_ms()).await?;
                    self.active.remove(&name);
                    report.outcomes.push(Outcome::Retired { name });
                }
            }
            Action::Unload { name, digest } => self.unload(name, &digest, report).await?,
        }
        Ok(())
    }

    fn note_failure(&mut self, digest: &Digest) {
        let times = self.failures.get(digest).map_or(0, |failure| failure.times) + 1;
        let retry_at = now_ms() + backoff_ms(times, rand::random());
        self.failures.insert(digest.clone(), Failure { times, retry_at });
    }

    async fn load(&mut self, package: &Desired, replaces: Option<&Digest>) -> Result<(), Error> {
        let (path, checks) = (package.path.clone(), self.options.checks.clone());
        let accepted = tokio::task::spawn_blocking(move || accept(&path, &checks)).await;
        let accepted: Accepted = accepted.unwrap_or_else(|e| Err(Error::Load { message: e.to_string() }))?;
        let warnings: Vec<String> = accepted.warnings.iter().map(ToString::to_string).collect();
        let cache = self.options.cache.clone();
        let artifact = tokio::task::spawn_blocking(move || accepted.store(&cache)).await;
        let artifact = artifact.unwrap_or_else(|e| Err(Error::Load { message: e.to_string() }))?;
        self.probe(&artifact).await?;
        let known = self.packages.snapshot().generations.get(artifact.digest().as_str()).cloned();
        let generation = match known {
            // It was retired and is wanted again before it was unloaded.
            Some(generation) => generation,
            None => Arc::new(Generation::open(artifact, self.options.log_level).await?),
        };
        let entered = self.enter(package, &generation, replaces, &warnings).await;
        if entered.is_err() && !self.packages.snapshot().generations.contains_key(generation.digest()) {
            generation.close().await;
        }
        entered
    }

    /// Takes a generation through the load steps, records it, and publishes it.
    async fn enter(
        &mut self,
        package: &Desired,
        generation: &Arc<Generation>,
        replaces: Option<&Digest>,
        warnings: &[String],
    ) -> Result<(), Error> {
        let replaced = replaces.and_then(|digest| {
            self.active.get(&package.name).filter(|old| old.artifact().digest() == digest).cloned()
        });
        let snapshot = self.packages.snapshot();
        let mut draft = Draft::of(&snapshot.catalog);
        if let Some(old) = &replaced {
            draft.leave(old);
        }
        draft.enter(generation)?;
        let fresh = !snapshot.generations.contains_key(generation.digest());
        if fresh {
            self.records.loading(package, generation, now_ms()).await?;
        }
        fail::fail_point!("reconciler.loading_recorded");
        let mut next = Snapshot::clone(&snapshot);
        next.generations.insert(generation.digest().to_owned(), Arc::clone(generation));
        next.catalog = Arc::new(draft.finish(next.generations.keys().cloned().collect()));
        self.packages.publish(next);
        self.active.insert(package.name.clone(), Arc::clone(generation));
        fail::fail_point!("reconciler.published");
        self.engine.wake();
        self.records.loaded(package, generation, replaced.as_deref(), warnings, now_ms()).await
    }

    async fn probe(&self, artifact: &crate::artifact::VerifiedArtifact) -> Result<(), Error> {
        let Some(options) = &self.options.probe else { return Ok(()) };
        match self.records.probe_of(artifact.digest().as_str()).await?.as_deref() {
            Some("passed") => return Ok(()),
            Some(message) => return Err(Error::Quarantined { message: message.to_owned() }),
            None => {}
        }
        let probed = probe(artifact, options).await;
        fail::fail_point!("reconciler.probed");
        match &probed {
            Ok(()) => self.records.probed(artifact, "passed", now_ms()).await?,
            // That the child could not be started says nothing about the library.
            Err(Error::ProbeStart { .. }) => self.records.accepted(artifact, now_ms()).await?,
            Err(error) => {
                let text = format!("{} {}", error.code(), error.full());
                self.records.probed(artifact, &text, now_ms()).await?;
            }
        }
        probed
    }

    fn publish_without(&self, generation: &Generation, close: bool) {
        let snapshot = self.packages.snapshot();
        let mut draft = Draft::of(&snapshot.catalog);
        draft.leave(generation);
        let mut next = Snapshot::clone(&snapshot);
        if close {
            next.generations.remove(generation.digest());
        }
        next.catalog = Arc::new(draft.finish(next.generations.keys().cloned().collect()));
        self.packages.publish(next);
    }

    async fn unload(&mut self, name: String, digest: &Digest, report: &mut Report) -> Result<(), Error> {
        let Some(generation) = self.packages.snapshot().generations.get(digest.as_str()).cloned() else {
            return Ok(());
        };
        self.publish_without(&generation, true);
        // A claim that was made on the snapshot before this one is refused by the lane, and put back.
        let released = generation.close().await;
        fail::fail_point!("reconciler.closed");
        let gone = !self.active.contains_key(&name);
        self.records.unloaded(&generation, released, gone, now_ms()).await?;
        report.outcomes.push(Outcome::Unloaded { name, released });
        Ok(())
    }
}
