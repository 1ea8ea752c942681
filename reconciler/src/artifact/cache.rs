//! The artifact cache: verified libraries, each in a folder named by its digest. It outlives their sources.

use crate::artifact::assets::Assets;
use crate::artifact::warning::Warning;
use crate::error::Error;
use longshore_package::trust::{Admission, Signature};
use longshore_package::{Declared, Digest, Manifest, StaticRecord, sha256_hex};
use serde::{Deserialize, Serialize};
use std::fs;
use std::io::Write;
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
    pub(super) warnings: Vec<Warning>,
    pub(super) signatures: Vec<Signature>,
    pub(super) admission: Admission,
    pub(super) taken_in_at: i64,
    pub(super) identity: FileIdentity,
    /// None of a bare library.
    pub(super) assets: Option<Assets>,
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
        Ok(Self::of_metadata(&fs::metadata(path)?))
    }

    /// The identity of a file and when it was changed; none of a folder, a device or a pipe.
    pub(crate) fn of_file(path: &Path) -> std::io::Result<Option<(Self, SystemTime)>> {
        let metadata = fs::metadata(path)?;
        let modified = metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH);
        Ok(metadata.is_file().then(|| (Self::of_metadata(&metadata), modified)))
    }

    fn of_metadata(metadata: &fs::Metadata) -> Self {
        #[cfg(unix)]
        let (inode, changed) = {
            use std::os::unix::fs::MetadataExt;
            (metadata.ino(), (metadata.ctime(), metadata.ctime_nsec()))
        };
        #[cfg(not(unix))]
        let (inode, changed) = (0, (0, 0));
        Self { bytes: metadata.len(), modified: metadata.modified().ok(), inode, changed }
    }
}

/// Opens a library of the cache, when it is the file that was verified: of this user, written to by nobody else, and
/// changed by nobody since. What is done through the descriptor is done to that very file.
///
/// # Errors
/// [`Error::CacheChanged`].
pub(crate) fn open_verified(path: &Path, identity: FileIdentity) -> Result<fs::File, Error> {
    let mut options = fs::OpenOptions::new();
    options.read(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::custom_flags(&mut options, nix::fcntl::OFlag::O_NOFOLLOW.bits());
    let opened = options.open(path).and_then(|file| Ok((file.metadata()?, file)));
    match opened {
        Ok((metadata, file)) if FileIdentity::of_metadata(&metadata) == identity && is_own(&metadata) => {
            Ok(file)
        }
        _ => Err(Error::CacheChanged { path: path.to_owned() }),
    }
}

/// True of a file of this user, or of the superuser, that nobody else may write to.
#[cfg(unix)]
fn is_own(metadata: &fs::Metadata) -> bool {
    use std::os::unix::fs::MetadataExt;
    let owner = metadata.uid();
    (owner == nix::unistd::geteuid().as_raw() || owner == 0) && metadata.mode() & 0o022 == 0
}

#[cfg(not(unix))]
fn is_own(_: &fs::Metadata) -> bool {
    true
}

/// The beginning of the names of folders with copies of a library, one for each time that a process opened it again.
const UNIQUE: &str = "again-";

/// Removes a copy that was made for one opening and is not mapped any more. The library itself stays.
pub(crate) fn remove_unique_path(library: &Path) {
    let Some(folder) = library.parent() else { return };
    if folder.file_name().is_some_and(|name| name.to_string_lossy().starts_with(UNIQUE)) {
        // One that stays goes with its digest.
        let _ = fs::remove_dir_all(folder);
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
    let metadata = fs::metadata(path).ok().filter(is_own)?;
    let identity = FileIdentity::of_metadata(&metadata);
    fs::read(path).is_ok_and(|cached| cached == bytes).then_some(identity)
}

fn private_folder(folder: &Path) -> std::io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)?;
    check_private(folder)
}

/// Refuses a folder in which, or in place of which, another user can put a file: what is loaded from there would not be
/// what was verified. The superuser is trusted, and so is the user's own group above the folder.
///
/// # Errors
/// The folder and who may write to it.
#[cfg(unix)]
pub(crate) fn check_private(folder: &Path) -> std::io::Result<()> {
    use nix::unistd::{getegid, geteuid};
    use std::os::unix::fs::MetadataExt;
    let (user, group) = (geteuid().as_raw(), getegid().as_raw());
    let folder = folder.canonicalize()?;
    for (depth, place) in folder.ancestors().enumerate() {
        let metadata = fs::metadata(place)?;
        let (owner, mode) = (metadata.uid(), metadata.mode());
        let sticky = mode & 0o1000 != 0 && depth > 0;
        let by_group = mode & 0o020 != 0 && (depth == 0 || metadata.gid() != group);
        let reason = if owner != user && owner != 0 {
            format!("it belongs to user {owner}")
        } else if (mode & 0o002 != 0 || by_group) && !sticky {
            format!("others may write to it (mode {:o})", mode & 0o7777)
        } else {
            continue;
        };
        return Err(std::io::Error::new(
            std::io::ErrorKind::PermissionDenied,
            format!("{}: {reason}", place.display()),
        ));
    }
    Ok(())
}

#[cfg(not(unix))]
pub(crate) fn check_private(_: &Path) -> std::io::Result<()> {
    Ok(())
}

/// A new file that nobody else may write to, whatever the mask of this process is.
fn create_own(path: &Path) -> std::io::Result<fs::File> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o644);
    options.open(path)
}

fn write_atomically(folder: &Path, path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    // Another host, in a container with the same process number, may share the folder.
    let temporary = folder.join(format!(".{:016x}.new", rand::random::<u64>()));
    let written = (|| {
        // Not synced: a file that power loss damaged is found out before it is opened, and written anew.
        create_own(&temporary)?.write_all(bytes)?;
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

    /// Findings that do not keep it from being loaded.
    pub fn warnings(&self) -> &[Warning] {
        &self.warnings
    }

    /// Its signatures, as they were when it was verified.
    pub fn signatures(&self) -> &[Signature] {
        &self.signatures
    }

    /// The result of the trust policy when it was verified.
    pub fn admission(&self) -> &Admission {
        &self.admission
    }

    /// Time of its first take-in, in milliseconds since 1970: a key that has expired since stays good.
    pub(crate) fn taken_in_at(&self) -> i64 {
        self.taken_in_at
    }

    /// The entries the record declares.
    pub fn declared(&self) -> Declared {
        Declared::of_record(&self.record)
    }

    /// The same digest at a path that was never opened in this process. Opening a path that is still mapped gives the
    /// mapped library, which is bound to its old generation.
    ///
    /// # Errors
    /// [`Error::CacheWrite`], [`Error::CacheChanged`].
    pub(crate) fn at_unique_path(&self, number: usize) -> Result<Self, Error> {
        let folder = self.path.with_file_name(format!("{UNIQUE}{number}"));
        let bytes = fs::read(&self.path)
            .map_err(|source| Error::CacheWrite { path: folder.join(self.library_name()), source })?;
        if sha256_hex(&bytes) != self.sha256 {
            return Err(Error::CacheChanged { path: self.path.clone() });
        }
        let (path, identity) = write(&folder, self.library_name(), &bytes)?;
        Ok(Self { path, identity, ..self.clone() })
    }

    /// The assets; none of a bare library.
    pub(crate) fn assets(&self) -> Option<&Assets> {
        self.assets.as_ref()
    }

    /// The identity of the file that was verified.
    pub(crate) fn identity(&self) -> FileIdentity {
        self.identity
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn only_the_file_that_was_verified_is_opened_and_only_when_nobody_else_may_write_to_it() {
        let folder = tempfile::tempdir().expect("folder");
        let cache = folder.path().join("cache");
        let (path, identity) = write(&cache, "lib.so", b"code").expect("writes");
        open_verified(&path, identity).expect("as it was written");
        let refused = |path: &Path, identity| {
            assert_eq!(open_verified(path, identity).expect_err("refused").code(), "LS0314");
        };
        fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).expect("sets");
        refused(&path, FileIdentity::of(&path).expect("is there"));
        let (again, mended) = write(&cache, "lib.so", b"code").expect("replaces it");
        assert!(again == path && mended != identity);
        open_verified(&path, mended).expect("of this user alone");
        fs::write(&path, b"evil").expect("writes");
        refused(&path, mended);
        let (elsewhere, other) = write(&folder.path().join("other"), "lib.so", b"code").expect("writes");
        fs::remove_file(&path).expect("removes");
        std::os::unix::fs::symlink(elsewhere, &path).expect("links");
        refused(&path, other);
    }

    #[test]
    fn a_folder_that_others_may_write_to_or_replace_is_refused() {
        let folder = tempfile::tempdir().expect("folder");
        let cache = folder.path().join("cache");
        private_folder(&cache).expect("of this user alone, below a folder with the sticky bit");
        let mode = |path: &Path, mode| {
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("sets");
        };
        let refused = || check_private(&cache).expect_err("others may").to_string();
        mode(&cache, 0o777);
        assert!(refused().contains("cache: others may write to it (mode 777)"), "{}", refused());
        mode(&cache, 0o1777);
        assert!(refused().contains("mode 1777"), "anybody could add a file");
        mode(&cache, 0o700);
        mode(folder.path(), 0o707);
        assert!(refused().contains("mode 707"), "anybody could put another folder in its place");
        mode(folder.path(), 0o700);
        check_private(&cache).expect("as it was");
    }
}
