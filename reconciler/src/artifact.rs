//! The checks before loading: archive, digest, manifest, target, private copy, static record, compatibility.
//!
//! The private copy outlives its source: a digest that runs are pinned to is loaded from there again, by
//! [`from_cache`].

use crate::error::Error;
use crate::generation::IsolationPolicy;
use longshore_package::{
    Archive, ArchiveLimits, Declared, Digest, Drift, Error as PackageError, Isolation, Limits, Manifest,
    PackageSection, PackedLibrary, Policy, StaticRecord, check_compatibility, host_target, sha256_hex,
    target_path,
};
use longshore_store::ArtifactRow;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// What the checks go by.
#[derive(Debug, Clone, Default)]
pub struct Checks {
    /// Limits on archives.
    pub limits: ArchiveLimits,
    /// What to do about findings that do not make calls wrong.
    pub policy: Policy,
    /// Which packages run in a process of their own.
    pub isolation: IsolationPolicy,
}

/// A package file that was read and checked, its library not yet on disk.
#[derive(Debug)]
pub struct Accepted {
    /// The digest.
    pub digest: Digest,
    /// The manifest; for a bare library, what its record says.
    pub manifest: Manifest,
    /// The target.
    pub target: String,
    /// What the library says about itself.
    pub record: StaticRecord,
    /// What the operator should be told.
    pub warnings: Vec<Drift>,
    library: PackedLibrary,
}

/// A library in the host's private place, with the bytes that were checked. Only [`Accepted::store`] and
/// [`from_cache`] make one, and loading takes nothing else.
#[derive(Debug, Clone)]
pub struct VerifiedArtifact {
    digest: Digest,
    manifest: Manifest,
    target: String,
    path: PathBuf,
    bytes: u64,
    sha256: String,
    record: StaticRecord,
    stamp: Stamp,
}

/// What tells that a file is the one that was checked: whoever writes to it changes its times, and nobody but
/// the system sets the last of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Stamp {
    bytes: u64,
    modified: Option<SystemTime>,
    inode: u64,
    changed: (i64, i64),
}

impl Stamp {
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

/// Reads a file's digest and name without unpacking its libraries.
///
/// # Errors
/// [`Error::Package`].
pub fn identify(path: &Path, checks: &Checks) -> Result<(Digest, PackageSection), Error> {
    if is_archive(path) {
        let archive = Archive::open(path, checks.limits)?;
        return Ok((archive.digest().clone(), archive.manifest().package.clone()));
    }
    let accepted = accept(path, checks)?;
    Ok((accepted.digest, accepted.manifest.package))
}

fn is_archive(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "longshore")
}

/// Reads and checks a file: an archive, or a bare library.
///
/// # Errors
/// [`Error::Package`], [`Error::Incompatible`].
pub fn accept(path: &Path, checks: &Checks) -> Result<Accepted, Error> {
    let target = host_target();
    if is_archive(path) {
        let mut archive = Archive::open(path, checks.limits)?;
        let library = archive.library(&target)?;
        let (digest, manifest) = (archive.digest().clone(), archive.manifest().clone());
        return check(digest, Some(manifest), target, library, checks);
    }
    let read = |source| PackageError::Read { path: path.to_owned(), source };
    let size = fs::metadata(path).map_err(read)?.len();
    if size > checks.limits.entry_bytes {
        let (what, limit) = ("the library".to_owned(), checks.limits.entry_bytes);
        return Err(PackageError::OverLimit { what, actual: size, limit }.into());
    }
    let bytes = fs::read(path).map_err(read)?;
    let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    let sha256 = sha256_hex(&bytes);
    let digest = Digest::of_files([(target_path(&target, &name).as_str(), sha256.as_str())]);
    check(digest, None, target, PackedLibrary { name, bytes, sha256 }, checks)
}

fn check(
    digest: Digest,
    manifest: Option<Manifest>,
    target: String,
    library: PackedLibrary,
    checks: &Checks,
) -> Result<Accepted, Error> {
    let record = StaticRecord::of_library(&library.bytes)?;
    let mut compatibility = check_compatibility(&record.package, checks.policy);
    let manifest = match manifest {
        Some(manifest) => manifest,
        None => manifest_of(&record)?,
    };
    if checks.isolation.of(&manifest) == Isolation::Process {
        // A panic ends a process of its own, not this one.
        compatibility.refusals.retain(|drift| *drift != Drift::PanicAbort);
    }
    if !compatibility.refusals.is_empty() {
        return Err(Error::Incompatible { drifts: compatibility.refusals, sdk: compatibility.sdk });
    }
    let (said, is) = (&manifest.package, &record.package);
    if said.name != is.name || said.version != is.version {
        let manifest = format!("{} {}", said.name, said.version);
        return Err(Error::OtherPackage { manifest, record: format!("{} {}", is.name, is.version) });
    }
    Ok(Accepted { digest, manifest, target, record, warnings: compatibility.warnings, library })
}

/// A digest from the private place, where an earlier load put it.
///
/// # Errors
/// [`Error::NoCopy`] when its bytes are not there, or not those that were checked then.
pub fn from_cache(row: &ArtifactRow, cache: &Path, checks: &Checks) -> Result<VerifiedArtifact, Error> {
    let no_copy = |message: String| Error::NoCopy { digest: row.digest.clone(), message };
    let digest = Digest::parse(&row.digest).ok_or_else(|| no_copy("its digest is none".into()))?;
    let (Some(name), Some(sha256)) = (&row.library, &row.library_sha256) else {
        return Err(no_copy("an older release recorded it, without what the copy is checked against".into()));
    };
    let path = cache.join(digest.as_str()).join(name);
    let unreadable = |e: std::io::Error| no_copy(format!("{}: {e}", path.display()));
    let stamp = Stamp::of(&path).map_err(unreadable)?;
    let bytes = fs::read(&path).map_err(unreadable)?;
    if sha256_hex(&bytes) != *sha256 {
        return Err(no_copy(format!("{} was changed", path.display())));
    }
    let library = PackedLibrary { name: name.clone(), bytes, sha256: sha256.clone() };
    let accepted = check(digest, Some(Manifest::parse(&row.manifest)?), row.target.clone(), library, checks)?;
    Ok(accepted.at(path, stamp))
}

/// The manifest of a bare library.
fn manifest_of(record: &StaticRecord) -> Result<Manifest, Error> {
    let package = &record.package;
    let manifest = Manifest {
        package: PackageSection {
            name: package.name.clone(),
            version: package.version.clone(),
            description: package.description.clone(),
            authors: package.authors.split(':').filter(|a| !a.is_empty()).map(str::to_owned).collect(),
            license: package.license.clone(),
            sdk: package.sdk.clone(),
            interface: package.interface_version,
            isolation: Isolation::default(),
        },
        limits: Limits::default(),
        on_upgrade: BTreeMap::new(),
    };
    // The record comes from a stranger: it goes through the same checks as a manifest's text.
    Ok(Manifest::parse(&manifest.to_toml())?)
}

impl Accepted {
    /// Puts the library into the private place under its digest. What is there already is compared, and
    /// written anew when it differs; a file that is mapped is never overwritten, it is replaced.
    ///
    /// # Errors
    /// [`Error::Copy`].
    pub fn store(self, cache: &Path) -> Result<VerifiedArtifact, Error> {
        let folder = cache.join(self.digest.as_str());
        let path = folder.join(&self.library.name);
        let failed = |source| Error::Copy { path: path.clone(), source };
        private_folder(&folder).map_err(failed)?;
        let stamp = match stamp_of_same(&path, &self.library.bytes) {
            Some(stamp) => stamp,
            None => {
                write_atomically(&folder, &path, &self.library.bytes).map_err(failed)?;
                // Nobody but this user can have come in between.
                Stamp::of(&path).map_err(failed)?
            }
        };
        fail::fail_point!("reconciler.copied");
        Ok(self.at(path, stamp))
    }

    fn at(self, path: PathBuf, stamp: Stamp) -> VerifiedArtifact {
        VerifiedArtifact {
            digest: self.digest,
            manifest: self.manifest,
            target: self.target,
            bytes: self.library.bytes.len() as u64,
            sha256: self.library.sha256,
            record: self.record,
            path,
            stamp,
        }
    }
}

/// The stamp of a file, when it has these bytes. Taken before they are read: what changes afterwards has another.
fn stamp_of_same(path: &Path, bytes: &[u8]) -> Option<Stamp> {
    let stamp = Stamp::of(path).ok()?;
    fs::read(path).is_ok_and(|there| there == bytes).then_some(stamp)
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
        // Not synced: a copy that power loss damaged is found out before it is opened, and written anew.
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

    /// The target.
    pub fn target(&self) -> &str {
        &self.target
    }

    /// The same digest at a path of its own. Opening a path that is still mapped gives the library that is mapped,
    /// which is bound to its old generation.
    ///
    /// # Errors
    /// [`Error::Copy`], [`Error::Changed`].
    pub(crate) fn at_own_path(&self, number: usize) -> Result<Self, Error> {
        let folder = self.path.with_file_name(format!("again-{number}"));
        let path = folder.join(self.library_name());
        let failed = |source| Error::Copy { path: path.clone(), source };
        let bytes = fs::read(&self.path).map_err(failed)?;
        if sha256_hex(&bytes) != self.sha256 {
            return Err(Error::Changed { path: self.path.clone() });
        }
        private_folder(&folder).map_err(failed)?;
        write_atomically(&folder, &path, &bytes).map_err(failed)?;
        let stamp = Stamp::of(&path).map_err(failed)?;
        Ok(Self { path, stamp, ..self.clone() })
    }

    /// Whether the private copy is the file that was checked.
    pub(crate) fn is_unchanged(&self) -> bool {
        Stamp::of(&self.path).is_ok_and(|stamp| stamp == self.stamp)
    }

    /// What the private copy looked like when it was checked.
    pub(crate) fn stamp(&self) -> Stamp {
        self.stamp
    }

    /// The private copy.
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

    /// What the library says about itself.
    pub fn record(&self) -> &StaticRecord {
        &self.record
    }

    /// The entries the record declares.
    pub fn declared(&self) -> Declared {
        Declared::of_record(&self.record)
    }
}
