//! Fetching a release, and copying releases from one registry to another.

use crate::download::{Downloads, Fetched};
use crate::error::Error;
use crate::index::{Edit, Index, Release};
use crate::publish::publish_release;
use crate::registry::Registry;
use crate::requirement::{Requirement, Want};
use longshore_package::PackageName;

/// The release that a requirement gets, and its archive. With a target it has to have a build for that.
///
/// # Errors
/// [`Error::NoPackage`], [`Error::NoRelease`], [`Error::NoBuild`]; those of [`Downloads::get`].
pub async fn fetch(
    registry: &dyn Registry,
    requirement: &Requirement,
    target: Option<&str>,
    downloads: &Downloads,
) -> Result<(Release, Fetched), Error> {
    let index = registry.index(&requirement.name).await?;
    let release = requirement.resolve(&index)?.clone();
    let fetched = fetch_release(registry, &requirement.name, &release, target, downloads).await?;
    Ok((release, fetched))
}

/// The archive of a release. With a target the release has to have a build for that.
///
/// # Errors
/// [`Error::NoBuild`]; those of [`Downloads::get`].
pub async fn fetch_release(
    registry: &dyn Registry,
    name: &PackageName,
    release: &Release,
    target: Option<&str>,
    downloads: &Downloads,
) -> Result<Fetched, Error> {
    if let Some(target) = target {
        check_build(name, release, target)?;
    }
    downloads.get(registry, name, release).await
}

/// Refuses a release without a build for a target, before anything is downloaded.
fn check_build(name: &PackageName, release: &Release, target: &str) -> Result<(), Error> {
    if release.targets.iter().any(|one| one == target) {
        return Ok(());
    }
    let (version, target, targets) = (release.version.clone(), target.to_owned(), release.targets.clone());
    Err(Error::NoBuild { name: name.clone(), version, target, targets })
}

/// Copies what a requirement names: every release of a plain name, with channels and yanked ones, or else the one release that it
/// gets. Returns the releases that are there now, and the bytes that were downloaded.
///
/// # Errors
/// Those of [`fetch`], and of publishing.
pub async fn copy(
    from: &dyn Registry,
    to: &dyn Registry,
    requirement: &Requirement,
    downloads: &Downloads,
) -> Result<(Vec<Release>, u64), Error> {
    let (name, index) = (&requirement.name, from.index(&requirement.name).await?);
    let releases = match requirement.want {
        Want::Latest => index.releases.clone(),
        _ => vec![requirement.resolve(&index)?.clone()],
    };
    let mut downloaded = 0;
    for release in &releases {
        downloaded += copy_release(from, to, name, release, downloads).await?;
        copy_marks(to, name, release, &index).await?;
    }
    Ok((releases, downloaded))
}

async fn copy_release(
    from: &dyn Registry,
    to: &dyn Registry,
    name: &PackageName,
    release: &Release,
    downloads: &Downloads,
) -> Result<u64, Error> {
    if is_there(to, name, release).await? {
        return Ok(0);
    }
    let fetched = downloads.get(from, name, release).await?;
    publish_release(to, name, release.clone(), &fetched.path).await?;
    Ok(fetched.downloaded)
}

async fn is_there(to: &dyn Registry, name: &PackageName, release: &Release) -> Result<bool, Error> {
    let index = match to.index(name).await {
        Ok(index) => index,
        Err(Error::NoPackage { .. }) => return Ok(false),
        Err(error) => return Err(error),
    };
    match index.release(&release.version) {
        Some(known) if known.digest == release.digest && has_all(known, release) => to.has(name, known).await,
        _ => Ok(false),
    }
}

/// True when a release has every signature of another.
fn has_all(known: &Release, release: &Release) -> bool {
    release.signatures.iter().all(|signature| known.signatures.contains(signature))
}

/// The channels and the yank of a release.
async fn copy_marks(
    to: &dyn Registry,
    name: &PackageName,
    release: &Release,
    index: &Index,
) -> Result<(), Error> {
    let Release { version, yanked, .. } = release;
    // A yank of the target stays: whoever made it had a reason.
    if yanked.is_some() {
        to.edit(name, Edit::Yank { version: version.clone(), yanked: yanked.clone() }).await?;
    }
    // A channel that stands at a yanked release gives nothing to anybody.
    for channel in index.channels_at(version).filter(|_| yanked.is_none()) {
        to.edit(name, Edit::Promote { channel: channel.to_owned(), version: version.clone() }).await?;
    }
    Ok(())
}
