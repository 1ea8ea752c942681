//! Everything that comes before a generation is published: checks, private copy, probe, opening.
//!
//! Packages go through this side by side; what follows (catalog, records) is done for all of them at once.

use crate::artifact::{Checks, VerifiedArtifact, accept, from_cache};
use crate::error::Error;
use crate::generation::{Generation, Hosting};
use crate::observer::Observer;
use crate::probe::{ProbeOptions, probe};
use crate::reconciler::now_ms;
use crate::records::Records;
use crate::wanted::{Desired, Origin};
use longshore_package::Digest;
use longshore_store::{ArtifactRow, Store};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::sync::Notify;

/// What loading goes by.
#[derive(Debug, Clone)]
pub(crate) struct Loader {
    pub(crate) checks: Checks,
    pub(crate) cache: PathBuf,
    pub(crate) probe: Option<ProbeOptions>,
    pub(crate) log_level: u8,
    pub(crate) observer: Arc<dyn Observer>,
    pub(crate) news: Arc<Notify>,
    pub(crate) records: Records,
    /// Digests whose library is still mapped although it was closed, with how often that happened.
    pub(crate) mapped: HashMap<String, usize>,
}

/// A package that is open and not published yet.
pub(crate) struct Prepared {
    pub(crate) package: Arc<Desired>,
    pub(crate) generation: Arc<Generation>,
    pub(crate) warnings: Vec<String>,
}

/// Runs file work on a thread that may block.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| Err(Error::Load { message: error.to_string() }))
}

/// The private copy of a digest, when it may be loaded.
pub(crate) async fn copy_of(
    digest: &Digest,
    store: &Store,
    cache: &Path,
    checks: &Checks,
) -> Result<VerifiedArtifact, Error> {
    let row = ArtifactRow::find(store, digest.as_str()).await?;
    let row = row.ok_or_else(|| Error::NoCopy {
        digest: digest.as_str().to_owned(),
        message: "this database knows nothing of it".to_owned(),
    })?;
    let (cache, checks) = (cache.to_owned(), checks.clone());
    blocking(move || from_cache(&row, &cache, &checks)).await
}

impl Loader {
    /// Takes a package through every check and opens it. `open` is its generation when that is open already:
    /// it was retired and is wanted again before it was unloaded.
    pub(crate) async fn prepare(
        &self,
        package: Arc<Desired>,
        open: Option<Arc<Generation>>,
    ) -> Result<Prepared, Error> {
        let (artifact, warnings) = match &package.origin {
            Origin::File(path) => self.of_file(path.clone(), package.digest.clone()).await?,
            Origin::Copy => (self.of_copy(&package.digest).await?, Vec::new()),
        };
        self.probe(&artifact).await?;
        let generation = match open {
            Some(generation) => generation,
            None => self.open(artifact).await?,
        };
        Ok(Prepared { package, generation, warnings })
    }

    async fn of_file(&self, path: PathBuf, wanted: Digest) -> Result<(VerifiedArtifact, Vec<String>), Error> {
        let (checks, cache) = (self.checks.clone(), self.cache.clone());
        blocking(move || {
            let accepted = accept(&path, &checks)?;
            if accepted.digest != wanted {
                return Err(Error::Replaced { path });
            }
            let warnings = accepted.warnings.iter().map(ToString::to_string).collect();
            Ok((accepted.store(&cache)?, warnings))
        })
        .await
    }

    async fn of_copy(&self, digest: &Digest) -> Result<VerifiedArtifact, Error> {
        copy_of(digest, &self.records.store, &self.cache, &self.checks).await
    }

    /// Opens a digest from the private place, for runs that are pinned to it.
    pub(crate) async fn restore(&self, digest: &Digest) -> Result<Arc<Generation>, Error> {
        let artifact = self.of_copy(digest).await?;
        self.probe(&artifact).await?;
        self.open(artifact).await
    }

    async fn open(&self, artifact: VerifiedArtifact) -> Result<Arc<Generation>, Error> {
        let artifact = match self.mapped.get(artifact.digest().as_str()).copied() {
            Some(times) => blocking(move || artifact.at_own_path(times)).await?,
            None => artifact,
        };
        Ok(Arc::new(Generation::open(artifact, &self.hosting()).await?))
    }

    fn hosting(&self) -> Hosting {
        Hosting {
            isolation: self.checks.isolation.clone(),
            log_level: self.log_level,
            observer: Arc::clone(&self.observer),
            news: Arc::clone(&self.news),
        }
    }

    /// Probes a digest, once: the answer is recorded.
    async fn probe(&self, artifact: &VerifiedArtifact) -> Result<(), Error> {
        let Some(options) = &self.probe else { return Ok(()) };
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
            Err(Error::ProbeStart { .. }) => {}
            Err(error) => {
                let text = format!("{} {}", error.code(), error.full());
                self.records.probed(artifact, &text, now_ms()).await?;
            }
        }
        probed
    }
}
