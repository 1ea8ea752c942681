//! The artifact cache: verified libraries, each in a folder named by its digest. It outlives their sources.

use crate::error::Error;
use longshore_package::{Declared, Digest, Manifest, StaticRecord, sha256_hex};
use serde::{Deserialize, Serialize};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// A library in the artifact cache, with the bytes that were verified. Only
/// [`VerifiedPackage::store`](super::VerifiedPackage::store) and [`from_cache`](super::from_cache) make one, and loading
/// takes nothing else.
#[derive(Debug, Clone)]
pub struct VerifiedArtifact {
    pub(super) digest: Digest,
    pub(super) manifest: Manifest,
    pub(super) target: String,
    pub(super) path: PathBuf,
    pub(super) bytes: u64,
    pub(super) sha256: String,
    pub(super) record: StaticRecord,
    pub(super) identity: FileIdentity,
}

/// Tells whether a file is still the one that was verified: whoever writes to it changes its times, and only the
/// system sets the last of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FileIdentity {
    bytes: u64,
    modified: Option<SystemTime>,
    inode: u64,
    changed: (i64, i64),
}

impl FileIdentity {
    pub(crate) fn of(path: &Path) -> std::io::Result<Self> {
        let metadata = fs::metadata(path)?;
        #[cfg(unix)]
        let (inode, changed) = {
            use std::os::unix::fs::MetadataExt;
            (metadata.ino(), (metadata.ctime(), metadata.ctime_nsec()))
        };
        #[cfg(not(unix))]
        let (inode, changed) = (0, (0, 0));
        Ok(Self { bytes: metadata.len(), modified: metadata.modified().ok(), inode, changed })
    }
}

/// Writes a library into a folder of the cache. A file with the same bytes stays; one that differs is replaced and
/// never overwritten, because it may be mapped.
///
/// # Errors
/// [`Error::CacheWrite`].
pub(super) fn write(folder: &Path, name: &str, bytes: &[u8]) -> Result<(PathBuf, FileIdentity), Error> {
    let path = folder.join(name);
    let failed = |source| Error::CacheWrite { path: path.clone(), source };
    private_folder(folder).map_err(failed)?;
    let identity = match identity_of_same(&path, bytes) {
        Some(identity) => identity,
        None => {
            write_atomically(folder, &path, bytes).map_err(failed)?;
            // Only this user can have come in between.
            FileIdentity::of(&path).map_err(failed)?
        }
    };
    Ok((path, identity))
}

/// The identity of a file that has these bytes. Taken before they are read: a later change gives another.
fn identity_of_same(path: &Path, bytes: &[u8]) -> Option<FileIdentity> {
    let identity = FileIdentity::of(path).ok()?;
    fs::read(path).is_ok_and(|cached| cached == bytes).then_some(identity)
}

fn private_folder(folder: &Path) -> std::io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}

fn write_atomically(folder: &Path, path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let temporary = folder.join(format!(".{}.new", std::process::id()));
    let written = (|| {
        // Not synced: a file that power loss damaged is found out before it is opened, and written anew.
        fs::write(&temporary, bytes)?;
        fs::rename(&temporary, path)
    })();
    if written.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    written
}

impl VerifiedArtifact {
    /// The digest.
    pub fn digest(&self) -> &Digest {
        &self.digest
    }

    /// The manifest.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The target triple.
    pub fn target(&self) -> &str {
        &self.target
    }

    /// The library in the artifact cache.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The library's file name.
    pub fn library_name(&self) -> &str {
        self.path.file_name().and_then(|name| name.to_str()).unwrap_or_default()
    }

    /// Size of the library.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// SHA-256 of the library, in hex.
    pub fn sha256(&self) -> &str {
        &self.sha256
    }

    /// The library's static record.
    pub fn record(&self) -> &StaticRecord {
        &self.record
    }

    /// The entries the record declares.
    pub fn declared(&self) -> Declared {
        Declared::of_record(&self.record)
    }

    /// The same digest at a path that was never opened. Opening a path that is still mapped gives the mapped library,
    /// which is bound to its old generation.
    ///
    /// # Errors
    /// [`Error::CacheWrite`], [`Error::CacheChanged`].
    pub(crate) fn at_unique_path(&self, number: usize) -> Result<Self, Error> {
        let folder = self.path.with_file_name(format!("again-{number}"));
        let bytes = fs::read(&self.path)
            .map_err(|source| Error::CacheWrite { path: folder.join(self.library_name()), source })?;
        if sha256_hex(&bytes) != self.sha256 {
            return Err(Error::CacheChanged { path: self.path.clone() });
        }
        let (path, identity) = write(&folder, self.library_name(), &bytes)?;
        Ok(Self { path, identity, ..self.clone() })
    }

    /// True when the cached library is the file that was verified.
    pub(crate) fn is_unchanged(&self) -> bool {
        FileIdentity::of(&self.path).is_ok_and(|identity| identity == self.identity)
    }

    /// The identity of the file that was verified.
    pub(crate) fn identity(&self) -> FileIdentity {
        self.identity
    }
}
