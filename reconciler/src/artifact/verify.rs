//! The checks of a package before its library is mapped.

use crate::artifact::assets::Assets;
use crate::artifact::cache::{self, FileIdentity, VerifiedArtifact};
use crate::artifact::policy::VerifyOptions;
use crate::artifact::read::{Build, ReadPackage, read};
use crate::error::Error;
use longshore_package::{
    Archive, Digest, Drift, Isolation, Manifest, PackedLibrary, SUMS_PATH, StaticRecord, Sums,
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
    /// Drifts that do not make calls wrong.
    pub warnings: Vec<Drift>,
    library: PackedLibrary,
    archive: Option<Archive<BufReader<File>>>,
}

/// Reads and checks a file: an archive, or a bare library.
///
/// # Errors
/// [`Error::Package`], [`Error::Incompatible`].
pub fn verify(path: &Path, options: &VerifyOptions) -> Result<VerifiedPackage, Error> {
    check(read(path, &Build::OfHost, options)?, options)
}

fn check(package: ReadPackage, options: &VerifyOptions) -> Result<VerifiedPackage, Error> {
    let ReadPackage { digest, manifest, target, record, library, archive, .. } = package;
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
    let warnings = compatibility.warnings;
    Ok(VerifiedPackage { digest, manifest, target, record, warnings, library, archive })
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
    let record = StaticRecord::of_library(&library.bytes)?;
    let target = row.target.clone();
    let targets = vec![target.clone()];
    let package = ReadPackage { digest, manifest, targets, target, record, library, archive: None };
    let assets = assets_of(&package, cache).map_err(miss)?;
    Ok(check(package, options)?.at(path, identity, assets))
}

/// Stores the assets of an archive beside its library, and the sums that they are compared with when they are read.
fn store_assets(archive: &mut Archive<BufReader<File>>, folder: &Path) -> Result<Assets, Error> {
    for path in archive.assets() {
        let bytes = archive.file(&path)?;
        let (below, name) = path.rsplit_once('/').unwrap_or(("", &path));
        cache::write(&folder.join(below), name, &bytes)?;
    }
    cache::write(folder, SUMS_PATH, archive.sums().to_text().as_bytes())?;
    Ok(Assets::new(folder.to_owned(), archive.digest().clone()))
}

/// The assets of a cached package; none of a bare library, whose digest is that of its one file.
fn assets_of(package: &ReadPackage, cache: &Path) -> Result<Option<Assets>, String> {
    let PackedLibrary { name, sha256, .. } = &package.library;
    let path = target_path(&package.target, name);
    if digest_of_files([(path.as_str(), sha256.as_str())]) == package.digest {
        return Ok(None);
    }
    let folder = cache.join(package.digest.as_str());
    let file = folder.join(SUMS_PATH);
    let text = fs::read_to_string(&file).map_err(|e| format!("{}: {e}", file.display()))?;
    match Sums::parse(&text) {
        Ok(sums) if sums.digest() == package.digest && sums.of(&path) == Some(sha256) => {
            Ok(Some(Assets::new(folder, package.digest.clone())))
        }
        _ => Err(format!("{} was changed", file.display())),
    }
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
