//! Reading a package file: what it is and says, without a judgement.

use crate::artifact::policy::VerifyOptions;
use crate::artifact::trust::{Subject, now_ms};
use crate::error::Error;
use longshore_package::trust::{
    Admission, JudgedSignature, MAX_SIGNATURE, MAX_SIGNATURES, Signature, TrustPolicy,
};
use longshore_package::{
    Archive, Digest, Error as PackageError, Isolation, Limits, Manifest, PackageSection, PackedLibrary,
    StaticRecord, check_signature_count, digest_of_files, host_target, read_text, sha256_hex, target_path,
};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufReader, ErrorKind};
use std::path::{Path, PathBuf};

/// The build of a package that is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BuildChoice {
    /// That for this host.
    OfHost,
    /// That for this host, or else the first: to look at.
    Any,
    /// That for a target triple.
    Of(String),
}

/// A package file that was read, unverified.
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
    /// Its signatures, inside and beside the file, unverified.
    pub signatures: Vec<Signature>,
    /// The library, as far as it was read; that of an archive is unpacked when it is asked for.
    pub(super) library: Option<PackedLibrary>,
    /// The open archive, for its assets; none for a bare library.
    pub(super) archive: Option<Archive<BufReader<File>>>,
}

impl ReadPackage {
    /// Judges its signatures by what counts now.
    pub fn judge(&self, trust: &TrustPolicy) -> Vec<JudgedSignature> {
        self.subject().judge(trust, now_ms())
    }

    /// The result of a policy for it, now.
    pub fn decide(&self, trust: &TrustPolicy) -> Admission {
        self.subject().decide(trust, now_ms())
    }

    /// The package as far as trust is concerned.
    pub(super) fn subject(&self) -> Subject<'_> {
        let (name, record) = (&self.manifest.package.name, &self.record);
        Subject { digest: &self.digest, name, record, signatures: &self.signatures }
    }

    /// The library, which has to have the record that was read.
    pub(super) fn take_library(&mut self) -> Result<PackedLibrary, Error> {
        if let Some(library) = self.library.take() {
            return Ok(library);
        }
        let target = self.target.clone();
        let other = PackageError::OtherRecord { target: target.clone() };
        let Some(archive) = &mut self.archive else { return Err(other.into()) };
        let library = archive.library(&target)?;
        if StaticRecord::of_library(&library.bytes)? != self.record {
            return Err(other.into());
        }
        Ok(library)
    }

    /// Compares every file of the archive with its sum, and each record with its library. Returns how many files there are; none
    /// of a bare library, which has no sums.
    ///
    /// # Errors
    /// [`Error::Package`] for the first that was changed.
    pub fn check_files(&mut self) -> Result<Option<usize>, Error> {
        match &mut self.archive {
            Some(archive) => Ok(Some(archive.check_files()?)),
            None => Ok(None),
        }
    }

    /// True of a library without an archive.
    pub fn is_library(&self) -> bool {
        self.archive.is_none()
    }

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
    let package = read(path, &BuildChoice::OfHost, options)?;
    Ok((package.digest, package.manifest.package))
}

fn is_archive(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "longshore")
}

/// Reads a file: an archive, or a bare library. The libraries of an archive are not unpacked.
///
/// # Errors
/// [`Error::Package`].
pub fn read(path: &Path, build: &BuildChoice, options: &VerifyOptions) -> Result<ReadPackage, Error> {
    let mut package = if is_archive(path) {
        read_archive(path, build, options)
    } else {
        read_library(path, build, options)
    }?;
    package.signatures.extend(detached_signatures(path)?);
    check_signature_count(package.signatures.len())?;
    Ok(package)
}

/// The signatures of a file, inside and beside it.
///
/// # Errors
/// [`Error::Package`].
pub(crate) fn signatures_of(path: &Path, options: &VerifyOptions) -> Result<Vec<Signature>, Error> {
    let mut signatures = Vec::new();
    if is_archive(path) {
        signatures = Archive::open(path, options.limits)?.signatures()?;
    }
    signatures.extend(detached_signatures(path)?);
    check_signature_count(signatures.len())?;
    Ok(signatures)
}

/// The file with the signatures that lie beside a package file.
pub fn signature_file(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(SIGNATURE_SUFFIX);
    PathBuf::from(name)
}

/// The end of the names of files with signatures.
pub(crate) const SIGNATURE_SUFFIX: &str = ".sig";

/// The signatures that lie beside a file.
///
/// # Errors
/// [`Error::Package`] when they do not read.
pub fn detached_signatures(path: &Path) -> Result<Vec<Signature>, Error> {
    let file = signature_file(path);
    let text = match read_text(&file, (MAX_SIGNATURE * MAX_SIGNATURES) as u64) {
        Ok(text) => text,
        Err(PackageError::Read { source, .. }) if source.kind() == ErrorKind::NotFound => {
            return Ok(Vec::new());
        }
        Err(error) => return Err(error.into()),
    };
    Ok(Signature::parse_all(&text, &file.display().to_string())?)
}

fn read_archive(path: &Path, build: &BuildChoice, options: &VerifyOptions) -> Result<ReadPackage, Error> {
    let mut archive = Archive::open(path, options.limits)?;
    let targets = archive.targets();
    let own = host_target();
    let target = match build {
        BuildChoice::Of(target) => target.clone(),
        BuildChoice::Any if !targets.contains(&own) => targets.first().cloned().unwrap_or(own),
        BuildChoice::OfHost | BuildChoice::Any => own,
    };
    let record = archive.record(&target)?;
    let signatures = archive.signatures()?;
    let (digest, manifest) = (archive.digest().clone(), archive.manifest().clone());
    let (library, archive) = (None, Some(archive));
    Ok(ReadPackage { digest, manifest, target, targets, record, signatures, library, archive })
}

fn read_library(path: &Path, build: &BuildChoice, options: &VerifyOptions) -> Result<ReadPackage, Error> {
    let unreadable = |source| PackageError::Read { path: path.to_owned(), source };
    let size = fs::metadata(path).map_err(unreadable)?.len();
    if size > options.limits.entry_bytes {
        let (what, limit) = ("the library".to_owned(), options.limits.entry_bytes);
        return Err(PackageError::OverLimit { what, actual: size, limit }.into());
    }
    let bytes = fs::read(path).map_err(unreadable)?;
    let record = StaticRecord::of_library(&bytes)?;
    let target = match build {
        BuildChoice::Of(target) => target.clone(),
        BuildChoice::Any if !record.package.target.is_empty() => record.package.target.clone(),
        BuildChoice::OfHost | BuildChoice::Any => host_target(),
    };
    let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    let sha256 = sha256_hex(&bytes);
    let digest = digest_of_files([(target_path(&target, &name).as_str(), sha256.as_str())]);
    let (manifest, targets) = (manifest_of(&record)?, vec![target.clone()]);
    let library = Some(PackedLibrary { name, bytes, sha256 });
    let signatures = Vec::new();
    Ok(ReadPackage { digest, manifest, target, targets, record, signatures, library, archive: None })
}

/// The manifest of a bare library.
pub(super) fn manifest_of(record: &StaticRecord) -> Result<Manifest, Error> {
    let package = &record.package;
    let manifest = Manifest {
        package: PackageSection {
            content: None,
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
