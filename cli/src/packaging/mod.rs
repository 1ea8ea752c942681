//! A crate to a package file: cargo with what the crate does not say itself, then the archive.

mod assets;
mod built;
mod calls;
mod cargo;
mod content_hash;
mod emit;
mod find;
mod metadata;
mod prebuilt;
mod settings;
mod toolchain;

pub(crate) use built::Built;
pub(crate) use emit::{BuildSystem, emit};
pub(crate) use settings::Prebuilt;
pub(crate) use toolchain::{cargo, tools};

use crate::error::CliError;
use crate::replace::replace;
use assets::assets;
use built::place_of;
use calls::calls_package;
use cargo::{Build as CargoBuild, Library, check_crate, target_of};
use cargo_metadata::Package;
use content_hash::content_hash;
use find::{Found, find_package};
use longshore_package::{
    Archive, ArchiveLimits, Build, Digest, PackageName, PackageSection, SharedFiles, StaticRecord, join,
};
use metadata::{check_leftovers, check_metadata, manifest};
use settings::{Options, options as consumer_options};
use std::io::Cursor;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Options of a build.
#[derive(Debug, Default)]
pub(crate) struct BuildOptions {
    pub(crate) release: bool,
    /// Cargo's own choice when there is none.
    pub(crate) targets: Vec<String>,
    pub(crate) out: Option<PathBuf>,
    /// True to take a build that was made before, where there is one.
    pub(crate) prebuilt: bool,
    /// True to write the content hash into the manifest, and so under whatever is signed.
    pub(crate) with_content: bool,
}

/// True when a path is a crate: a folder in one, or its Cargo.toml.
pub(crate) fn is_crate(path: &Path) -> bool {
    let is_bare_name = path.components().count() == 1 && path.file_name().is_some();
    // A bare name may be that of a workflow: only a folder that is a crate itself comes first.
    find::manifest_of(path).is_some()
        && (!is_bare_name || path.is_file() || path.join("Cargo.toml").is_file())
}

/// Builds the crate in a folder into a package file, or takes what was built before.
pub(crate) fn build(path: &Path, options: &BuildOptions) -> anyhow::Result<Built> {
    let found = find_package(path)?;
    check_found(&found)?;
    let Found { package, settings, target_directory, .. } = &found;
    let folder = options.out.clone().unwrap_or_else(|| target_directory.join("longshore"));
    let Options { verbose, use_prebuilt } = consumer_options(&std::env::current_dir()?)?;
    if let Some(prebuilt) = settings.prebuilt.as_ref().filter(|_| options.prebuilt && use_prebuilt)
        // A file for several targets is made here: each build that was made before is for one.
        && options.targets.len() < 2
    {
        let content = content_of(&found, options);
        if let Some(built) = prebuilt::take(prebuilt, package, content, &folder) {
            return Ok(built);
        }
    }
    // Before the sources are read: whoever changes them meanwhile has built something else.
    let content = options.with_content.then(|| content_of(&found, options)).transpose()?;
    let build = CargoBuild { package, target_directory, release: options.release, settings, verbose };
    let first = build.compile(options.targets.first().map(String::as_str))?;
    let record = StaticRecord::of_library(&first.bytes).map_err(|error| match error {
        longshore_package::Error::NoRecord => {
            anyhow::Error::from(CliError::NoPackageCall { name: package.name.to_string() })
        }
        other => other.into(),
    })?;
    let mut manifest = manifest(package, &record)?;
    manifest.package.content = content.map(|(content, _)| content);
    let shared = Arc::new(SharedFiles { manifest, assets: assets(package)? });
    let mut builds = vec![build_of(first, &shared)];
    for target in options.targets.iter().skip(1) {
        builds.push(build_of(build.compile(Some(target))?, &shared));
    }
    let (manifest, digest, archive) = join(&builds)?;
    write(manifest.package, digest, &archive, &folder)
}

/// Checks what shows of a crate before anything is built.
pub(crate) fn check(path: &Path) -> anyhow::Result<Package> {
    let found = find_package(path)?;
    check_found(&found)?;
    Ok(found.package)
}

fn check_found(Found { package, .. }: &Found) -> anyhow::Result<()> {
    check_crate(package)?;
    check_metadata(package)?;
    check_leftovers(package)?;
    if calls_package(package) {
        return Ok(());
    }
    Err(CliError::NoPackageCall { name: package.name.to_string() }.into())
}

/// The content hash of a crate, and the target that it is for.
pub(crate) fn content(path: &Path, options: &BuildOptions) -> anyhow::Result<(PackageName, Digest, String)> {
    let found = find_package(path)?;
    let (content, target) = content_of(&found, options)?;
    Ok((found.package.name.as_str().into(), content, target))
}

/// The registry of builds that nobody has to make again, as the settings of a crate name it.
pub(crate) fn prebuilt_of(path: &Path) -> anyhow::Result<Option<Prebuilt>> {
    Ok(find_package(path)?.settings.prebuilt)
}

fn content_of(found: &Found, options: &BuildOptions) -> anyhow::Result<(Digest, String)> {
    let Found { package, settings, target_directory, .. } = found;
    let release = options.release;
    let build = CargoBuild { package, target_directory, release, settings, verbose: false };
    let (target, _) = target_of(options.targets.first().map(String::as_str));
    let flags = settings.flags(release, &target);
    let content = content_hash(&found.whole_metadata()?, build, (&target, &flags))?;
    Ok((content, target))
}

fn build_of(library: Library, shared: &Arc<SharedFiles>) -> Build {
    let Library { file, target, bytes } = library;
    let name = file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let build = Build::of_library(file.display().to_string(), target, name, bytes);
    Build { shared: Some(Arc::clone(shared)), ..build }
}

/// Writes an archive into a folder, under the name of its package and version, or into the file that is named.
pub(crate) fn write(
    package: PackageSection,
    digest: Digest,
    archive: &[u8],
    folder: &Path,
) -> anyhow::Result<Built> {
    let PackageSection { name, version, .. } = package;
    let file = place_of(folder, &name, &version);
    // What this host would not read, no host does.
    Archive::read(Cursor::new(archive), &file, ArchiveLimits::default())?;
    let made = file.parent().map_or(Ok(()), std::fs::create_dir_all);
    made.map_err(|source| longshore_package::Error::Write { path: file.clone(), source })?;
    // A file that is what it was keeps its time: build systems and hosts go by it.
    if !std::fs::read(&file).is_ok_and(|there| there == archive) {
        replace(&file, archive)?;
    }
    Ok(Built { file, name, version, digest, bytes: archive.len() as u64 })
}
