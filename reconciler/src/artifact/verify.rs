//! The checks of a package before its library is mapped.

use crate::artifact::assets::Assets;
use crate::artifact::cache::{self, FileIdentity, VerifiedArtifact};
use crate::artifact::policy::VerifyOptions;
use crate::artifact::read::{Build, ReadPackage, manifest_of, read};
use crate::artifact::trust::now_ms;
use crate::artifact::warning::Warning;
use crate::error::Error;
use longshore_package::trust::{Decision, Signature};
use longshore_package::{
    Archive, Digest, Drift, Isolation, MANIFEST_PATH, Manifest, PackedLibrary, SUMS_PATH, StaticRecord, Sums,
    check_compatibility, digest_of_files, is_never_unmapped, sha256_hex, target_path,
};
use longshore_store::ArtifactRow;
use std::fs::{self, File};
use std::io::BufReader;
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
    /// What the trust policy says about it.
    pub trust: Decision,
    judged_at: i64,
    library: PackedLibrary,
    archive: Option<Archive<BufReader<File>>>,
}

/// Reads and checks a file: an archive, or a bare library.
///
/// # Errors
/// [`Error::Package`], [`Error::Untrusted`], [`Error::TrustPolicy`], [`Error::Incompatible`].
pub fn verify(path: &Path, options: &VerifyOptions) -> Result<VerifiedPackage, Error> {
    check(read(path, &Build::OfHost, options)?, options)
}

fn check(mut package: ReadPackage, options: &VerifyOptions) -> Result<VerifiedPackage, Error> {
    let judged_at = options.taken_in_at.unwrap_or_else(now_ms);
    let trust = package.subject().admit(options.trust.as_deref(), judged_at)?;
    let library = package.take_library()?;
    let ReadPackage { digest, manifest, target, record, signatures, archive, .. } = package;
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
    if let Decision::Untrusted { reasons, .. } = &trust {
        warnings.push(Warning::Untrusted { reasons: reasons.clone() });
    }
    Ok(VerifiedPackage {
        digest,
        manifest,
        target,
        record,
        warnings,
        signatures,
        trust,
        judged_at,
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
    let record = StaticRecord::of_library(&bytes)?;
    let (manifest, assets) = match of_digest(row, name, sha256, cache).map_err(miss)? {
        Some((manifest, assets)) => (manifest, Some(assets)),
        None => (manifest_of(&record)?, None),
    };
    let library = Some(PackedLibrary { name: name.clone(), bytes, sha256: sha256.clone() });
    let signatures = Signature::parse_all(&row.signatures, "the record of its signatures")?;
    let target = row.target.clone();
    let targets = vec![target.clone()];
    let package =
        ReadPackage { digest, manifest, targets, target, record, signatures, library, archive: None };
    Ok(check(package, options)?.at(path, identity, assets))
}

/// Stores the assets of an archive beside its library, and manifest and sums: what a digest stands for is compared with them
/// when it is read again.
fn store_assets(archive: &mut Archive<BufReader<File>>, folder: &Path) -> Result<Assets, Error> {
    for path in archive.assets() {
        let bytes = archive.file(&path)?;
        let (below, name) = path.rsplit_once('/').unwrap_or(("", &path));
        cache::write(&folder.join(below), name, &bytes)?;
    }
    cache::write(folder, MANIFEST_PATH, &archive.file(MANIFEST_PATH)?)?;
    cache::write(folder, SUMS_PATH, archive.sums().to_text().as_bytes())?;
    Ok(Assets::new(folder.to_owned(), archive.digest().clone()))
}

/// Manifest and assets of a cached digest, whose library has to be the one with this sum, whatever the database says; none of a
/// bare library, whose digest is that of its one file.
fn of_digest(
    row: &ArtifactRow,
    library: &str,
    sha256: &str,
    cache: &Path,
) -> Result<Option<(Manifest, Assets)>, String> {
    let path = target_path(&row.target, library);
    if digest_of_files([(path.as_str(), sha256)]) == row.digest {
        return Ok(None);
    }
    let folder = cache.join(row.digest.as_str());
    let read = |name: &str| {
        let file = folder.join(name);
        fs::read_to_string(&file).map_err(|e| format!("{}: {e}", file.display()))
    };
    let (sums, manifest) = (read(SUMS_PATH)?, read(MANIFEST_PATH)?);
    let sums = Sums::parse(&sums).ok().filter(|sums| sums.digest() == row.digest);
    let sums = sums.ok_or_else(|| format!("{} was changed", folder.join(SUMS_PATH).display()))?;
    let is_packed = |path: &str, sum: &str| sums.of(path) == Some(sum);
    if !is_packed(&path, sha256) || !is_packed(MANIFEST_PATH, &sha256_hex(manifest.as_bytes())) {
        return Err("its library or its manifest is not that of its digest".to_owned());
    }
    let manifest = Manifest::parse(&manifest).map_err(|e| e.to_string())?;
    Ok(Some((manifest, Assets::new(folder, row.digest.clone()))))
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
            Some(mut archive) => Some(store_assets(&mut archive, &folder)?),
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
            signatures: self.signatures,
            trust: self.trust,
            judged_at: self.judged_at,
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
