//! Private copies that nobody can want any more are removed: each package keeps its newest ones.

use super::Reconciler;
use crate::error::Error;
use crate::loader::blocking;
use longshore_package::Digest;
use longshore_store::{ArtifactRow, Outlook};
use std::collections::HashSet;
use std::path::Path;

/// Private copies of a package that are kept to go back to, beside those that are open, pinned or decided for.
const COPIES: i64 = 8;

/// Copies beyond those that are looked at in one go: each time a generation closes, one more may be too much.
const BEYOND: i64 = 256;

impl Reconciler {
    /// Removes what is too much of a package's private copies.
    pub(super) async fn prune(&self, package: &str) -> Result<(), Error> {
        let store = &self.records.store;
        let older = ArtifactRow::older_copies(store, package, COPIES, BEYOND).await?;
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
        // Only what is a digest names a folder of ours.
        let unwanted = older.iter().filter(|digest| !wanted.contains(digest.as_str()));
        let unwanted: Vec<Digest> = unwanted.filter_map(|digest| Digest::parse(digest)).collect();
        if unwanted.is_empty() {
            return Ok(());
        }
        let cache = self.loader.cache.clone();
        let gone = blocking(move || {
            let gone = unwanted.into_iter().filter(|digest| remove(&cache.join(digest.as_str())));
            Ok(gone.map(|digest| digest.as_str().to_owned()).collect::<Vec<_>>())
        })
        .await?;
        // After it: a host that dies in between removes what is not there, and records it then.
        let mut tx = store.begin().await?;
        ArtifactRow::forget_copies(&mut tx, &gone).await?;
        Ok(store.commit(tx).await?)
    }
}

/// Whether a folder is gone.
fn remove(folder: &Path) -> bool {
    match std::fs::remove_dir_all(folder) {
        Ok(()) => true,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => true,
        Err(error) => {
            let (folder, error) = (folder.display(), &error as &dyn std::error::Error);
            tracing::warn!(%folder, error, "a private copy was not removed");
            false
        }
    }
}
