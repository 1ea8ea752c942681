//! The packages that the sources offer, remembered from pass to pass.

use crate::artifact::policy::VerifyOptions;
use crate::artifact::verify::identify;
use crate::blocking::{PARALLEL, blocking};
use crate::error::Error;
use crate::plan::model::{Desired, Origin};
use crate::source::directory::{Found, Listing, list};
use crate::source::events::FileEvents;
use futures_util::StreamExt;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

/// The time file events are believed: what they miss (network file systems, an overflowing queue) is found
/// at the latest then.
const FULL_SCAN_INTERVAL: Duration = Duration::from_secs(30);

/// A folder whose time identity is younger than this may change again under the same identity.
const RACY: Duration = Duration::from_secs(1);

/// The content of a file, as long as it does not change.
enum Known {
    Package(Arc<Desired>),
    /// It does not read; the package that its path held before may still be loaded.
    Broken(Option<Arc<Desired>>),
}

impl Known {
    fn package(&self) -> Option<&Arc<Desired>> {
        match self {
            Self::Package(package) | Self::Broken(Some(package)) => Some(package),
            Self::Broken(None) => None,
        }
    }
}

/// Changes that a scan found.
#[derive(Default)]
pub(crate) struct ScanChanges {
    /// Files that are not packages, with the reason.
    pub(crate) refused: Vec<(PathBuf, Error)>,
    /// Files that were refused and are packages now, or gone.
    pub(crate) cured: Vec<PathBuf>,
    /// True when some file is just being written.
    pub(crate) unsettled: bool,
}

/// The files of the operator's directories.
pub(crate) struct Offers {
    directories: Vec<PathBuf>,
    options: VerifyOptions,
    events: FileEvents,
    known: HashMap<Found, Known>,
    last: Option<Scan>,
}

/// A complete scan, and what tells that another would see the same.
struct Scan {
    at: Instant,
    folders: Vec<(PathBuf, SystemTime)>,
}

impl Offers {
    pub(crate) fn new(directories: Vec<PathBuf>, options: VerifyOptions, events: FileEvents) -> Self {
        Self { directories, options, events, known: HashMap::new(), last: None }
    }

    /// Every package that is offered. A file that was replaced by one that does not read stands for what it
    /// was before, as long as that is `loaded`: a bad copy does not take a good package away.
    pub(crate) fn offered(&self, loaded: impl Fn(&Desired) -> bool) -> Vec<Arc<Desired>> {
        let offered = self.known.values().filter_map(|known| match known {
            Known::Package(package) => Some(Arc::clone(package)),
            Known::Broken(last) => last.as_ref().filter(|package| loaded(package)).cloned(),
        });
        offered.collect()
    }

    /// Scans the sources. Files that are unchanged since the last scan are not read, and when nothing can have changed
    /// not even listed.
    pub(crate) async fn scan(&mut self) -> ScanChanges {
        let changed = self.events.take_changed();
        if !changed && self.events.reliable() && self.last.as_ref().is_some_and(Scan::still_holds) {
            return ScanChanges::default();
        }
        let directories = self.directories.clone();
        let listing = tokio::task::spawn_blocking(move || list(&directories, SystemTime::now())).await;
        // Without a listing nothing is known, and nothing changes.
        let Ok(listing) = listing else { return ScanChanges::default() };
        let changes = self.apply(&listing).await;
        self.last = Scan::of(&listing);
        changes
    }

    async fn apply(&mut self, listing: &Listing) -> ScanChanges {
        let mut before = std::mem::take(&mut self.known);
        let was_broken: Vec<PathBuf> = before
            .iter()
            .filter(|(_, k)| matches!(k, Known::Broken(_)))
            .map(|(f, _)| f.path.clone())
            .collect();
        let mut fresh = Vec::new();
        for found in &listing.files {
            match before.remove(found) {
                Some(known) => drop(self.known.insert(found.clone(), known)),
                None => fresh.push(found.clone()),
            }
        }
        let mut changes = ScanChanges { unsettled: !listing.unsettled.is_empty(), ..ScanChanges::default() };
        self.identify(fresh, &before, &mut changes).await;
        let unknown = |found: &Found| {
            listing.unsettled.binary_search(&found.path).is_ok()
                || listing.unreadable.iter().any(|directory| found.path.starts_with(directory))
        };
        self.known.extend(before.into_iter().filter(|(found, _)| unknown(found)));
        changes.cured = was_broken.into_iter().filter(|path| !self.is_broken(path)).collect();
        changes
    }

    async fn identify(
        &mut self,
        fresh: Vec<Found>,
        before: &HashMap<Found, Known>,
        changes: &mut ScanChanges,
    ) {
        let mut by_path: HashMap<&Path, &Known> = HashMap::new();
        if !fresh.is_empty() {
            by_path.extend(before.iter().map(|(found, known)| (found.path.as_path(), known)));
        }
        let options = self.options.clone();
        let read = fresh.into_iter().map(|found| {
            let (path, options) = (found.path.clone(), options.clone());
            async move { (found, blocking(move || identify(&path, &options)).await) }
        });
        let mut read = futures_util::stream::iter(read).buffered(*PARALLEL);
        while let Some((found, identified)) = read.next().await {
            let known = match identified {
                Ok((digest, package)) => {
                    let path = found.path.clone();
                    Known::Package(Arc::new(Desired {
                        name: package.name,
                        version: package.version,
                        digest,
                        origin: Origin::File(path),
                        overridden_by: None,
                    }))
                }
                Err(error) => {
                    changes.refused.push((found.path.clone(), error));
                    let last = by_path.get(found.path.as_path()).and_then(|known| known.package());
                    Known::Broken(last.cloned())
                }
            };
            self.known.insert(found, known);
        }
    }

    fn is_broken(&self, path: &Path) -> bool {
        self.known.iter().any(|(found, known)| found.path == path && matches!(known, Known::Broken(_)))
    }
}

impl Scan {
    /// None when a scan right after this one might see something else.
    fn of(listing: &Listing) -> Option<Self> {
        let old = |changed: &SystemTime| changed.elapsed().is_ok_and(|age| age > RACY);
        let complete = listing.unsettled.is_empty() && listing.unreadable.is_empty();
        let settled = complete && listing.folders.iter().all(|(_, changed)| old(changed));
        settled.then(|| Self { at: Instant::now(), folders: listing.folders.clone() })
    }

    /// Adding, removing and renaming a file change the time identity of its folder; file events tell the rest.
    fn still_holds(&self) -> bool {
        let same = |(path, changed): &(PathBuf, SystemTime)| {
            std::fs::metadata(path).and_then(|m| m.modified()).is_ok_and(|now| now == *changed)
        };
        self.at.elapsed() < FULL_SCAN_INTERVAL && self.folders.iter().all(same)
    }
}
