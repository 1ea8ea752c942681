//! Reading a package file: what it is and says, without a judgement.

use crate::artifact::policy::VerifyOptions;
use crate::error::Error;
use longshore_package::{
    Archive, Digest, Error as PackageError, Isolation, Limits, Manifest, PackageSection, PackedLibrary,
    StaticRecord, digest_of_files, host_target, sha256_hex, target_path,
};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::BufReader;
use std::path::Path;

/// The build of a package that is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Build {
    /// That for this host.
    OfHost,
    /// That for this host, or else the first: to look at.
    Any,
    /// That for a target triple.
    Of(String),
}

/// A package file that was read: no host has judged it.
#[derive(Debug)]
pub struct ReadPackage {
    /// The digest.
    pub digest: Digest,
    /// The manifest; of a bare library, the one that its record amounts to.
    pub manifest: Manifest,
    /// The target triple of the build that was read.
    pub target: String,
    /// All targets that it has builds for, sorted.
    pub targets: Vec<String>,
    /// The library's static record.
    pub record: StaticRecord,
    pub(super) library: PackedLibrary,
    /// The open archive, for its assets; none for a bare library.
    pub(super) archive: Option<Archive<BufReader<File>>>,
}

impl ReadPackage {
    /// The paths of its assets, each of which begins with `assets/`.
    pub fn assets(&self) -> Vec<String> {
        self.archive.as_ref().map(Archive::assets).unwrap_or_default()
    }
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
    let package = read(path, &Build::OfHost, options)?;
    Ok((package.digest, package.manifest.package))
}

fn is_archive(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "longshore")
}

/// Reads a file: an archive, or a bare library.
///
/// # Errors
/// [`Error::Package`].
pub fn read(path: &Path, build: &Build, options: &VerifyOptions) -> Result<ReadPackage, Error> {
    if is_archive(path) { read_archive(path, build, options) } else { read_library(path, build, options) }
}

fn read_archive(path: &Path, build: &Build, options: &VerifyOptions) -> Result<ReadPackage, Error> {
    let mut archive = Archive::open(path, options.limits)?;
    let targets = archive.targets();
    let own = host_target();
    let target = match build {
        Build::Of(target) => target.clone(),
        Build::Any if !targets.contains(&own) => targets.first().cloned().unwrap_or(own),
        Build::OfHost | Build::Any => own,
    };
    let library = archive.library(&target)?;
    let record = StaticRecord::of_library(&library.bytes)?;
    let (digest, manifest) = (archive.digest().clone(), archive.manifest().clone());
    Ok(ReadPackage { digest, manifest, target, targets, record, library, archive: Some(archive) })
}

fn read_library(path: &Path, build: &Build, options: &VerifyOptions) -> Result<ReadPackage, Error> {
    let unreadable = |source| PackageError::Read { path: path.to_owned(), source };
    let size = fs::metadata(path).map_err(unreadable)?.len();
    if size > options.limits.entry_bytes {
        let (what, limit) = ("the library".to_owned(), options.limits.entry_bytes);
        return Err(PackageError::OverLimit { what, actual: size, limit }.into());
    }
    let bytes = fs::read(path).map_err(unreadable)?;
    let record = StaticRecord::of_library(&bytes)?;
    let target = match build {
        Build::Of(target) => target.clone(),
        Build::Any if !record.package.target.is_empty() => record.package.target.clone(),
        Build::OfHost | Build::Any => host_target(),
    };
    let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    let sha256 = sha256_hex(&bytes);
    let digest = digest_of_files([(target_path(&target, &name).as_str(), sha256.as_str())]);
    let (manifest, targets) = (manifest_of(&record)?, vec![target.clone()]);
    let library = PackedLibrary { name, bytes, sha256 };
    Ok(ReadPackage { digest, manifest, target, targets, record, library, archive: None })
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
