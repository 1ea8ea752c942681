//! One host per SQLite file: an advisory lock that the system gives back when the process dies.

use crate::error::Error;
use std::fs::{File, Metadata, OpenOptions, TryLockError};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// The lock, held until it is dropped or the process ends.
#[derive(Debug)]
pub(crate) struct HostLock {
    _file: File,
    database: PathBuf,
    /// The file that was opened under that name.
    opened: OnceLock<Opened>,
}

/// The database file as it was opened.
#[derive(Debug)]
struct Opened {
    file: FileId,
    /// SQLite's own locks were seen on it. They are not where the system does not list them.
    locks_seen: bool,
}

impl HostLock {
    /// Takes the lock of a database file.
    pub(crate) fn take(database: &Path) -> Result<Self, Error> {
        let mut name = database.as_os_str().to_owned();
        name.push(".host");
        let path = PathBuf::from(name);
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(&path);
        let file = file.map_err(|source| Error::LockFile { path: path.clone(), source })?;
        match file.try_lock() {
            Ok(()) => Ok(Self { _file: file, database: database.to_owned(), opened: OnceLock::new() }),
            Err(TryLockError::WouldBlock) => Err(Error::SecondHost { path }),
            Err(TryLockError::Error(source)) => Err(Error::LockFile { path, source }),
        }
    }

    /// The database was opened: from now on its name has to lead to the same file, and SQLite has locks on that.
    pub(crate) fn opened(&self) {
        if let Ok(metadata) = std::fs::metadata(&self.database) {
            let file = file_id(&metadata);
            let _ = self.opened.set(Opened { file, locks_seen: has_locks(file) == Some(true) });
        }
    }

    /// Looks whether the database is where it was opened. A file that is moved stays open: whoever opens that name next
    /// would find another one, or none, and nothing of what is written meanwhile.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let Some(opened) = self.opened.get() else { return Ok(()) };
        let is_there = match std::fs::metadata(&self.database) {
            Ok(metadata) => file_id(&metadata) == opened.file,
            // A disk that does not answer says nothing about the file.
            Err(error) => !matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory),
        };
        if is_there { Ok(()) } else { Err(Error::Moved { path: self.database.clone() }) }
    }

    /// Looks whether SQLite's locks on the database are gone although it is open. The system takes them from a whole
    /// process when anything in it closes the file: a package with an SQLite of its own, or one that reads the file.
    pub(crate) fn check_locks(&self) -> Result<(), Error> {
        match self.opened.get() {
            Some(opened) if opened.locks_seen && has_locks(opened.file) == Some(false) => {
                Err(Error::Unlocked { path: self.database.clone() })
            }
            _ => Ok(()),
        }
    }
}

/// True when the system lists a lock of SQLite's kind that this process has on the file. None when it cannot be asked.
fn has_locks((_, inode): FileId) -> Option<bool> {
    let (process, file) = (std::process::id().to_string(), format!(":{inode}"));
    // A line: number, kind, mode, access, process, device and inode, range.
    let is_ours = |line: &str| {
        let mut fields = line.split_whitespace().skip(1);
        fields.next() == Some("POSIX")
            && fields.nth(2) == Some(&process)
            && fields.next().is_some_and(|field| field.ends_with(&file))
    };
    Some(std::fs::read_to_string("/proc/locks").ok()?.lines().any(is_ours))
}

/// Device and inode of a file.
type FileId = (u64, u64);

#[cfg(unix)]
fn file_id(metadata: &Metadata) -> FileId {
    use std::os::unix::fs::MetadataExt;
    (metadata.dev(), metadata.ino())
}

/// Open files are not moved there.
#[cfg(not(unix))]
fn file_id(_: &Metadata) -> FileId {
    (0, 0)
}
