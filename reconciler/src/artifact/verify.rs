//! The checks of a package before its library is mapped.

use crate::artifact::assets::{AssetProblem, Assets};
use crate::artifact::cache::{self, FileIdentity, VerifiedArtifact};
use crate::artifact::policy::{Recorded, VerifyOptions};
use crate::artifact::read::{BuildChoice, ReadPackage, manifest_of, read};
use crate::artifact::trust::{merge, now_ms};
use crate::artifact::warning::Warning;
use crate::error::Error;
use longshore_package::trust::{Admission, Signature};
use longshore_package::{
    Archive, Digest, Drift, Isolation, MANIFEST_PATH, Manifest, PackedLibrary, SUMS_PATH, StaticRecord, Sums,
    check_compatibility, digest_of_files, host_target, is_never_unmapped, sha256_hex, target_path,
};
use longshore_store::ArtifactRow;
use std::fs::{self, File};
use std::io::{BufReader, ErrorKind};
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
    /// Findings that do not keep it from being loaded.
    pub warnings: Vec<Warning>,
    /// Its signatures.
    pub signatures: Vec<Signature>,
    /// The result of the trust policy.
    pub admission: Admission,
    taken_in_at: i64,
    library: PackedLibrary,
    archive: Option<Archive<BufReader<File>>>,
}

/// Reads and checks a file: an archive, or a bare library.
///
/// # Errors
/// [`Error::Package`], [`Error::Untrusted`], [`Error::TrustPolicy`], [`Error::Incompatible`].
pub fn verify(path: &Path, options: &VerifyOptions) -> Result<VerifiedPackage, Error> {
    check(read(path, &BuildChoice::OfHost, options)?, options)
}

fn check(mut package: ReadPackage, options: &VerifyOptions) -> Result<VerifiedPackage, Error> {
    // Recorded ones come first: there is a limit, and no copy of the package crowds them out.
    let mut signatures = options.recorded.as_ref().map(|known| known.signatures.clone()).unwrap_or_default();
    merge(&mut signatures, &package.signatures, &package.digest);
    let others = package.signatures.drain(..).filter(|signature| !signature.is_of(&package.digest));
    let others: Vec<Signature> = others.collect();
    package.signatures = signatures.iter().cloned().chain(others).collect();
    let taken_in_at = options.recorded.as_ref().map_or_else(now_ms, |known| known.taken_in_at);
    let admission = package.subject().admit(options.trust_policy.as_deref(), taken_in_at)?;
    let library = package.take_library()?;
    let ReadPackage { digest, manifest, target, record, archive, .. } = package;
    record.check_names()?;
    let mut compatibility = check_compatibility(&record.package, options.policy);
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
    let mut warnings: Vec<Warning> = compatibility.warnings.into_iter().map(Warning::Drift).collect();
    if let Admission::Untrusted { reasons, .. } = &admission {
        warnings.push(Warning::Untrusted { reasons: reasons.clone() });
    }
    Ok(VerifiedPackage {
        digest,
        manifest,
        target,
        record,
        warnings,
        signatures,
        admission,
        taken_in_at,
        library,
        archive,
    })
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
    let cached = CachedFiles::of(row, &cache.join(digest.as_str())).map_err(miss)?;
    let CachedFiles { path, sha256, target, packed } = cached;
    let unreadable = |e: std::io::Error| miss(format!("{}: {e}", path.display()));
    let identity = FileIdentity::of(&path).map_err(unreadable)?;
    let bytes = fs::read(&path).map_err(unreadable)?;
    if sha256_hex(&bytes) != sha256 {
        return Err(miss(format!("{} was changed", path.display())));
    }
    let record = StaticRecord::of_library(&bytes)?;
    let (manifest, assets) = match packed {
        Some((manifest, assets)) => (manifest, Some(assets)),
        None => (manifest_of(&record)?, None),
    };
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let library = Some(PackedLibrary { name, bytes, sha256 });
    let signatures = recorded_signatures(row)?;
    // Its signatures are in the package already.
    let recorded = Recorded { taken_in_at: row.first_added_at, signatures: Vec::new() };
    let options = VerifyOptions { recorded: Some(recorded), ..options.clone() };
    let targets = vec![target.clone()];
    let package =
        ReadPackage { digest, manifest, targets, target, record, signatures, library, archive: None };
    Ok(check(package, &options)?.at(path, identity, assets))
}

/// The signatures that the database has of a digest.
///
/// # Errors
/// [`Error::Package`] when they do not read.
pub fn recorded_signatures(row: &ArtifactRow) -> Result<Vec<Signature>, Error> {
    Ok(Signature::parse_all(&row.signatures, "the signatures recorded in the database")?)
}

/// The files of a cached digest, as far as they are bound to it, whatever the database says.
struct CachedFiles {
    /// The library.
    path: PathBuf,
    sha256: String,
    target: String,
    /// Manifest and assets; none of a bare library.
    packed: Option<(Manifest, Assets)>,
}

impl CachedFiles {
    fn of(row: &ArtifactRow, folder: &Path) -> Result<Self, String> {
        let (Some(library), Some(sha256)) = (&row.library, &row.library_sha256) else {
            return Err("it was evicted".to_owned());
        };
        let assets = Assets::new(folder.to_owned(), row.digest.clone());
        let fault = |name: &str, problem: AssetProblem| format!("{}: {problem}", folder.join(name).display());
        match assets.sums() {
            Ok(sums) => Self::of_archive(&sums, folder, assets, fault),
            Err(AssetProblem::Unreadable(error)) if error.kind() == ErrorKind::NotFound => {
                // Of a bare library, the digest is that of its one file.
                let packed = target_path(&row.target, library);
                if !is_plain_name(library)
                    || digest_of_files([(packed.as_str(), sha256.as_str())]) != row.digest
                {
                    return Err(fault(SUMS_PATH, AssetProblem::Unreadable(error)));
                }
                let (path, sha256, target) = (folder.join(library), sha256.clone(), row.target.clone());
                Ok(Self { path, sha256, target, packed: None })
            }
            Err(problem) => Err(fault(SUMS_PATH, problem)),
        }
    }

    /// Of an archive: the library for this host, which several hosts of one database may not have in common.
    fn of_archive(
        sums: &Sums,
        folder: &Path,
        assets: Assets,
        fault: impl Fn(&str, AssetProblem) -> String,
    ) -> Result<Self, String> {
        let read = |name: &str| assets.file(sums, name).map_err(|problem| fault(name, problem));
        let manifest =
            Manifest::parse(&String::from_utf8_lossy(&read(MANIFEST_PATH)?)).map_err(|e| e.to_string())?;
        sums.assets().try_for_each(|asset| read(asset).map(drop))?;
        let target = host_target();
        let library = sums.library_of(&target).ok_or_else(|| format!("it has no build for {target}"))?;
        let path = folder.join(library.rsplit('/').next().unwrap_or(library));
        let sha256 = sums.of(library).unwrap_or_default().to_owned();
        Ok(Self { path, sha256, target, packed: Some((manifest, assets)) })
    }
}

/// Stores assets, manifest and sums of an archive beside its library: what a digest stands for is compared with them
/// when it is read again.
fn store_files(archive: &mut Archive<BufReader<File>>, folder: &Path) -> Result<Assets, Error> {
    for path in archive.assets() {
        let bytes = archive.file(&path)?;
        let (below, name) = path.rsplit_once('/').unwrap_or(("", &path));
        cache::write(&folder.join(below), name, &bytes)?;
    }
    cache::write(folder, MANIFEST_PATH, &archive.file(MANIFEST_PATH)?)?;
    cache::write(folder, SUMS_PATH, archive.sums().to_text().as_bytes())?;
    Ok(Assets::new(folder.to_owned(), archive.digest().clone()))
}

/// True of a file's name without a folder: whoever may write to the database must not choose another place.
fn is_plain_name(name: &str) -> bool {
    let mut parts = Path::new(name).components();
    matches!((parts.next(), parts.next()), (Some(std::path::Component::Normal(part)), None) if part == name)
}

impl VerifiedPackage {
    /// Stores the library in the artifact cache, under its digest.
    ///
    /// # Errors
    /// [`Error::CacheWrite`].
    pub fn store(mut self, cache: &Path) -> Result<VerifiedArtifact, Error> {
        let folder = cache.join(self.digest.as_str());
        let (path, identity) = cache::write(&folder, &self.library.name, &self.library.bytes)?;
        let assets = match self.archive.take() {
            Some(mut archive) => Some(store_files(&mut archive, &folder)?),
            None => None,
        };
        fail::fail_point!("reconciler.cached");
        Ok(self.at(path, identity, assets))
    }

    fn at(self, path: PathBuf, identity: FileIdentity, assets: Option<Assets>) -> VerifiedArtifact {
        VerifiedArtifact {
            digest: self.digest,
            manifest: self.manifest,
            target: self.target,
            bytes: self.library.bytes.len() as u64,
            sha256: self.library.sha256,
            record: self.record,
            warnings: self.warnings,
            signatures: self.signatures,
            admission: self.admission,
            taken_in_at: self.taken_in_at,
            path,
            identity,
            assets,
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
