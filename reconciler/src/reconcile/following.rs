//! Packages that are followed in registries: asked for, downloaded and taken in, beside the passes. A pass offers the release
//! that was taken in last, and never waits for a registry.
//!
//! # Guarantees
//! - A release that is offered was checked and is in the artifact cache; a registry that is gone, or lists less than before, takes
//!   nothing away.
//! - The version that the host stays at stands for its digest, whatever the registry says later.
//! - No package waits for the registry of another.

use crate::artifact::cache::VerifiedArtifact;
use crate::artifact::read::signature_file;
use crate::blocking::blocking;
use crate::error::Error;
use crate::plan::model::{Desired, Origin};
use crate::reconcile::notes::log_failure;
use crate::reconcile::options::Options;
use crate::reconcile::prepare::{cached, check_downgrade};
use crate::reconcile::state::Reconciler;
use crate::reconcile::take_in::take_in;
use longshore_package::trust::{MAX_SIGNATURES, Signature};
use longshore_package::{Digest, PackageName, host_target};
use longshore_registry::{
    Downloads, Error as RegistryError, Index, Registry, Release, Requirement, Want, fetch_release, open,
};
use longshore_store::{ArtifactRow, Followed, FollowedPackage, Store, error_chain};
use semver::Version;
use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Mutex, Notify, Semaphore};
use tokio::task::{Id, JoinSet};

/// The address that stands for the host's own database.
pub const OWN_DATABASE: &str = "database";

/// Packages that are asked for at one registry at the same time.
const AT_ONCE: usize = 4;

/// The time after which a registry that has not answered counts as one that does not.
const PATIENCE: Duration = Duration::from_secs(60);

/// The pause after which a registry that did not answer is asked again.
const RETRY: Duration = Duration::from_secs(10);

/// Limit for archives that were downloaded and not taken in, in bytes.
const MAX_DOWNLOADS: u64 = 2 << 30;

impl Reconciler {
    /// Wakes [`Following`] when the set of followed packages changed since the last pass.
    pub(super) fn note_followed(&mut self, followed: &[Followed]) {
        let now: Vec<_> = followed.iter().map(|row| (row.name.clone(), row.updated_at)).collect();
        if self.followed.as_ref() != Some(&now) {
            self.followed = Some(now);
            self.followed_changed.notify_one();
        }
    }
}

/// Asks the registries, until it is dropped.
pub(crate) struct Following {
    shared: Arc<Shared>,
    /// Wakes it when other packages are followed.
    changed: Arc<Notify>,
    /// The packages that are being asked for, and since when they are followed as they are, by the task that does it.
    busy: HashMap<Id, (PackageName, i64)>,
    asking: JoinSet<()>,
    /// Since when each package was followed as it was asked for last, and when that was. A database that records nothing, or a
    /// task that panics, is no reason to ask without a pause.
    asked: HashMap<PackageName, (i64, Duration)>,
}

struct Shared {
    store: Store,
    options: Options,
    /// The URL of the host's database, with its password.
    database: String,
    downloads: Downloads,
    /// Registries by address: each has turns of its own, so that one that hangs keeps no other waiting.
    places: Mutex<HashMap<String, Arc<Place>>>,
    /// Digests whose copies in the artifact cache this process has checked.
    sound: Mutex<HashSet<Digest>>,
    /// Wakes the passes.
    wake: Arc<Notify>,
}

/// A registry that is asked.
struct Place {
    turns: Semaphore,
    /// None before the first question, and after one for which it has to be opened again.
    open: Mutex<Option<Arc<dyn Registry>>>,
}

impl Following {
    pub(crate) fn new(reconciler: &Reconciler, store: Store, options: Options, database: String) -> Self {
        let shared = Shared {
            store,
            downloads: Downloads::new(&options.downloads),
            options,
            database,
            places: Mutex::default(),
            sound: Mutex::default(),
            wake: Arc::clone(&reconciler.wake),
        };
        let changed = Arc::clone(&reconciler.followed_changed);
        let (busy, asked) = (HashMap::new(), HashMap::new());
        Self { shared: Arc::new(shared), changed, busy, asking: JoinSet::new(), asked }
    }

    pub(crate) async fn run(mut self) {
        // What an earlier host downloaded and did not take in.
        self.shared.tidy().await;
        loop {
            match FollowedPackage::all(&self.shared.store).await {
                Ok(rows) => self.ask(rows).await,
                Err(error) => log_failure(Err(error.into())),
            }
            let clock = Arc::clone(&self.shared.options.clock);
            let next = clock.uptime().saturating_add(self.shared.pause());
            tokio::select! {
                () = self.changed.notified() => {}
                () = clock.sleep_until(next) => {}
                Some(asked) = self.asking.join_next_with_id() => {
                    if let Err(error) = &asked {
                        tracing::error!(error = error as &dyn std::error::Error, "a question to a registry failed");
                    }
                    let id = asked.map_or_else(|error| error.id(), |(id, ())| id);
                    self.busy.remove(&id);
                }
            }
        }
    }

    /// Asks for every package that is due.
    async fn ask(&mut self, rows: Vec<FollowedPackage>) {
        self.asked.retain(|name, _| rows.iter().any(|row| row.name == *name));
        let addresses: HashSet<&str> = rows.iter().map(|row| row.registry.as_str()).collect();
        self.shared.places.lock().await.retain(|address, _| addresses.contains(address.as_str()));
        for row in rows {
            // A registry that hangs stands in the way of no other that the package is followed in since.
            let asking = (row.name.clone(), row.updated_at);
            if self.is_due(&row) && !self.busy.values().any(|busy| *busy == asking) {
                let now = self.shared.options.clock.uptime();
                self.asked.insert(row.name.clone(), (row.updated_at, now));
                let shared = Arc::clone(&self.shared);
                let task = self.asking.spawn(async move { shared.bring(&row).await });
                self.busy.insert(task.id(), asking);
            }
        }
    }

    fn is_due(&self, row: &FollowedPackage) -> bool {
        let now = self.shared.options.clock.uptime();
        let paused = match self.asked.get(&row.name) {
            Some((since, at)) if *since == row.updated_at => now.saturating_sub(*at) >= self.shared.pause(),
            _ => true,
        };
        paused && self.shared.is_due(row)
    }
}

impl Shared {
    fn pause(&self) -> Duration {
        self.options.registry_interval.min(RETRY)
    }

    fn is_due(&self, row: &FollowedPackage) -> bool {
        let interval = if row.code.is_some() { self.pause() } else { self.options.registry_interval };
        let age = row.checked_at.map(|at| self.options.clock.now_ms().saturating_sub(at));
        // A clock that was set back makes it due as well.
        age.is_none_or(|age| age < 0 || age >= i64::try_from(interval.as_millis()).unwrap_or(i64::MAX))
    }

    /// Brings the release that is wanted now, and records what came of it.
    async fn bring(&self, row: &FollowedPackage) {
        let place = self.place(&row.registry).await;
        let Ok(_turn) = place.turns.acquire().await else { return };
        let index = self.index(row, &place);
        tokio::pin!(index);
        let answered = match tokio::time::timeout(PATIENCE, &mut index).await {
            Ok(answered) => answered,
            Err(_) => {
                let source = format!("no answer for {} s", PATIENCE.as_secs()).into();
                let silent = RegistryError::Unreachable { registry: row.registry.clone(), source };
                self.failed(row, &silent.into()).await;
                // Not given up: a folder of a server that hangs holds a thread until it answers, and has no second one.
                index.await
            }
        };
        let brought = match answered {
            Ok((registry, index)) => self.try_bring(row, &*registry, &index).await,
            Err(error) => Err(error),
        };
        match brought {
            Ok(release) => self.brought(row, &release).await,
            Err(error) => {
                // Its credentials may be others the next time.
                if ["LS0807", "LS0814"].contains(&error.code()) {
                    *place.open.lock().await = None;
                }
                self.failed(row, &error).await;
                self.tidy().await;
            }
        }
    }

    async fn brought(&self, row: &FollowedPackage, release: &Release) {
        let now = self.options.clock.now_ms();
        let recorded = row.brought(&self.store, &release.version.to_string(), &release.digest, now).await;
        log_failure(recorded.map(drop).map_err(Error::from));
        if row.digest.as_ref() != Some(&release.digest) {
            self.wake.notify_one();
        }
    }

    async fn failed(&self, row: &FollowedPackage, error: &Error) {
        let text = error_chain(error);
        // Once for each new fault, as its event.
        if row.code.as_deref() != Some(error.code()) {
            tracing::warn!(
                package = %row.name, registry = row.registry, code = error.code(), fix = error.fix(),
                "no release came from the registry: {text}"
            );
        }
        let failed = row.failed(&self.store, error.code(), &text, self.options.clock.now_ms()).await;
        log_failure(failed.map_err(Error::from));
    }

    async fn tidy(&self) {
        let downloads = self.downloads.clone();
        log_failure(blocking(move || Ok(downloads.keep_within(MAX_DOWNLOADS)?)).await);
    }

    async fn place(&self, address: &str) -> Arc<Place> {
        let new = || Arc::new(Place { turns: Semaphore::new(AT_ONCE), open: Mutex::default() });
        Arc::clone(self.places.lock().await.entry(address.to_owned()).or_insert_with(new))
    }

    /// The registry and its index of a package.
    async fn index(&self, row: &FollowedPackage, place: &Place) -> Result<(Arc<dyn Registry>, Index), Error> {
        let known = place.open.lock().await.clone();
        let registry = match known {
            Some(registry) => registry,
            None => {
                let address = &row.registry;
                let registry = open(if address == OWN_DATABASE { &self.database } else { address }).await?;
                if registry.stays() {
                    *place.open.lock().await = Some(Arc::clone(&registry));
                }
                registry
            }
        };
        let index = registry.index(&row.name).await?;
        Ok((registry, index))
    }

    async fn try_bring(
        &self,
        row: &FollowedPackage,
        registry: &dyn Registry,
        index: &Index,
    ) -> Result<Release, Error> {
        let release = wanted(row, index)?;
        if self.has(row, &release).await? {
            return Ok(release);
        }
        let target = host_target();
        let fetched = fetch_release(registry, &row.name, &release, Some(&target), &self.downloads).await?;
        fail::fail_point!("reconciler.fetched");
        let artifact = self.take_in(&fetched.path, &release).await?;
        self.check(row, &release, &artifact).await?;
        fail::fail_point!("reconciler.fetched_in");
        Ok(release)
    }

    /// Refuses what a pass would refuse: a release that is recorded takes the place of one that may run.
    async fn check(
        &self,
        row: &FollowedPackage,
        release: &Release,
        artifact: &VerifiedArtifact,
    ) -> Result<(), Error> {
        let package = Desired {
            name: row.name.clone(),
            version: release.version.to_string(),
            digest: release.digest.clone(),
            origin: Origin::Registry(row.registry.as_str().into()),
            overridden_by: None,
        };
        check_downgrade(&package, artifact.record(), &self.options.verify, &self.store).await
    }

    /// True when a release is in the artifact cache, with every signature that the index has. A copy that is damaged is not; one
    /// that may not be loaded is an error.
    async fn has(&self, row: &FollowedPackage, release: &Release) -> Result<bool, Error> {
        let digest = &release.digest;
        let Some(artifact) = ArtifactRow::find(&self.store, digest).await? else { return Ok(false) };
        if artifact.name != row.name || artifact.version != release.version.to_string() {
            let (registry, name, version) = (row.registry.clone(), row.name.clone(), release.version.clone());
            let message = format!("its digest is that of {} {}", artifact.name, artifact.version);
            return Err(RegistryError::OtherBytes { registry, name, version, message }.into());
        }
        let known = Signature::parse_all(&artifact.signatures, "the database")?;
        let is_known = |signature: &Signature| known.iter().any(|other| other.is_of_same_key(signature));
        if known.len() < MAX_SIGNATURES && !release.parsed_signatures()?.iter().all(is_known) {
            return Ok(false);
        }
        // What runs was checked when it was loaded; once more in each process, for a copy that was damaged since.
        if row.digest.as_ref() == Some(digest) && self.sound.lock().await.contains(digest) {
            return Ok(artifact.library.is_some());
        }
        match cached(digest, &self.store, &self.options.cache, &self.options.verify).await {
            Ok(artifact) => {
                self.check(row, release, &artifact).await?;
                self.sound.lock().await.insert(digest.clone());
                Ok(true)
            }
            Err(Error::CacheMiss { .. } | Error::CacheChanged { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    async fn take_in(&self, file: &Path, release: &Release) -> Result<VerifiedArtifact, Error> {
        let beside = signature_file(file);
        let (archive, place, release) = (file.to_owned(), beside.clone(), release.clone());
        blocking(move || {
            let signatures = release.signatures_beside(&archive)?;
            let written = std::fs::write(&place, Signature::armored_all(&signatures));
            written.map_err(|source| RegistryError::File { path: place, source }.into())
        })
        .await?;
        let artifact = take_in(file, &self.options, &self.store).await?;
        let file = file.to_owned();
        blocking(move || {
            // Files that stay go when there are too many of them.
            let _ = std::fs::remove_file(beside);
            let _ = std::fs::remove_file(file);
            Ok(())
        })
        .await?;
        Ok(artifact)
    }
}

/// The release that is wanted now, in the light of the one that was taken in last.
fn wanted(row: &FollowedPackage, index: &Index) -> Result<Release, Error> {
    let requirement = Requirement::of_parts(row.name.as_str(), &row.requirement)?;
    let resolved = requirement.resolve(index);
    let (Ok(version), Some(digest)) = (Version::parse(&row.version), &row.digest) else {
        return Ok(resolved?.clone());
    };
    let known = index.release(&version);
    let (name, registry, text) = (row.name.clone(), row.registry.clone(), version.to_string());
    if known.is_some_and(|known| known.digest != *digest) {
        return Err(Error::ReleaseReplaced { name, version: text, registry });
    }
    let fits = match &requirement.want {
        Want::Range(range) => range.matches(&version),
        Want::Latest => true,
        Want::Version(_) | Want::Channel(_) => false,
    };
    // It stays until something newer comes: going back is a decision.
    let is_newest = resolved.as_ref().map_or(true, |resolved| resolved.version < version);
    match known.map(|known| known.yanked.as_ref()) {
        Some(Some(yanked)) if fits && is_newest => {
            let reason = yanked.reason.clone();
            Err(Error::ReleaseYanked { name, version: text, reason })
        }
        None if fits && is_newest => Err(Error::ReleaseGone { name, version: text, registry }),
        _ => Ok(resolved?.clone()),
    }
}
