//! The files in the operator's directories.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// Names the directories when the operator gives none, separated as in `PATH`.
pub const PATH_VARIABLE: &str = "LONGSHORE_PATH";

/// Folders below a source that are looked into. A source is a drop folder, not a home directory.
const MAX_DEPTH: usize = 3;

/// Most files of one source: what is beyond is logged and left alone.
const MAX_FILES: usize = 10_000;

/// A file that was changed less than this ago may still be being written.
const SETTLE: Duration = Duration::from_millis(150);

/// A file that may be a package, and what tells whether it changed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Found {
    /// Where it is.
    pub path: PathBuf,
    /// Its size.
    pub bytes: u64,
    /// When it was changed.
    pub modified: SystemTime,
}

/// The result of a look into the directories.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Listing {
    /// Files that may be packages, sorted by path.
    pub files: Vec<Found>,
    /// Directories that could not be read.
    pub unreadable: Vec<PathBuf>,
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
    let Some(name) = name.to_str() else { return false };
    let library =
        name.starts_with(std::env::consts::DLL_PREFIX) && name.ends_with(std::env::consts::DLL_SUFFIX);
    (name.ends_with(".longshore") || library) && !name.starts_with('.')
}

/// Looks into directories, and into those below them to a depth of three. Links to directories are not
/// followed; a source that is a file is taken as it is.
pub fn list(directories: &[PathBuf], now: SystemTime) -> Listing {
    let mut listing = Listing::default();
    for directory in directories {
        if directory.is_file() {
            // The operator named this very file: it is complete.
            consider(directory, now + SETTLE, &mut listing);
            note_change(directory, &mut listing);
        } else {
            walk(directory, 0, now, &mut listing);
        }
    }
    listing.files.sort();
    listing.unsettled.sort();
    listing.files.dedup_by(|a, b| a.path == b.path);
    listing
}

fn note_change(path: &Path, listing: &mut Listing) {
    // A folder without a time identity is never taken for unchanged.
    let changed = std::fs::metadata(path).and_then(|m| m.modified()).unwrap_or_else(|_| SystemTime::now());
    listing.folders.push((path.to_owned(), changed));
}

fn walk(directory: &Path, depth: usize, now: SystemTime, listing: &mut Listing) {
    // Before the entries: what changes while they are read changes the identity.
    note_change(directory, listing);
    let Ok(entries) = std::fs::read_dir(directory) else {
        listing.unreadable.push(directory.to_owned());
        return;
    };
    for entry in entries.flatten() {
        let Ok(kind) = entry.file_type() else { continue };
        if kind.is_dir() && depth < MAX_DEPTH {
            walk(&entry.path(), depth + 1, now, listing);
        } else if !kind.is_dir() && is_package_name(&entry.file_name()) {
            if listing.files.len() >= MAX_FILES {
                tracing::warn!(directory = %directory.display(), limit = MAX_FILES, "too many package files; the rest is left alone");
                return;
            }
            consider(&entry.path(), now, listing);
        }
    }
}

fn consider(path: &Path, now: SystemTime, listing: &mut Listing) {
    // A file that went away between listing and looking is simply not there.
    let Ok(metadata) = std::fs::metadata(path) else { return };
    let modified = metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH);
    let age = now.duration_since(modified).unwrap_or(SETTLE);
    if age < SETTLE {
        listing.unsettled.push(path.to_owned());
    } else if metadata.is_file() {
        listing.files.push(Found { path: path.to_owned(), bytes: metadata.len(), modified });
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
        let listing = list(&[folder.path().to_owned()], later());
        let names: Vec<_> = listing.files.iter().filter_map(|f| f.path.file_stem()?.to_str()).collect();
        assert_eq!(names, ["a", "libd", "b"]);
    }

    #[test]
    fn a_file_just_written_is_left_for_the_next_look() {
        let folder = tempfile::tempdir().expect("folder");
        write(&folder.path().join("a.longshore"));
        let listing = list(&[folder.path().to_owned()], SystemTime::now());
        assert!(listing.files.is_empty() && listing.unsettled.len() == 1);
    }

    #[test]
    fn a_directory_that_is_not_there_is_named() {
        let missing = PathBuf::from("/no/such/place");
        assert_eq!(list(std::slice::from_ref(&missing), later()).unreadable, [missing]);
    }
}
