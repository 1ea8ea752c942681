//! Private copies that nobody can want any more are removed: each package keeps its newest ones.

use super::Reconciler;
use crate::error::Error;
use longshore_store::{ArtifactRow, Outlook};
use std::collections::HashSet;
use std::path::PathBuf;

/// Private copies of a package that are kept to go back to, beside those that are open, pinned or decided for.
const COPIES: usize = 8;

/// Digests beyond those that are looked at in one go: what is older was removed before.
const BEYOND: usize = 256;

impl Reconciler {
    /// Removes what is too much of a package's private copies.
    pub(super) async fn prune(&self, package: &str) -> Result<(), Error> {
        let store = &self.records.store;
        let artifacts = ArtifactRow::of_package(store, package).await?;
        if artifacts.len() <= COPIES {
            return Ok(());
        }
        let Outlook { pins, registry } = Outlook::load(store).await?;
        let snapshot = self.packages.snapshot();
        let mut wanted: HashSet<&str> = pins.keys().map(String::as_str).collect();
        wanted.extend(registry.iter().map(|row| row.digest.as_str()));
        wanted.extend(snapshot.generations.keys().map(String::as_str));
        wanted.extend(self.closing.keys().map(String::as_str));
        wanted.extend(self.probation.get(package).map(|probation| probation.before()));
        let older = artifacts.iter().skip(COPIES).take(BEYOND);
        let unwanted = older.filter(|artifact| !wanted.contains(artifact.digest.as_str()));
        // A digest is hex: it names a folder of ours and nothing else.
        let folders: Vec<PathBuf> = unwanted.map(|a| self.loader.cache.join(&a.digest)).collect();
        let removed = tokio::task::spawn_blocking(move || folders.iter().for_each(remove));
        // Whether or not it came to an end, the next one goes on.
        let _ = removed.await;
        Ok(())
    }
}

fn remove(folder: &PathBuf) {
    match std::fs::remove_dir_all(folder) {
        Ok(()) => tracing::debug!(folder = %folder.display(), "a private copy was removed"),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => {
            let (folder, error) = (folder.display(), &error as &dyn std::error::Error);
            tracing::warn!(%folder, error, "a private copy was not removed");
        }
    }
}
