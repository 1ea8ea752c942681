//! Everything that comes before a generation is registered: checks, artifact cache, probe, opening.

use crate::artifact::cache::VerifiedArtifact;
use crate::artifact::policy::{Recorded, VerifyOptions};
use crate::artifact::trust::tenants;
use crate::artifact::verify::{from_cache, recorded_signatures, verify};
use crate::artifact::warning::Warning;
use crate::blocking::blocking;
use crate::error::Error;
use crate::observer::Observer;
use crate::plan::model::{Desired, Origin};
use crate::reconcile::journal::Journal;
use crate::runtime::generation::{Generation, NotOpened};
use crate::runtime::linker::Linker;
use crate::runtime::options::RuntimeOptions;
use crate::runtime::probe::{ProbeOptions, probe};
use longshore_engine::Clock;
use longshore_package::trust::{OnDowngrade, TrustPolicy};
use longshore_package::{Digest, Isolation, PackageName, StaticRecord};
use longshore_store::{ArtifactRow, PackageRow, Store, Verdict, VerdictRow};
use semver::Version;
use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::Notify;

/// Prepares packages. Clones work side by side.
#[derive(Debug, Clone)]
pub(super) struct Loader {
    pub(super) verify: VerifyOptions,
    pub(super) cache: PathBuf,
    pub(super) probe: Option<ProbeOptions>,
    /// The environment that verdicts of probes hold for.
    pub(super) environment: Arc<str>,
    pub(super) log_level: u8,
    pub(super) observer: Arc<dyn Observer>,
    pub(super) wake: Arc<Notify>,
    pub(super) journal: Journal,
    pub(super) clock: Arc<dyn Clock>,
    /// Whose turn it is to open a library.
    pub(super) linker: Arc<Linker>,
    /// True of a host that runs what it is given: a lower version is what somebody asked for.
    pub(super) may_go_back: bool,
}

/// A digest that passed everything that comes before its library is opened here.
#[derive(Debug)]
pub(super) struct Verified {
    pub(super) artifact: VerifiedArtifact,
    pub(super) warnings: Vec<Warning>,
}

/// A digest from the artifact cache.
pub(super) async fn cached(
    digest: &Digest,
    store: &Store,
    cache: &Path,
    options: &VerifyOptions,
) -> Result<VerifiedArtifact, Error> {
    let row = ArtifactRow::find(store, digest).await?;
    let row = row.ok_or_else(|| Error::CacheMiss {
        digest: digest.clone(),
        message: "this database does not know it".to_owned(),
    })?;
    let (cache, options) = (cache.to_owned(), options.clone());
    blocking(move || from_cache(&row, &cache, &options)).await
}

/// The options for a digest, with what is recorded of it.
pub(super) async fn with_recorded(
    options: &VerifyOptions,
    digest: &Digest,
    store: &Store,
) -> Result<VerifyOptions, Error> {
    let mut options = options.clone();
    let Some(source) = options.trust_policy.clone() else { return Ok(options) };
    // Without a policy nobody asks. One that does not read is an error of the checks.
    if blocking(move || Ok(!matches!(source.policy(), Ok(None)))).await? {
        options.recorded = match ArtifactRow::find(store, digest).await? {
            Some(row) => {
                Some(Recorded { taken_in_at: row.first_added_at, signatures: recorded_signatures(&row)? })
            }
            None => None,
        };
    }
    Ok(options)
}

/// Refuses a version that is lower than the one that ran before, where the policy says so and nobody asked for it.
pub(super) async fn check_downgrade(
    package: &Desired,
    record: &StaticRecord,
    options: &VerifyOptions,
    store: &Store,
) -> Result<(), Error> {
    let Some(source) = options.trust_policy.clone().filter(|_| package.overridden_by.is_none()) else {
        return Ok(());
    };
    let policy = blocking(move || source.policy()).await?;
    let refuses =
        |policy: Arc<TrustPolicy>| policy.downgrade(&package.name, &tenants(record)) == OnDowngrade::Refuse;
    if !policy.is_some_and(refuses) {
        return Ok(());
    }
    let before = PackageRow::find(store, &package.name).await?;
    let Some(before) = before.filter(|before| before.digest != package.digest) else { return Ok(()) };
    match (Version::parse(&package.version), Version::parse(&before.version)) {
        (Ok(offered), Ok(accepted)) if offered < accepted => {
            Err(Error::Downgrade { offered: package.version.clone(), accepted: before.version })
        }
        _ => Ok(()),
    }
}

/// Counts an opening of a library by this process, whichever host of it that is. Returns how many there were before:
/// whether one was given back shows only when it is too late.
fn note_opening(library: &Path) -> usize {
    static OPENED: Mutex<BTreeMap<PathBuf, usize>> = Mutex::new(BTreeMap::new());
    let mut opened = OPENED.lock().unwrap_or_else(PoisonError::into_inner);
    let times = opened.entry(library.to_owned()).or_default();
    *times += 1;
    *times - 1
}

impl Loader {
    /// Checks a digest, caches it, and probes it. Without a package it is taken from the artifact cache.
    ///
    /// It is probed when no verdict is known, and when it is to be opened in this process beside other digests of its
    /// package: `open_packages` are those that have any.
    pub(super) async fn verify(
        &self,
        digest: &Digest,
        package: Option<&Desired>,
        open_packages: &HashSet<PackageName>,
    ) -> Result<Verified, Error> {
        let store = &self.journal.store;
        let artifact = match package.map(|package| &package.origin) {
            Some(Origin::File(path)) => {
                let options = with_recorded(&self.verify, digest, store).await?;
                self.load_file(path.clone(), digest.clone(), options).await?
            }
            Some(Origin::Cache | Origin::Registry(_)) | None => {
                cached(digest, store, &self.cache, &self.verify).await?
            }
        };
        if let Some(package) = package.filter(|_| !self.may_go_back) {
            check_downgrade(package, artifact.record(), &self.verify, store).await?;
        }
        let manifest = artifact.manifest();
        let in_process = self.verify.isolation.of(manifest) == Isolation::InProcess;
        self.probe(&artifact, in_process && open_packages.contains(&manifest.package.name)).await?;
        Ok(Verified { warnings: artifact.warnings().to_vec(), artifact })
    }

    async fn load_file(
        &self,
        path: PathBuf,
        expected: Digest,
        options: VerifyOptions,
    ) -> Result<VerifiedArtifact, Error> {
        let cache = self.cache.clone();
        blocking(move || {
            fail::fail_point!("reconciler.reading");
            let package = verify(&path, &options)?;
            if package.digest != expected {
                return Err(Error::Replaced { path });
            }
            package.store(&cache)
        })
        .await
    }

    /// Opens a digest, in this process under a path that was never opened in it.
    pub(super) async fn open(&self, artifact: VerifiedArtifact) -> Result<Arc<Generation>, NotOpened> {
        let options = self.runtime_options();
        let in_process = options.isolation.of(artifact.manifest()) == Isolation::InProcess;
        let times = if in_process { note_opening(artifact.path()) } else { 0 };
        let artifact = match times {
            0 => artifact,
            times => blocking(move || artifact.at_unique_path(times)).await?,
        };
        Ok(Arc::new(Generation::open(artifact, &options).await?))
    }

    fn runtime_options(&self) -> RuntimeOptions {
        RuntimeOptions {
            isolation: self.verify.isolation.clone(),
            log_level: self.log_level,
            observer: Arc::clone(&self.observer),
            wake: Arc::clone(&self.wake),
            linker: Arc::clone(&self.linker),
        }
    }

    /// Probes a digest. A verdict about the library is recorded, and holds for this environment; what befell the probe
    /// otherwise (time, memory, somebody's signal) is tried again.
    async fn probe(&self, artifact: &VerifiedArtifact, beside_others: bool) -> Result<(), Error> {
        let Some(options) = &self.probe else { return Ok(()) };
        let (digest, environment) = (artifact.digest(), &self.environment);
        match self.journal.verdict_of(digest, environment).await? {
            Some(VerdictRow { verdict: Verdict::Sound, .. }) if !beside_others => return Ok(()),
            // Its constructors may wait for what another version of it holds: that shows in a child.
            Some(VerdictRow { verdict: Verdict::Sound, .. }) => {}
            Some(VerdictRow { verdict: Verdict::Quarantined, code, message, .. }) => {
                let (code, message) = (code.unwrap_or_default(), message.unwrap_or_default());
                return Err(Error::Quarantined { code, message });
            }
            None => {}
        }
        let probed = probe(artifact, options).await;
        fail::fail_point!("reconciler.probed");
        let refusal = probed.as_ref().err();
        if refusal.is_none_or(Error::is_verdict) {
            self.journal.probed(artifact, environment, refusal, self.clock.now_ms()).await?;
        }
        probed
    }
}
