//! Builds of one package for several targets, in one archive.

use crate::archive::{PackedLibrary, pack};
use crate::diff::diff;
use crate::digest::sha256_hex;
use crate::error::Error;
use crate::manifest::Manifest;
use crate::record::StaticRecord;
use crate::sums::target_path;
use longshore_workflow::names::Digest;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A build of a package for one target.
#[derive(Debug, Clone)]
pub struct Build {
    /// The file or the library that it comes from, for messages.
    pub origin: String,
    /// The target triple.
    pub target: String,
    /// The library.
    pub library: PackedLibrary,
    /// The other files of the archive that it comes from; none for a bare library.
    pub shared: Option<Arc<SharedFiles>>,
}

/// The files that all builds of a package have in common.
#[derive(Debug, PartialEq, Eq)]
pub struct SharedFiles {
    /// The manifest.
    pub manifest: Manifest,
    /// The assets, each with its path.
    pub assets: Vec<(String, Vec<u8>)>,
}

impl Build {
    /// The build of a bare library.
    pub fn of_library(origin: String, target: String, name: String, bytes: Vec<u8>) -> Self {
        let sha256 = sha256_hex(&bytes);
        Self { origin, target, library: PackedLibrary { name, bytes, sha256 }, shared: None }
    }
}

/// Joins builds of one package into an archive: the same builds give the same bytes, in whatever order they come. A library
/// may come twice.
///
/// # Errors
/// [`Error::OtherBuild`] when they are not builds of one package, declare different entries, or carry different assets;
/// [`Error::SeveralLibraries`] for two libraries of a target; [`Error::NoManifest`] when no build comes from an archive;
/// those of [`pack`] and of [`StaticRecord::of_library`].
pub fn join(builds: &[Build]) -> Result<(Manifest, Digest, Vec<u8>), Error> {
    let with_shared = builds.iter().find_map(|build| Some((build, build.shared.as_ref()?)));
    let (first, shared) = with_shared.ok_or(Error::NoManifest)?;
    let manifest = &shared.manifest;
    let record = StaticRecord::of_library(&first.library.bytes)?;
    // A build alone is whatever it is.
    for build in builds.iter().filter(|_| builds.len() > 1) {
        check_same(build, first, shared, &record)?;
    }
    let mut by_target: BTreeMap<&str, &PackedLibrary> = BTreeMap::new();
    for Build { target, library, .. } in builds {
        if let Some(other) = by_target.insert(target, library).filter(|other| *other != library) {
            let libraries =
                [other, library].map(|library| format!("{} ({})", library.name, &library.sha256[..12]));
            return Err(Error::SeveralLibraries { target: target.clone(), libraries: libraries.into() });
        }
    }
    let file = |(target, library): (&&str, &&PackedLibrary)| {
        (target_path(target, &library.name), library.bytes.clone())
    };
    let files: Vec<(String, Vec<u8>)> =
        by_target.iter().map(file).chain(shared.assets.iter().cloned()).collect();
    let (digest, archive) = pack(manifest, &files)?;
    Ok((manifest.clone(), digest, archive))
}

/// Compares a build with the first one.
fn check_same(
    build: &Build,
    first: &Build,
    shared: &SharedFiles,
    record: &StaticRecord,
) -> Result<(), Error> {
    let other =
        |what: String| Error::OtherBuild { first: first.origin.clone(), other: build.origin.clone(), what };
    if let Some(theirs) = &build.shared {
        if theirs.manifest != shared.manifest {
            return Err(other("the manifests".to_owned()));
        }
        if theirs.assets != shared.assets {
            return Err(other("the assets".to_owned()));
        }
    }
    let own = StaticRecord::of_library(&build.library.bytes)?;
    if own.package.target != build.target {
        let (given, built) = (&build.target, &own.package.target);
        return Err(other(format!("the target: {given} was given, and it was built for {built}")));
    }
    for (what, ours, theirs) in [
        ("the name", &record.package.name, &own.package.name),
        ("the version", &record.package.version, &own.package.version),
    ] {
        if ours != theirs {
            return Err(other(format!("{what}: {ours} and {theirs}")));
        }
    }
    match diff(record, &own).first() {
        Some(change) => Err(other(format!("what they declare: {change}"))),
        None => Ok(()),
    }
}
