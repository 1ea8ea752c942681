//! The checks before loading: archive, digest, manifest, target, private copy, static record, compatibility.

use crate::error::Error;
use longshore_package::{
    Archive, ArchiveLimits, Declared, Digest, Error as PackageError, Limits, Manifest, PackageSection,
    Policy, StaticRecord, check_compatibility, host_target, sha256_hex, target_path,
};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

/// What the checks go by.
#[derive(Debug, Clone, Default)]
pub struct Checks {
    /// Limits on archives.
    pub limits: ArchiveLimits,
    /// What to do about findings that do not make calls wrong.
    pub policy: Policy,
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
    pub warnings: Vec<longshore_package::Drift>,
    library_name: String,
    library: Vec<u8>,
}

/// A library in the host's private place, with the bytes that were checked. Only [`Accepted::store`] makes
/// one, and loading takes nothing else.
#[derive(Debug, Clone)]
pub struct VerifiedArtifact {
    digest: Digest,
    manifest: Manifest,
    target: String,
    path: PathBuf,
    bytes: u64,
    record: StaticRecord,
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
        let (name, library) = archive.library(&target)?;
        let (digest, manifest) = (archive.digest().clone(), archive.manifest().clone());
        return check(digest, Some(manifest), target, name, library, checks);
    }
    let read = |source| PackageError::Read { path: path.to_owned(), source };
    let bytes = fs::metadata(path).map_err(read)?.len();
    if bytes > checks.limits.entry_bytes {
        let (what, limit) = ("the library".to_owned(), checks.limits.entry_bytes);
        return Err(PackageError::OverLimit { what, actual: bytes, limit }.into());
    }
    let library = fs::read(path).map_err(read)?;
    let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    let digest = Digest::of_files([(target_path(&target, &name).as_str(), sha256_hex(&library).as_str())]);
    check(digest, None, target, name, library, checks)
}

fn check(
    digest: Digest,
    manifest: Option<Manifest>,
    target: String,
    library_name: String,
    library: Vec<u8>,
    checks: &Checks,
) -> Result<Accepted, Error> {
    let record = StaticRecord::of_library(&library)?;
    let compatibility = check_compatibility(&record.package, checks.policy);
    if !compatibility.refusals.is_empty() {
        return Err(Error::Incompatible { drifts: compatibility.refusals, sdk: compatibility.sdk });
    }
    let manifest = match manifest {
        Some(manifest) => manifest,
        None => manifest_of(&record)?,
    };
    Ok(Accepted { digest, manifest, target, record, warnings: compatibility.warnings, library_name, library })
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
        },
        limits: Limits::default(),
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
        let path = folder.join(&self.library_name);
        let failed = |source| Error::Copy { path: path.clone(), source };
        private_folder(&folder).map_err(failed)?;
        let same = fs::read(&path).is_ok_and(|bytes| bytes == self.library);
        if !same {
            write_atomically(&folder, &path, &self.library).map_err(failed)?;
        }
        fail::fail_point!("reconciler.copied");
        Ok(VerifiedArtifact {
            digest: self.digest,
            manifest: self.manifest,
            target: self.target,
            bytes: self.library.len() as u64,
            record: self.record,
            path,
        })
    }
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
        let mut file = fs::File::create(&temporary)?;
        file.write_all(bytes)?;
        file.sync_all()?;
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

    /// The private copy.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Size of the library.
    pub fn bytes(&self) -> u64 {
        self.bytes
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
