//! Everything that comes before a generation is published: checks, artifact cache, probe, opening.
//!
//! Packages go through this side by side; what follows (catalog, journal) is done for all of them at once.

use crate::artifact::cache::VerifiedArtifact;
use crate::artifact::policy::VerifyOptions;
use crate::artifact::verify::{from_cache, verify};
use crate::blocking::blocking;
use crate::error::Error;
use crate::observer::Observer;
use crate::plan::model::{Desired, Origin};
use crate::reconcile::journal::Journal;
use crate::runtime::generation::Generation;
use crate::runtime::options::RuntimeOptions;
use crate::runtime::probe::{ProbeOptions, probe};
use longshore_engine::Clock;
use longshore_package::Digest;
use longshore_store::{ArtifactRow, Store, Verdict, VerdictRow};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::sync::Notify;

/// Prepares packages. Clones work side by side.
#[derive(Debug, Clone)]
pub(super) struct Loader {
    pub(super) verify: VerifyOptions,
    pub(super) cache: PathBuf,
    pub(super) probe: Option<ProbeOptions>,
    pub(super) log_level: u8,
    pub(super) observer: Arc<dyn Observer>,
    pub(super) wake: Arc<Notify>,
    pub(super) journal: Journal,
    pub(super) clock: Arc<dyn Clock>,
    /// Closed digests whose library is still mapped, with the number of their mappings.
    pub(super) mapped: HashMap<Digest, usize>,
}

/// A package that is open and not published yet.
pub(super) struct Prepared {
    pub(super) package: Arc<Desired>,
    pub(super) generation: Arc<Generation>,
    pub(super) warnings: Vec<String>,
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

impl Loader {
    /// Checks a package, caches it, probes it, and opens it, unless its digest is `open` already.
    pub(super) async fn prepare(
        &self,
        package: Arc<Desired>,
        open: Option<Arc<Generation>>,
    ) -> Result<Prepared, Error> {
        let (artifact, warnings) = match &package.origin {
            Origin::File(path) => self.load_file(path.clone(), package.digest.clone()).await?,
            Origin::Cache => (self.load_cached(&package.digest).await?, Vec::new()),
        };
        self.probe(&artifact).await?;
        let generation = match open {
            Some(generation) => generation,
            None => self.open(artifact).await?,
        };
        Ok(Prepared { package, generation, warnings })
    }

    async fn load_file(
        &self,
        path: PathBuf,
        expected: Digest,
    ) -> Result<(VerifiedArtifact, Vec<String>), Error> {
        let (options, cache) = (self.verify.clone(), self.cache.clone());
        blocking(move || {
            fail::fail_point!("reconciler.reading");
            let package = verify(&path, &options)?;
            if package.digest != expected {
                return Err(Error::Replaced { path });
            }
            let warnings = package.warnings.iter().map(ToString::to_string).collect();
            Ok((package.store(&cache)?, warnings))
        })
        .await
    }

    async fn load_cached(&self, digest: &Digest) -> Result<VerifiedArtifact, Error> {
        cached(digest, &self.journal.store, &self.cache, &self.verify).await
    }

    /// Opens a digest from the artifact cache, for runs that are pinned to it.
    pub(super) async fn restore(&self, digest: &Digest) -> Result<Arc<Generation>, Error> {
        let artifact = self.load_cached(digest).await?;
        self.probe(&artifact).await?;
        self.open(artifact).await
    }

    async fn open(&self, artifact: VerifiedArtifact) -> Result<Arc<Generation>, Error> {
        let artifact = match self.mapped.get(artifact.digest()).copied() {
            Some(times) => blocking(move || artifact.at_unique_path(times)).await?,
            None => artifact,
        };
        Ok(Arc::new(Generation::open(artifact, &self.runtime_options()).await?))
    }

    fn runtime_options(&self) -> RuntimeOptions {
        RuntimeOptions {
            isolation: self.verify.isolation.clone(),
            log_level: self.log_level,
            observer: Arc::clone(&self.observer),
            wake: Arc::clone(&self.wake),
        }
    }

    /// Probes a digest, once: the verdict is recorded.
    async fn probe(&self, artifact: &VerifiedArtifact) -> Result<(), Error> {
        let Some(options) = &self.probe else { return Ok(()) };
        let VerdictRow { verdict, code, message } = self.journal.verdict_of(artifact.digest()).await?;
        match verdict {
            Some(Verdict::Sound) => return Ok(()),
            Some(Verdict::Quarantined) => {
                let (code, message) = (code.unwrap_or_default(), message.unwrap_or_default());
                return Err(Error::Quarantined { code, message });
            }
            None => {}
        }
        let probed = probe(artifact, options).await;
        fail::fail_point!("reconciler.probed");
        match &probed {
            // A child that could not be started says nothing about the library.
            Err(Error::ProbeStart { .. }) => {}
            other => self.journal.probed(artifact, other.as_ref().err(), self.clock.now_ms()).await?,
        }
        probed
    }
}
