//! Packages that are followed in registries: asked for, downloaded and taken in, beside the passes. A pass offers the release
//! that was taken in last, and never waits for a registry.
//!
//! # Guarantees
//! - A release that is offered was checked and is in the artifact cache; a registry that is gone, or lists less than before, takes
//!   nothing away.
//! - A version that was taken in stands for its digest, whatever the registry says later.
//! - Each package is asked for by itself, at most sixteen at a time.

use crate::artifact::read::signature_file;
use crate::blocking::blocking;
use crate::error::Error;
use crate::reconcile::notes::log_failure;
use crate::reconcile::options::Options;
use crate::reconcile::state::Reconciler;
use crate::reconcile::take_in::take_in;
use longshore_package::trust::Signature;
use longshore_package::{PackageName, host_target};
use longshore_registry::{
    Downloads, Error as RegistryError, Index, Registry, Release, Requirement, Want, fetch_release, open,
};
use longshore_store::{ArtifactRow, Followed, FollowedPackage, Store, error_chain};
use semver::Version;
use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Mutex, Notify, Semaphore};
use tokio::task::{Id, JoinSet};

/// The address that stands for the host's own database.
pub const OWN_DATABASE: &str = "database";

/// Packages that are asked for at the same time.
const AT_ONCE: usize = 16;

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
    /// The packages that are being asked for, by the task that does it.
    busy: HashMap<Id, PackageName>,
    asking: JoinSet<()>,
}

struct Shared {
    store: Store,
    options: Options,
    /// The URL of the host's database, with its password.
    database: String,
    downloads: Downloads,
    /// Open registries, by address.
    registries: Mutex<HashMap<String, Arc<dyn Registry>>>,
    turns: Semaphore,
    /// Wakes the passes.
    wake: Arc<Notify>,
}

impl Following {
    pub(crate) fn new(reconciler: &Reconciler, store: Store, options: Options, database: String) -> Self {
        let shared = Shared {
            store,
            downloads: Downloads::new(&options.downloads),
            options,
            database,
            registries: Mutex::default(),
            turns: Semaphore::new(AT_ONCE),
            wake: Arc::clone(&reconciler.wake),
        };
        let changed = Arc::clone(&reconciler.followed_changed);
        Self { shared: Arc::new(shared), changed, busy: HashMap::new(), asking: JoinSet::new() }
    }

    pub(crate) async fn run(mut self) {
        loop {
            match FollowedPackage::all(&self.shared.store).await {
                Ok(rows) => self.ask(rows),
                Err(error) => log_failure(Err(error.into())),
            }
            let clock = Arc::clone(&self.shared.options.clock);
            let next = clock.uptime().saturating_add(self.shared.pause());
            tokio::select! {
                () = self.changed.notified() => {}
                () = clock.sleep_until(next) => {}
                Some(asked) = self.asking.join_next_with_id() => {
                    let id = asked.map_or_else(|error| error.id(), |(id, ())| id);
                    self.busy.remove(&id);
                }
            }
        }
    }

    /// Asks for every package that is due.
    fn ask(&mut self, rows: Vec<FollowedPackage>) {
        for row in rows {
            if self.shared.is_due(&row) && !self.busy.values().any(|busy| *busy == row.name) {
                let (shared, name) = (Arc::clone(&self.shared), row.name.clone());
                let task = self.asking.spawn(async move { shared.bring(&row).await });
                self.busy.insert(task.id(), name);
            }
        }
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
        let Ok(_turn) = self.turns.acquire().await else { return };
        let brought = self.try_bring(row).await;
        let now = self.options.clock.now_ms();
        match brought {
            Ok(release) => {
                let recorded =
                    row.brought(&self.store, &release.version.to_string(), &release.digest, now).await;
                log_failure(recorded.map(drop).map_err(Error::from));
                self.wake.notify_one();
            }
            Err(error) => {
                let text = error_chain(&error);
                // Once for each new fault, as its event.
                if row.code.as_deref() != Some(error.code()) {
                    tracing::warn!(
                        package = %row.name, registry = row.registry, code = error.code(), fix = error.fix(),
                        "no release came from the registry: {text}"
                    );
                }
                let failed = row.failed(&self.store, error.code(), &text, now).await;
                log_failure(failed.map_err(Error::from));
            }
        }
    }

    async fn try_bring(&self, row: &FollowedPackage) -> Result<Release, Error> {
        let registry = self.registry(&row.registry).await?;
        let text = if row.requirement.is_empty() {
            row.name.to_string()
        } else {
            format!("{}@{}", row.name, row.requirement)
        };
        let requirement: Requirement = text.parse()?;
        let index = registry.index(&row.name).await?;
        let release = wanted(row, &requirement, &index)?;
        if self.has(row, &release).await? {
            return Ok(release);
        }
        let fetched =
            fetch_release(&*registry, &row.name, &release, Some(&host_target()), &self.downloads).await?;
        fail::fail_point!("reconciler.fetched");
        let taken = self.take_in(&fetched.path, &release).await;
        fail::fail_point!("reconciler.fetched_in");
        if taken.is_err() {
            let downloads = self.downloads.clone();
            log_failure(blocking(move || Ok(downloads.keep_within(MAX_DOWNLOADS)?)).await);
        }
        taken.map(|()| release)
    }

    /// An open registry; one that could not be opened is opened again the next time.
    async fn registry(&self, address: &str) -> Result<Arc<dyn Registry>, Error> {
        if let Some(open) = self.registries.lock().await.get(address) {
            return Ok(Arc::clone(open));
        }
        let opened = open(if address == OWN_DATABASE { &self.database } else { address }).await?;
        // Opening costs nothing without a connection, and the file of a bundle may be another one the next time.
        if opened.is_connected() {
            self.registries.lock().await.insert(address.to_owned(), Arc::clone(&opened));
        }
        Ok(opened)
    }

    /// True when the digest of a release is in the artifact cache, with every signature that the index has.
    async fn has(&self, row: &FollowedPackage, release: &Release) -> Result<bool, Error> {
        let Some(artifact) = ArtifactRow::find(&self.store, &release.digest).await? else { return Ok(false) };
        if artifact.name != row.name || artifact.version != release.version.to_string() {
            let (registry, name, version) = (row.registry.clone(), row.name.clone(), release.version.clone());
            let message = format!("its digest is that of {} {}", artifact.name, artifact.version);
            return Err(RegistryError::OtherBytes { registry, name, version, message }.into());
        }
        let Some(library) = &artifact.library else { return Ok(false) };
        let known = Signature::parse_all(&artifact.signatures, "the database")?;
        let is_known = |signature: &Signature| known.iter().any(|other| other.is_of_same_key(signature));
        let library = self.options.cache.join(release.digest.as_str()).join(library);
        Ok(release.parsed_signatures()?.iter().all(is_known) && library.is_file())
    }

    async fn take_in(&self, file: &Path, release: &Release) -> Result<(), Error> {
        let beside = signature_file(file);
        let (place, signatures) = (beside.clone(), release.signatures.concat());
        blocking(move || {
            let written = std::fs::write(&place, signatures);
            written.map_err(|source| RegistryError::File { path: place, source }.into())
        })
        .await?;
        take_in(file, &self.options, &self.store).await?;
        let file = file.to_owned();
        blocking(move || {
            // Files that stay go when there are too many of them.
            let _ = std::fs::remove_file(beside);
            let _ = std::fs::remove_file(file);
            Ok(())
        })
        .await
    }
}

/// The release that is wanted now, in the light of the one that was taken in last.
fn wanted(row: &FollowedPackage, requirement: &Requirement, index: &Index) -> Result<Release, Error> {
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
