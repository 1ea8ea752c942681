//! Private copies that nobody can want any more are removed: each package keeps its newest ones.

use super::Reconciler;
use crate::error::Error;
use longshore_package::Digest;
use longshore_store::{ArtifactRow, Outlook};
use std::collections::HashSet;
use std::path::PathBuf;

/// Private copies of a package that are kept to go back to, beside those that are open, pinned or decided for.
const COPIES: i64 = 8;

/// Digests beyond those that are looked at in one go: what is older was removed before.
const BEYOND: i64 = 256;

impl Reconciler {
    /// Removes what is too much of a package's private copies.
    pub(super) async fn prune(&self, package: &str) -> Result<(), Error> {
        let store = &self.records.store;
        let older = ArtifactRow::older_digests(store, package, COPIES, BEYOND).await?;
        if older.is_empty() {
            return Ok(());
        }
        let Outlook { pins, registry } = Outlook::load(store).await?;
        let snapshot = self.packages.snapshot();
        let mut wanted: HashSet<&str> = pins.keys().map(String::as_str).collect();
        wanted.extend(registry.iter().map(|row| row.digest.as_str()));
        wanted.extend(snapshot.generations.keys().map(String::as_str));
        wanted.extend(self.closing.keys().map(String::as_str));
        wanted.extend(self.probation.get(package).map(|probation| probation.before()));
        let unwanted: Vec<String> =
            older.into_iter().filter(|digest| !wanted.contains(digest.as_str())).collect();
        // Recorded first: nobody decides for a digest that is about to go.
        let mut tx = store.begin().await?;
        ArtifactRow::forget_copies(&mut tx, &unwanted).await?;
        store.commit(tx).await?;
        // Only what is a digest names a folder of ours.
        let digests = unwanted.iter().filter_map(|digest| Digest::parse(digest));
        let folders: Vec<PathBuf> = digests.map(|digest| self.loader.cache.join(digest.as_str())).collect();
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
