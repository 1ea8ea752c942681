//! The packages that the sources offer, remembered from scan to scan.
//!
//! # Guarantees
//! - A package goes when two scans in a row did not find its file, or one where only an earlier host saw it; never because
//!   something could not be read.
//! - A file that is replaced by one that does not read stands for what it was before, also over a restart.
//! - A source that loses everything at once keeps what it had until it has something again.

use crate::artifact::cache::FileIdentity;
use crate::artifact::policy::VerifyOptions;
use crate::artifact::read::identify;
use crate::blocking::{PARALLEL, blocking};
use crate::error::Error;
use crate::plan::model::{Desired, Origin};
use crate::source::directory::{Found, Listing, list};
use crate::source::events::FileEvents;
use futures_util::StreamExt;
use longshore_package::{Digest, PackageSection};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

/// The time file events are believed: what they miss (network file systems, an overflowing queue) is found
/// at the latest then.
const FULL_SCAN_INTERVAL: Duration = Duration::from_secs(30);

/// A folder whose time identity is younger than this may change again under the same identity.
const RACY: Duration = Duration::from_secs(1);

/// The time after which a file that is missing again is gone: a rename, or a file server that hesitates, takes less.
const ABSENCE: Duration = Duration::from_millis(150);

/// The time for which a source that comes back must not have changed before what it lacks counts as missing.
const FILL_PAUSE: Duration = Duration::from_secs(5);

/// Most packages of one source, and most files that one scan reads: the next one goes on with the others.
const MAX_FILES: usize = 10_000;

/// Packages of a source from which on losing all of them at once is taken for an accident.
const MANY: usize = 2;

/// A file as it was at the last scan that saw it.
struct Known {
    /// None for a file of which only the records of an earlier host tell.
    identity: Option<FileIdentity>,
    /// Of the file with its signatures.
    signatures: Option<FileIdentity>,
    content: Content,
    /// When it was missed first.
    missing_since: Option<Instant>,
}

enum Content {
    Package(Arc<Desired>),
    /// It does not read; the package that its path held before may still be loaded.
    Broken(Option<Arc<Desired>>),
}

impl Content {
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
    /// Files that are not packages, and sources that are not as they were, with the reason.
    pub(crate) refused: Vec<(PathBuf, Error)>,
    /// What was refused and is in order now, or gone.
    pub(crate) cured: Vec<PathBuf>,
    /// Files that were changed, or signed, and hold the same digests as before.
    pub(crate) rewritten: BTreeMap<Digest, PathBuf>,
    /// True when some file is just being written, or was missed for the first time.
    pub(crate) unsettled: bool,
}

/// One of the operator's directories.
struct Source {
    path: PathBuf,
    root: Option<(u64, u64)>,
    files: HashMap<PathBuf, Known>,
    is_held: bool,
    filling: Option<Filling>,
}

/// A source that was held and comes back.
struct Filling {
    files: usize,
    /// Since when it has not changed.
    since: Instant,
}

/// The files of the operator's directories.
pub(crate) struct Offers {
    sources: Vec<Source>,
    /// Folders that are not looked into.
    skipped: Vec<PathBuf>,
    options: VerifyOptions,
    events: FileEvents,
    /// What is refused now, so that it is reported once.
    problems: BTreeMap<PathBuf, String>,
    last: Option<Scan>,
    /// Scans that listed the sources.
    scans: u64,
}

/// A complete scan, and what tells that another would see the same.
struct Scan {
    at: Instant,
    folders: Vec<(PathBuf, SystemTime)>,
}

impl Offers {
    /// The offers of these directories; folders in `skipped` are the host's own.
    pub(crate) fn new(
        directories: Vec<PathBuf>,
        skipped: &[PathBuf],
        options: VerifyOptions,
        events: FileEvents,
    ) -> Self {
        let source = |path| Source { path, root: None, files: HashMap::new(), is_held: false, filling: None };
        Self {
            sources: directories.into_iter().map(source).collect(),
            skipped: skipped.iter().filter_map(|folder| folder.canonicalize().ok()).collect(),
            options,
            events,
            problems: BTreeMap::new(),
            last: None,
            scans: 0,
        }
    }

    /// Remembers which package an earlier host had loaded from which file: when the file does not read, that one is
    /// offered from the artifact cache. Sources in `held` had lost everything when that host ended.
    pub(crate) fn remember(
        &mut self,
        loaded: impl IntoIterator<Item = (PathBuf, Arc<Desired>)>,
        held: impl Fn(&Path) -> bool,
    ) {
        for source in &mut self.sources {
            source.is_held = held(&source.path);
        }
        for (path, package) in loaded {
            let Some(source) = self.sources.iter_mut().find(|source| path.starts_with(&source.path)) else {
                continue;
            };
            let content = Content::Broken(Some(package));
            let known = Known { identity: None, signatures: None, content, missing_since: None };
            source.files.insert(path, known);
        }
    }

    /// Every package that is offered. A file that was replaced by one that does not read stands for what it
    /// was before, as long as that is `loaded` or in the artifact cache: a bad copy does not take a good package away.
    pub(crate) fn offered(&self, loaded: impl Fn(&Desired) -> bool) -> Vec<Arc<Desired>> {
        let known = self.sources.iter().flat_map(|source| source.files.values());
        let offered = known.filter_map(|known| match &known.content {
            Content::Package(package) => Some(Arc::clone(package)),
            Content::Broken(last) => {
                last.as_ref().filter(|package| package.origin == Origin::Cache || loaded(package)).cloned()
            }
        });
        offered.collect()
    }

    /// The number of scans until now that listed the sources: as long as it is the same, so are the problems.
    pub(crate) fn scans(&self) -> u64 {
        self.scans
    }

    /// Files and sources that are refused now.
    pub(crate) fn problems(&self) -> impl Iterator<Item = &Path> {
        self.problems.keys().map(PathBuf::as_path)
    }

    /// Scans the sources. Files that are unchanged since the last scan are not read, and when nothing can have changed
    /// not even listed.
    pub(crate) async fn scan(&mut self) -> ScanChanges {
        let changed = self.events.take_changed();
        if !changed && self.events.reliable() && self.last.as_ref().is_some_and(Scan::still_holds) {
            return ScanChanges::default();
        }
        let (paths, skipped) = (self.paths(), self.skipped.clone());
        let look = move || {
            let now = SystemTime::now();
            paths.iter().map(|path| list(path, &skipped, now)).collect::<Vec<_>>()
        };
        // Without a listing nothing is known, and nothing changes.
        let Ok(listings) = tokio::task::spawn_blocking(look).await else { return ScanChanges::default() };
        let mut changes = ScanChanges::default();
        let mut problems = BTreeMap::new();
        for (at, listing) in listings.iter().enumerate() {
            self.apply(at, listing, &mut problems, &mut changes).await;
        }
        self.report(problems, &mut changes);
        self.scans += 1;
        self.last = if changes.unsettled { None } else { Scan::of(&listings) };
        changes
    }

    fn paths(&self) -> Vec<PathBuf> {
        self.sources.iter().map(|source| source.path.clone()).collect()
    }

    /// Takes a listing of a source over.
    async fn apply(
        &mut self,
        at: usize,
        listing: &Listing,
        problems: &mut BTreeMap<PathBuf, Error>,
        changes: &mut ScanChanges,
    ) {
        let options = self.options.clone();
        let source = &mut self.sources[at];
        changes.unsettled |= !listing.unsettled.is_empty();
        let fresh = source.fresh(listing, problems, changes);
        source.note_missing(listing, problems, changes);
        let read = fresh.into_iter().map(|found| {
            let options = options.clone();
            async move {
                let path = found.path.clone();
                (found, blocking(move || identify(&path, &options)).await)
            }
        });
        let mut read = futures_util::stream::iter(read).buffered(*PARALLEL);
        while let Some((found, identified)) = read.next().await {
            let before = source.files.remove(&found.path).map(|known| known.content);
            let content = match identified {
                Ok((digest, section)) => Content::Package(offer(&found.path, digest, section)),
                Err(error) => {
                    problems.insert(found.path.clone(), error);
                    Content::Broken(before.as_ref().and_then(|content| content.package().cloned()))
                }
            };
            if let (Content::Package(now), Some(Content::Package(then))) = (&content, before)
                && now.digest == then.digest
            {
                changes.rewritten.insert(now.digest.clone(), found.path.clone());
            }
            let Found { path, identity, signatures } = found;
            let known = Known { identity: Some(identity), signatures, content, missing_since: None };
            source.files.insert(path, known);
        }
        for path in &listing.misnamed {
            problems.insert(path.clone(), Error::FileName);
        }
        for (path, error) in &listing.unreadable {
            // Held or not, a source that is not there is a problem of its own.
            let error = std::io::Error::new(error.kind(), error.to_string());
            problems.entry(path.clone()).or_insert(Error::SourceUnreadable { source: error });
        }
    }

    /// Reports what is refused and was not before, and what was and is in order now.
    fn report(&mut self, problems: BTreeMap<PathBuf, Error>, changes: &mut ScanChanges) {
        let mut now = BTreeMap::new();
        let still_broken = |path: &Path| self.is_broken(path);
        // A file that is unchanged was not read again.
        for (path, text) in &self.problems {
            if !problems.contains_key(path) && still_broken(path) {
                now.insert(path.clone(), text.clone());
            }
        }
        for (path, error) in problems {
            let text = error.full();
            if self.problems.get(&path) != Some(&text) {
                changes.refused.push((path.clone(), error));
            }
            now.insert(path, text);
        }
        let cured = self.problems.keys().filter(|path| !now.contains_key(*path));
        changes.cured.extend(cured.cloned());
        self.problems = now;
    }

    fn is_broken(&self, path: &Path) -> bool {
        let known = self.sources.iter().filter_map(|source| source.files.get(path));
        known.into_iter().any(|known| matches!(known.content, Content::Broken(_)))
    }
}

impl Source {
    /// Files that are new or changed, as far as the limits allow; what is beyond them is named.
    fn fresh(
        &mut self,
        listing: &Listing,
        problems: &mut BTreeMap<PathBuf, Error>,
        changes: &mut ScanChanges,
    ) -> Vec<Found> {
        let mut fresh = Vec::new();
        let mut packages = 0;
        for found in &listing.files {
            match self.files.get_mut(&found.path) {
                Some(known)
                    if known.identity == Some(found.identity) && known.signatures == found.signatures =>
                {
                    known.missing_since = None;
                    packages += usize::from(matches!(known.content, Content::Package(_)));
                }
                _ => fresh.push(found.clone()),
            }
        }
        let room = MAX_FILES.saturating_sub(packages);
        let unread = fresh.split_off(fresh.len().min(room));
        changes.unsettled |= room > 0 && !unread.is_empty();
        let files = listing.beyond + if room == 0 { unread.len() } else { 0 };
        if files > 0 {
            let first = unread.first().or(listing.files.last()).map(|found| found.path.clone());
            let (path, first) = (self.path.clone(), first.unwrap_or_default());
            problems.insert(self.path.clone(), Error::TooManyFiles { path, files, first, limit: MAX_FILES });
        }
        fresh
    }

    /// True while a source that was held comes back, file by file: until it has not changed for a while nothing of it is
    /// missed.
    fn is_filling(&mut self, was_held: bool, listing: &Listing) -> bool {
        let files = listing.files.len();
        let mut filling = match self.filling.take() {
            Some(filling) => filling,
            None if was_held => Filling { files, since: Instant::now() },
            None => return false,
        };
        if filling.files != files || !listing.unsettled.is_empty() {
            filling = Filling { files, since: Instant::now() };
        }
        if filling.since.elapsed() >= FILL_PAUSE {
            return false;
        }
        self.filling = Some(filling);
        true
    }

    /// Forgets files that were missing twice. When none is left of several, they are kept.
    fn note_missing(
        &mut self,
        listing: &Listing,
        problems: &mut BTreeMap<PathBuf, Error>,
        changes: &mut ScanChanges,
    ) {
        let packages = self.files.values().filter(|known| known.content.package().is_some()).count();
        let is_bare = listing.files.is_empty() && listing.unsettled.is_empty();
        let moved = self.root.is_some() && listing.root != self.root;
        let was_held = self.is_held;
        self.is_held = is_bare && packages > 0 && (self.is_held || moved || packages >= MANY);
        if self.is_held {
            let error = Error::SourceLost { path: self.path.clone(), packages };
            problems.insert(self.path.clone(), error);
            return;
        }
        self.root = listing.root;
        if self.is_filling(was_held, listing) {
            changes.unsettled = true;
            return;
        }
        let there: HashSet<&Path> = listing.files.iter().map(|found| found.path.as_path()).collect();
        // A source that is a file may go like any other file.
        let is_file = self.files.contains_key(&self.path);
        let hides = |place: &Path, error: &std::io::Error| {
            !(is_file && place == self.path && error.kind() == std::io::ErrorKind::NotFound)
        };
        let unknown = |path: &Path| {
            listing.beyond > 0
                || listing.unsettled.binary_search_by(|one| one.as_path().cmp(path)).is_ok()
                || listing.unreadable.iter().any(|(place, e)| path.starts_with(place) && hides(place, e))
        };
        self.files.retain(|path, known| {
            if there.contains(path.as_path()) || unknown(path) {
                return true;
            }
            let since = *known.missing_since.get_or_insert_with(Instant::now);
            // Of a file that no scan of this host has seen nobody knows since when it is missing.
            let is_gone = since.elapsed() >= ABSENCE || known.identity.is_none();
            changes.unsettled |= !is_gone;
            !is_gone
        });
    }
}

fn offer(path: &Path, digest: Digest, package: PackageSection) -> Arc<Desired> {
    Arc::new(Desired {
        name: package.name,
        version: package.version,
        digest,
        origin: Origin::File(path.to_owned()),
        overridden_by: None,
    })
}

impl Scan {
    /// None when a scan right after this one might see something else.
    fn of(listings: &[Listing]) -> Option<Self> {
        let old = |changed: &SystemTime| changed.elapsed().is_ok_and(|age| age > RACY);
        let is_settled = |listing: &Listing| {
            listing.unsettled.is_empty()
                && listing.unreadable.is_empty()
                && listing.folders.iter().all(|(_, changed)| old(changed))
        };
        let folders = || listings.iter().flat_map(|listing| listing.folders.iter().cloned()).collect();
        listings.iter().all(is_settled).then(|| Self { at: Instant::now(), folders: folders() })
    }

    /// Adding, removing and renaming a file change the time identity of its folder; file events tell the rest.
    fn still_holds(&self) -> bool {
        let same = |(path, changed): &(PathBuf, SystemTime)| {
            std::fs::metadata(path).and_then(|m| m.modified()).is_ok_and(|now| now == *changed)
        };
        self.at.elapsed() < FULL_SCAN_INTERVAL && self.folders.iter().all(same)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::SystemTime;

    #[test]
    fn files_beyond_the_limit_are_counted_and_take_nothing_away() {
        let folder = tempfile::tempdir().expect("folder");
        for name in ["a.longshore", "b.longshore"] {
            std::fs::write(folder.path().join(name), "x").expect("writes");
        }
        let path = folder.path().to_owned();
        let mut source =
            Source { path: path.clone(), root: None, files: HashMap::new(), is_held: false, filling: None };
        let content = Content::Broken(None);
        let known = Known { identity: None, signatures: None, content, missing_since: None };
        source.files.insert(path.join("c.longshore"), known);
        let mut listing = list(&path, &[], SystemTime::now() + Duration::from_secs(10));
        listing.beyond = 7;
        let (mut problems, mut changes) = (BTreeMap::new(), ScanChanges::default());
        assert_eq!(source.fresh(&listing, &mut problems, &mut changes).len(), 2);
        source.note_missing(&listing, &mut problems, &mut changes);
        assert!(source.files.contains_key(&path.join("c.longshore")), "it may be among those beyond");
        let error = &problems[&path];
        assert!(error.code() == "LS0324" && error.to_string().starts_with("7 files"), "{error}");
    }
}
