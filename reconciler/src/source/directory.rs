//! The files in the operator's directories.

use crate::artifact::cache::FileIdentity;
use crate::artifact::read::{SIGNATURE_SUFFIX, signature_file};
use std::collections::HashMap;
use std::ffi::OsStr;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// Names the directories when the operator gives none, separated as in `PATH`.
pub const PATH_VARIABLE: &str = "LONGSHORE_PATH";

/// Folders below a source that are looked into. A source is a drop folder, not a home directory.
const MAX_DEPTH: usize = 3;

/// Most files of one source that are listed: what is beyond is counted and named. Of those that are listed, most are
/// not read again.
const MAX_LISTED: usize = 100_000;

/// A file that was changed less than this ago may still be being written.
const SETTLE: Duration = Duration::from_millis(150);

/// Stands in folders that programs fill and may empty again, such as cargo's `target`.
const CACHE_TAG: &str = "CACHEDIR.TAG";

/// A file that may be a package, and what tells whether it changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Where it is.
    pub path: PathBuf,
    pub(crate) identity: FileIdentity,
    /// The file with its signatures, when there is one.
    pub(crate) signatures: Option<FileIdentity>,
}

/// The result of a look into one source.
#[derive(Debug, Default)]
pub struct Listing {
    /// The device and the number of the source's folder; none when it is not there, or is a file.
    pub root: Option<(u64, u64)>,
    /// Files that may be packages, sorted by path.
    pub files: Vec<Found>,
    /// Files with signatures, by the package files that they are beside.
    signatures: HashMap<PathBuf, FileIdentity>,
    /// Files and folders that could not be looked at, sorted: nobody knows what is there.
    pub unreadable: Vec<(PathBuf, io::Error)>,
    /// Files whose names are not text.
    pub misnamed: Vec<PathBuf>,
    /// Files beyond those that are listed.
    pub beyond: usize,
    /// Files that were changed a moment ago and are left for the next look, sorted.
    pub unsettled: Vec<PathBuf>,
    /// Directories that were looked into, and when each was changed; for a source that is a file, that file.
    pub folders: Vec<(PathBuf, SystemTime)>,
}

/// The directories of `LONGSHORE_PATH`.
pub fn of_environment() -> Vec<PathBuf> {
    let value = std::env::var_os(PATH_VARIABLE).unwrap_or_default();
    std::env::split_paths(&value).filter(|path| !path.as_os_str().is_empty()).collect()
}

/// True when a file name is that of an archive, or of a library of this platform.
pub fn is_package_name(name: &OsStr) -> bool {
    let name = name.as_encoded_bytes();
    let library = name.starts_with(std::env::consts::DLL_PREFIX.as_bytes())
        && name.ends_with(std::env::consts::DLL_SUFFIX.as_bytes());
    (name.ends_with(b".longshore") || library) && !name.starts_with(b".")
}

/// Looks into a source, and into the folders below it to a depth of three. Links to folders are not followed, and
/// hidden folders, those in `skipped` and those with a `CACHEDIR.TAG` are left alone; a source that is a file is taken
/// as it is.
pub fn list(source: &Path, skipped: &[PathBuf], now: SystemTime) -> Listing {
    let mut listing = Listing::default();
    if source.is_file() {
        // The operator named this very file: it is complete.
        consider(source, now + SETTLE, &mut listing);
        note_signatures(&signature_file(source), source.to_owned(), &mut listing);
        note_change(source, &mut listing);
    } else {
        listing.root = folder_number(source);
        walk(source, 0, skipped, now, &mut listing);
    }
    for found in &mut listing.files {
        found.signatures = listing.signatures.get(&found.path).copied();
    }
    listing.files.sort_by(|a, b| a.path.cmp(&b.path));
    listing.unsettled.sort();
    listing.unreadable.sort_by(|(a, _), (b, _)| a.cmp(b));
    listing
}

#[cfg(unix)]
fn folder_number(folder: &Path) -> Option<(u64, u64)> {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata(folder).ok().map(|metadata| (metadata.dev(), metadata.ino()))
}

#[cfg(not(unix))]
fn folder_number(folder: &Path) -> Option<(u64, u64)> {
    std::fs::metadata(folder).ok().map(|_| (0, 0))
}

fn note_change(path: &Path, listing: &mut Listing) {
    // A folder without a time identity is never taken for unchanged.
    let changed = std::fs::metadata(path).and_then(|m| m.modified()).unwrap_or_else(|_| SystemTime::now());
    listing.folders.push((path.to_owned(), changed));
}

fn walk(folder: &Path, depth: usize, skipped: &[PathBuf], now: SystemTime, listing: &mut Listing) {
    // Before the entries: what changes while they are read changes the identity.
    note_change(folder, listing);
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) => return listing.unreadable.push((folder.to_owned(), error)),
    };
    for entry in entries {
        let looked_at = entry.and_then(|entry| Ok((entry.file_type()?, entry)));
        let (kind, entry) = match looked_at {
            Ok(looked_at) => looked_at,
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            // What else is in the folder is not known.
            Err(error) => return listing.unreadable.push((folder.to_owned(), error)),
        };
        let path = entry.path();
        if kind.is_dir() {
            if depth < MAX_DEPTH && !is_left_alone(&path, &entry.file_name(), skipped) {
                walk(&path, depth + 1, skipped, now, listing);
            }
        } else if is_package_name(&entry.file_name()) {
            if listing.files.len() >= MAX_LISTED {
                listing.beyond += 1;
            } else {
                consider(&path, now, listing);
            }
        } else if let Some(package) = signed_package(&path) {
            note_signatures(&path, package, listing);
        }
    }
}

/// The package file that a file with signatures is beside.
fn signed_package(path: &Path) -> Option<PathBuf> {
    let name = path.file_name()?.to_str()?.strip_suffix(SIGNATURE_SUFFIX)?;
    is_package_name(OsStr::new(name)).then(|| path.with_file_name(name))
}

fn note_signatures(path: &Path, package: PathBuf, listing: &mut Listing) {
    // One that is not there, or cannot be looked at, is no reason to read its package again.
    if let Ok(Some((identity, _))) = FileIdentity::of_file(path) {
        listing.signatures.insert(package, identity);
    }
}

fn is_left_alone(folder: &Path, name: &OsStr, skipped: &[PathBuf]) -> bool {
    let is_skipped =
        || !skipped.is_empty() && folder.canonicalize().is_ok_and(|folder| skipped.contains(&folder));
    name.as_encoded_bytes().starts_with(b".") || folder.join(CACHE_TAG).exists() || is_skipped()
}

fn consider(path: &Path, now: SystemTime, listing: &mut Listing) {
    if path.to_str().is_none() {
        return listing.misnamed.push(path.to_owned());
    }
    let looked_at = FileIdentity::of_file(path);
    let (identity, modified) = match looked_at {
        Ok(Some(found)) => found,
        // A device or a pipe is not a package.
        Ok(None) => return,
        // A file that went away between listing and looking is simply not there.
        Err(error) if error.kind() == ErrorKind::NotFound => return,
        Err(error) => return listing.unreadable.push((path.to_owned(), error)),
    };
    let age = now.duration_since(modified).unwrap_or(SETTLE);
    if age < SETTLE {
        listing.unsettled.push(path.to_owned());
    } else {
        listing.files.push(Found { path: path.to_owned(), identity, signatures: None });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(path: &Path) {
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("folder");
        std::fs::write(path, b"x").expect("file");
    }

    fn later() -> SystemTime {
        SystemTime::now() + Duration::from_secs(10)
    }

    fn names(listing: &Listing) -> Vec<&str> {
        listing.files.iter().filter_map(|f| f.path.file_stem()?.to_str()).collect()
    }

    #[test]
    fn archives_and_libraries_are_found_to_a_depth() {
        let folder = tempfile::tempdir().expect("folder");
        for name in [
            "a.longshore",
            "one/two/three/b.longshore",
            "one/two/three/four/c.longshore",
            "notes.txt",
            ".hidden.longshore",
        ] {
            write(&folder.path().join(name));
        }
        write(&folder.path().join(format!(
            "{}d{}",
            std::env::consts::DLL_PREFIX,
            std::env::consts::DLL_SUFFIX
        )));
        assert_eq!(names(&list(folder.path(), &[], later())), ["a", "libd", "b"]);
    }

    #[test]
    fn hidden_folders_caches_and_the_home_are_left_alone() {
        let folder = tempfile::tempdir().expect("folder");
        for name in [
            ".git/a.longshore",
            "target/debug/b.longshore",
            "target/CACHEDIR.TAG",
            "home/c.longshore",
            "packages/d.longshore",
        ] {
            write(&folder.path().join(name));
        }
        let home = folder.path().join("home").canonicalize().expect("is there");
        assert_eq!(names(&list(folder.path(), &[home], later())), ["d"]);
    }

    #[test]
    fn a_file_just_written_is_left_for_the_next_look() {
        let folder = tempfile::tempdir().expect("folder");
        write(&folder.path().join("a.longshore"));
        let listing = list(folder.path(), &[], SystemTime::now());
        assert!(listing.files.is_empty() && listing.unsettled.len() == 1);
    }

    #[test]
    fn a_directory_that_is_not_there_and_a_name_that_is_not_text_are_named() {
        let missing = PathBuf::from("/no/such/place");
        let listing = list(&missing, &[], later());
        assert_eq!((listing.unreadable[0].0.clone(), listing.root), (missing, None));
        #[cfg(target_os = "linux")]
        {
            use std::os::unix::ffi::OsStrExt;
            let folder = tempfile::tempdir().expect("folder");
            let path = folder.path().join(OsStr::from_bytes(b"a\xff.longshore"));
            write(&path);
            assert_eq!(list(folder.path(), &[], later()).misnamed, [path]);
        }
    }
}
