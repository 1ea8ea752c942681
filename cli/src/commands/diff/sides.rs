//! The packages of one side of a comparison.

use crate::error::CliError;
use crate::home::Home;
use crate::view::comparison::{Compared, Package};
use longshore_package::PackageName;
use longshore_reconciler::artifact::{BuildChoice, VerifyOptions, from_cache, read};
use longshore_reconciler::source::directory::list;
use longshore_store::{ArtifactRow, PackageRow, PackageState};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::{Duration, SystemTime};

/// Packages by name, the versions of each in order.
#[derive(Debug, Default)]
pub(super) struct Side {
    packages: BTreeMap<PackageName, Vec<Package>>,
    is_file: bool,
}

/// The package of a file.
pub(super) fn of_file(path: &Path, target: Option<&str>) -> anyhow::Result<Side> {
    Ok(Side { is_file: true, ..Side::of(vec![read_package(path, target)?]) })
}

/// The packages of a directory, as a host would find them.
pub(super) fn of_directory(path: &Path, target: Option<&str>) -> anyhow::Result<Side> {
    // Whatever is there is complete: nobody waits here for a file that is being written.
    let listing = list(path, &[], SystemTime::now() + Duration::from_secs(60));
    if let Some((path, source)) = listing.unreadable.into_iter().next() {
        return Err(CliError::Unreadable { path, source }.into());
    }
    let packages = listing.files.iter().map(|file| read_package(&file.path, target));
    Ok(Side::of(packages.collect::<anyhow::Result<_>>()?))
}

/// The packages of these names that the host of a home is to run.
pub(super) async fn of_home(home: &Home, names: &BTreeSet<&PackageName>) -> anyhow::Result<Side> {
    let store = home.open_read_only().await?;
    let mut options = home.reconciler_options(Vec::new());
    // They are looked at, and not run.
    options.verify.trust_policy = None;
    let mut packages = Vec::new();
    for row in PackageRow::all(&store).await? {
        if row.state != PackageState::Desired || !names.contains(&row.name) {
            continue;
        }
        if let Some(artifact) = ArtifactRow::find(&store, &row.digest).await? {
            let artifact = from_cache(&artifact, &options.cache, &options.verify)?;
            packages.push(Package {
                digest: artifact.digest().clone(),
                target: artifact.target().to_owned(),
                record: artifact.record().clone(),
            });
        }
    }
    Ok(Side::of(packages))
}

fn read_package(path: &Path, target: Option<&str>) -> anyhow::Result<Package> {
    let build = target.map_or(BuildChoice::Any, |target| BuildChoice::Of(target.to_owned()));
    let read = read(path, &build, &VerifyOptions::default())?;
    Ok(Package { digest: read.digest, target: read.target, record: read.record })
}

impl Side {
    fn of(packages: Vec<Package>) -> Self {
        let mut by_name: BTreeMap<PackageName, Vec<Package>> = BTreeMap::new();
        for package in packages {
            by_name.entry(package.name()).or_default().push(package);
        }
        for versions in by_name.values_mut() {
            versions.sort_by_key(Package::version);
            versions.dedup_by(|a, b| a.digest == b.digest);
        }
        Self { packages: by_name, is_file: false }
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &PackageName> {
        self.packages.keys()
    }

    /// The package of a file.
    pub(super) fn only(&self) -> Option<&Package> {
        self.packages.values().flatten().next().filter(|_| self.is_file)
    }

    /// The newest version of each package.
    pub(super) fn newest(&self) -> impl Iterator<Item = &Package> {
        self.packages.values().filter_map(|versions| versions.last())
    }

    /// The version that comes before a package: the newest one below it, or else the newest with other bytes.
    pub(super) fn before(&self, package: &Package) -> Option<&Package> {
        let versions = self.packages.get(&package.name())?;
        let lower = versions.iter().rfind(|other| other.version() < package.version());
        lower.or_else(|| versions.iter().rfind(|other| other.digest != package.digest)).or(versions.last())
    }

    /// Each version with the one before it.
    pub(super) fn neighbours(&self) -> Vec<Compared> {
        let pairs = self.packages.values().flat_map(|versions| versions.windows(2));
        pairs.map(|pair| Compared::of(&pair[0], &pair[1])).collect()
    }

    /// Refuses sides that have no package in common.
    pub(super) fn check_shares_with(&self, other: &Self) -> Result<(), CliError> {
        match other.names().next() {
            Some(name) if other.names().all(|name| !self.packages.contains_key(name)) => {
                let known = self.names().map(ToString::to_string).collect();
                Err(CliError::NoPackageToCompare { name: name.to_string(), known })
            }
            _ => Ok(()),
        }
    }
}
