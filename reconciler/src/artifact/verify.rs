//! Reading and checking a package file.

use crate::artifact::cache::{self, FileIdentity, VerifiedArtifact};
use crate::artifact::policy::VerifyOptions;
use crate::error::Error;
use longshore_package::{
    Archive, Digest, Drift, Error as PackageError, Isolation, Limits, Manifest, PackageSection,
    PackedLibrary, StaticRecord, check_compatibility, digest_of_files, host_target, is_never_unmapped,
    sha256_hex, target_path,
};
use longshore_store::ArtifactRow;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// A package file that was read and checked, its library not yet in the artifact cache.
#[derive(Debug)]
pub struct VerifiedPackage {
    /// The digest.
    pub digest: Digest,
    /// The manifest; of a bare library, the one that its record amounts to.
    pub manifest: Manifest,
    /// The target triple.
    pub target: String,
    /// The library's static record.
    pub record: StaticRecord,
    /// Drifts that do not make calls wrong.
    pub warnings: Vec<Drift>,
    library: PackedLibrary,
}

/// Reads a file's digest and name without unpacking its libraries.
///
/// # Errors
/// [`Error::Package`].
pub fn identify(path: &Path, options: &VerifyOptions) -> Result<(Digest, PackageSection), Error> {
    if is_archive(path) {
        let archive = Archive::open(path, options.limits)?;
        return Ok((archive.digest().clone(), archive.manifest().package.clone()));
    }
    let package = verify(path, options)?;
    Ok((package.digest, package.manifest.package))
}

fn is_archive(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "longshore")
}

/// Reads and checks a file: an archive, or a bare library.
///
/// # Errors
/// [`Error::Package`], [`Error::Incompatible`].
pub fn verify(path: &Path, options: &VerifyOptions) -> Result<VerifiedPackage, Error> {
    verify_for(host_target(), path, options)
}

/// The targets that a file has builds for, sorted; none when it is a bare library.
///
/// # Errors
/// [`Error::Package`].
pub fn targets(path: &Path, options: &VerifyOptions) -> Result<Vec<String>, Error> {
    if !is_archive(path) {
        return Ok(Vec::new());
    }
    Ok(Archive::open(path, options.limits)?.targets())
}

/// As [`verify`], for a target that need not be this host's: what is for another one can be looked at.
///
/// # Errors
/// Those of [`verify`].
pub fn verify_for(target: String, path: &Path, options: &VerifyOptions) -> Result<VerifiedPackage, Error> {
    let is_only_read = target != host_target();
    if is_archive(path) {
        let mut archive = Archive::open(path, options.limits)?;
        let library = archive.library(&target)?;
        let (digest, manifest) = (archive.digest().clone(), archive.manifest().clone());
        return check(digest, Some(manifest), target, library, options, is_only_read);
    }
    let read = |source| PackageError::Read { path: path.to_owned(), source };
    let size = fs::metadata(path).map_err(read)?.len();
    if size > options.limits.entry_bytes {
        let (what, limit) = ("the library".to_owned(), options.limits.entry_bytes);
        return Err(PackageError::OverLimit { what, actual: size, limit }.into());
    }
    let bytes = fs::read(path).map_err(read)?;
    let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    let sha256 = sha256_hex(&bytes);
    let digest = digest_of_files([(target_path(&target, &name).as_str(), sha256.as_str())]);
    check(digest, None, target, PackedLibrary { name, bytes, sha256 }, options, is_only_read)
}

fn check(
    digest: Digest,
    manifest: Option<Manifest>,
    target: String,
    library: PackedLibrary,
    options: &VerifyOptions,
    is_only_read: bool,
) -> Result<VerifiedPackage, Error> {
    let record = StaticRecord::of_library(&library.bytes)?;
    record.check_names()?;
    let mut compatibility = check_compatibility(&record.package, options.policy);
    if is_only_read {
        compatibility.refusals.retain(|drift| !matches!(drift, Drift::Platform { .. }));
    }
    let manifest = match manifest {
        Some(manifest) => manifest,
        None => manifest_of(&record)?,
    };
    if options.isolation.of(&manifest) == Isolation::Process {
        // A panic ends the package's own process, not this one.
        compatibility.refusals.retain(|drift| *drift != Drift::PanicAbort);
    } else if is_never_unmapped(&library.bytes) {
        compatibility.warnings.push(Drift::NeverUnmapped);
    }
    if !compatibility.refusals.is_empty() {
        return Err(Error::Incompatible { drifts: compatibility.refusals, sdk: compatibility.sdk });
    }
    let (stated, recorded) = (&manifest.package, &record.package);
    if stated.name != *recorded.name || stated.version != recorded.version {
        let manifest = format!("{} {}", stated.name, stated.version);
        return Err(Error::OtherPackage {
            manifest,
            record: format!("{} {}", recorded.name, recorded.version),
        });
    }
    let warnings = compatibility.warnings;
    Ok(VerifiedPackage { digest, manifest, target, record, warnings, library })
}

/// A digest from the artifact cache, where an earlier load stored it.
///
/// # Errors
/// [`Error::CacheMiss`] when its bytes are not there, or not those that were verified then.
pub fn from_cache(
    row: &ArtifactRow,
    cache: &Path,
    options: &VerifyOptions,
) -> Result<VerifiedArtifact, Error> {
    let digest = row.digest.clone();
    let miss = |message: String| Error::CacheMiss { digest: row.digest.clone(), message };
    let (Some(name), Some(sha256)) = (&row.library, &row.library_sha256) else {
        return Err(miss("it was evicted".into()));
    };
    if !is_plain_name(name) {
        return Err(miss(format!("`{name}` is not the name of a file")));
    }
    let path = cache.join(digest.as_str()).join(name);
    let unreadable = |e: std::io::Error| miss(format!("{}: {e}", path.display()));
    let identity = FileIdentity::of(&path).map_err(unreadable)?;
    let bytes = fs::read(&path).map_err(unreadable)?;
    if sha256_hex(&bytes) != *sha256 {
        return Err(miss(format!("{} was changed", path.display())));
    }
    let library = PackedLibrary { name: name.clone(), bytes, sha256: sha256.clone() };
    let manifest = Manifest::parse(&row.manifest)?;
    let package = check(digest, Some(manifest), row.target.clone(), library, options, false)?;
    Ok(package.at(path, identity))
}

/// True of a file's name without a folder: whoever may write to the database must not choose another place.
fn is_plain_name(name: &str) -> bool {
    let mut parts = Path::new(name).components();
    matches!((parts.next(), parts.next()), (Some(std::path::Component::Normal(part)), None) if part == name)
}

/// The manifest of a bare library.
fn manifest_of(record: &StaticRecord) -> Result<Manifest, Error> {
    let package = &record.package;
    let manifest = Manifest {
        package: PackageSection {
            name: package.name.as_str().into(),
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
    // The record comes from a stranger: it passes the same checks as a manifest's text.
    Ok(Manifest::parse(&manifest.to_toml())?)
}

impl VerifiedPackage {
    /// Stores the library in the artifact cache, under its digest.
    ///
    /// # Errors
    /// [`Error::CacheWrite`].
    pub fn store(self, cache: &Path) -> Result<VerifiedArtifact, Error> {
        let folder = cache.join(self.digest.as_str());
        let (path, identity) = cache::write(&folder, &self.library.name, &self.library.bytes)?;
        fail::fail_point!("reconciler.cached");
        Ok(self.at(path, identity))
    }

    fn at(self, path: PathBuf, identity: FileIdentity) -> VerifiedArtifact {
        VerifiedArtifact {
            digest: self.digest,
            manifest: self.manifest,
            target: self.target,
            bytes: self.library.bytes.len() as u64,
            sha256: self.library.sha256,
            record: self.record,
            path,
            identity,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recorded_name_leads_nowhere_else() {
        assert!(is_plain_name("libhello.so") && is_plain_name("..so"));
        for name in ["", ".", "..", "/etc/passwd", "../../libevil.so", "a/b", "a/", "./a"] {
            assert!(!is_plain_name(name), "{name}");
        }
    }
}
