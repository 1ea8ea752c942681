//! Publishing: the archive first, then the index.

use crate::blocking::blocking;
use crate::error::Error;
use crate::index::{Edit, Index, Release};
use crate::registry::Registry;
use longshore_package::trust::Signature;
use longshore_package::{Archive, ArchiveLimits, PackageName, sha256_of_file};
use semver::Version;
use std::path::Path;

impl Release {
    /// Its signatures that an archive of it has not inside.
    ///
    /// # Errors
    /// [`Error::Package`].
    pub fn signatures_beside(&self, archive: &Path) -> Result<Vec<Signature>, Error> {
        let inside = Archive::open(archive, ArchiveLimits::default())?.signatures()?;
        let mut beside = self.parsed_signatures()?;
        beside.retain(|signature| inside.iter().all(|other| !other.is_of_same_key(signature)));
        Ok(beside)
    }
}

/// The result of publishing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Published {
    /// The index as it is now.
    pub index: Index,
    /// The release in it.
    pub release: Release,
    /// True when the archive was brought; false when the registry had it.
    pub uploaded: bool,
}

/// The release that an archive makes, with its signatures and further ones that lie beside it.
///
/// # Errors
/// [`Error::Package`] when it does not read or a file of it was changed; [`Error::Edit`] when its version is none;
/// [`Error::File`].
pub fn release_of(file: &Path, beside: &[Signature], now: i64) -> Result<(PackageName, Release), Error> {
    let read = |source| Error::File { path: file.to_owned(), source };
    let mut archive = Archive::open(file, ArchiveLimits::default())?;
    // Hosts refuse what is not whole.
    archive.check_files()?;
    let mut signatures = archive.signatures()?;
    for signature in beside {
        if signatures.iter().all(|other| !other.is_of_same_key(signature)) {
            signatures.push(signature.clone());
        }
    }
    let package = archive.manifest().package.clone();
    let version = Version::parse(&package.version).map_err(|error| {
        let message = format!("the version `{}` is none: {error}", package.version);
        Error::Edit { name: package.name.clone(), message }
    })?;
    let sha256 = sha256_of_file(file).map_err(read)?;
    let release = Release {
        version,
        digest: archive.digest().clone(),
        sha256,
        bytes: std::fs::metadata(file).map_err(read)?.len(),
        targets: archive.targets(),
        signatures: signatures.iter().map(Signature::armored).collect(),
        published_at: now,
        yanked: None,
    };
    Ok((package.name, release))
}

/// Publishes an archive. Whoever publishes the same package again adds its new signatures, and brings again what was lost.
///
/// # Errors
/// [`Error::VersionTaken`] when the version stands for another digest; those of [`release_of`] and of the registry.
pub async fn publish(
    registry: &dyn Registry,
    file: &Path,
    beside: &[Signature],
    now: i64,
) -> Result<Published, Error> {
    let (path, beside) = (file.to_owned(), beside.to_vec());
    let (name, release) = blocking(move || release_of(&path, &beside, now)).await?;
    publish_release(registry, &name, release, file).await
}

pub(crate) async fn publish_release(
    registry: &dyn Registry,
    name: &PackageName,
    mut release: Release,
    file: &Path,
) -> Result<Published, Error> {
    let known = match registry.index(name).await {
        Ok(index) => index.release(&release.version).cloned(),
        Err(Error::NoPackage { .. }) => None,
        Err(error) => return Err(error),
    };
    if known.as_ref().is_some_and(|known| known.digest != release.digest) {
        return Err(Error::VersionTaken { name: name.clone(), version: release.version });
    }
    let mut uploaded = true;
    if let Some(known) = known
        && registry.has(name, &known).await?
    {
        (release.sha256, release.bytes, uploaded) = (known.sha256, known.bytes, false);
    }
    if uploaded {
        registry.upload(name, &release, file).await?;
    }
    let index = registry.edit(name, Edit::Release(Box::new(release.clone()))).await?;
    let release = index.release(&release.version).cloned().unwrap_or(release);
    Ok(Published { index, release, uploaded })
}
