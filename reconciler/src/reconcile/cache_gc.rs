//! Garbage collection of the artifact cache: each package keeps its newest artifacts, and those in use.

use crate::blocking::blocking;
use crate::error::Error;
use crate::reconcile::observe::pass_inputs;
use crate::reconcile::state::Reconciler;
use longshore_package::{Digest, PackageName};
use longshore_store::ArtifactRow;
use std::collections::HashSet;
use std::path::Path;

/// Artifacts of a package that are kept to roll back to, beside those that are loaded, pinned or overridden to.
const CACHED_PER_PACKAGE: i64 = 8;

/// Artifacts beyond those that one collection considers: each time a generation closes, at most one more is surplus.
const GC_BATCH: i64 = 256;

impl Reconciler {
    /// Evicts the surplus artifacts of a package.
    pub(super) async fn collect_cache(&self, package: &PackageName) -> Result<(), Error> {
        let store = &self.journal.store;
        let older = ArtifactRow::cached_beyond(store, package, CACHED_PER_PACKAGE, GC_BATCH).await?;
        self.evict_unneeded(older).await
    }

    /// Evicts what was run before of packages that are only run.
    pub(super) async fn evict_earlier_runs(&mut self) -> Result<(), Error> {
        if !self.transient {
            return Ok(());
        }
        let mut only_run = std::mem::take(&mut self.only_run);
        let earlier: Vec<Digest> =
            only_run.extract_if(|name, _| self.active(name).is_some()).map(|(_, digest)| digest).collect();
        self.only_run = only_run;
        self.evict_unneeded(earlier).await
    }

    /// Evicts those of the artifacts that nobody needs: they are not loaded, pinned or overridden to.
    async fn evict_unneeded(&self, artifacts: Vec<Digest>) -> Result<(), Error> {
        if artifacts.is_empty() {
            return Ok(());
        }
        let store = &self.journal.store;
        let inputs = pass_inputs(store).await?;
        let mut in_use: HashSet<&Digest> = inputs.pins.keys().chain(self.tracked.keys()).collect();
        in_use.extend(self.loadings.iter().map(|(digest, _)| digest));
        in_use.extend(inputs.overrides.iter().filter_map(|row| row.digest.as_ref()));
        in_use.extend(inputs.followed.iter().filter_map(|row| Some(&row.release.as_ref()?.1)));
        in_use.extend(self.tracked.values().filter_map(|tracked| Some(&tracked.rollout()?.before.0)));
        let surplus: Vec<Digest> = artifacts.into_iter().filter(|digest| !in_use.contains(digest)).collect();
        if surplus.is_empty() {
            return Ok(());
        }
        let cache = self.loader.cache.clone();
        let evicted: Vec<Digest> = blocking(move || {
            Ok(surplus.into_iter().filter(|digest| remove(&cache.join(digest.as_str()))).collect())
        })
        .await?;
        // After it: a host that dies in between evicts what is already gone, and records it then.
        let mut tx = store.begin().await?;
        ArtifactRow::evicted(&mut tx, &evicted).await?;
        Ok(store.commit(tx).await?)
    }
}

/// Removes a folder; true when it is gone.
fn remove(folder: &Path) -> bool {
    match std::fs::remove_dir_all(folder) {
        Ok(()) => true,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => true,
        Err(error) => {
            let (folder, error) = (folder.display(), &error as &dyn std::error::Error);
            tracing::warn!(%folder, error, "a cached artifact was not removed");
            false
        }
    }
}
