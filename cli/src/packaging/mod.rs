//! A crate to a package file: cargo with what the crate does not say itself, then the archive.

mod assets;
mod calls;
mod cargo;
mod find;
mod metadata;
mod toolchain;

pub(crate) use toolchain::cargo;

use crate::error::CliError;
use crate::replace::replace;
use assets::assets;
use calls::calls_package;
use cargo::{Library, check_crate, compile};
use find::find_package;
use longshore_package::{
    Archive, ArchiveLimits, Build, Digest, PackageName, PackageSection, SharedFiles, StaticRecord, join,
};
use metadata::{check_leftovers, check_metadata, manifest};
use serde_json::{Value, json};
use std::io::Cursor;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A package file that was made.
#[derive(Debug)]
pub(crate) struct Built {
    pub(crate) file: PathBuf,
    pub(crate) name: PackageName,
    pub(crate) version: String,
    pub(crate) digest: Digest,
    pub(crate) bytes: u64,
}

impl Built {
    /// As JSON.
    pub(crate) fn document(&self) -> Value {
        let Self { file, name, version, digest, bytes } = self;
        json!({ "file": file, "name": name, "version": version, "digest": digest, "bytes": bytes })
    }

    /// Its name and its file.
    pub(crate) fn text(&self) -> String {
        let Self { file, name, version, digest, .. } = self;
        format!("{name} {version} ({})\n{}\n", digest.short(), file.display())
    }
}

/// Options of a build.
#[derive(Debug, Default)]
pub(crate) struct BuildOptions {
    pub(crate) release: bool,
    /// Cargo's own choice when there is none.
    pub(crate) targets: Vec<String>,
    pub(crate) out: Option<PathBuf>,
}

/// True when a path is a crate: a folder in one, or its Cargo.toml.
pub(crate) fn is_crate(path: &Path) -> bool {
    let is_bare_name = path.components().count() == 1 && path.file_name().is_some();
    // A bare name may be that of a workflow: only a folder that is a crate itself comes first.
    find::manifest_of(path).is_some()
        && (!is_bare_name || path.is_file() || path.join("Cargo.toml").is_file())
}

/// Builds the crate in a folder into a package file.
pub(crate) fn build(path: &Path, options: &BuildOptions) -> anyhow::Result<Built> {
    let (package, target_directory) = find_package(path)?;
    check_crate(&package)?;
    check_metadata(&package)?;
    check_leftovers(&package)?;
    let no_call = || CliError::NoPackageCall { name: package.name.to_string() };
    if !calls_package(&package) {
        return Err(no_call().into());
    }
    let build = |target| compile(&package, &target_directory, options.release, target);
    let first = build(options.targets.first().map(String::as_str))?;
    let record = StaticRecord::of_library(&first.bytes).map_err(|error| match error {
        longshore_package::Error::NoRecord => anyhow::Error::from(no_call()),
        other => other.into(),
    })?;
    let shared = Arc::new(SharedFiles { manifest: manifest(&package, &record)?, assets: assets(&package)? });
    let mut builds = vec![build_of(first, &shared)];
    for target in options.targets.iter().skip(1) {
        builds.push(build_of(build(Some(target))?, &shared));
    }
    let (manifest, digest, archive) = join(&builds)?;
    let folder = options.out.clone().unwrap_or_else(|| target_directory.join("longshore"));
    write(manifest.package, digest, &archive, &folder)
}

fn build_of(library: Library, shared: &Arc<SharedFiles>) -> Build {
    let Library { file, target, bytes } = library;
    let name = file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let build = Build::of_library(file.display().to_string(), target, name, bytes);
    Build { shared: Some(Arc::clone(shared)), ..build }
}

/// Writes an archive into a folder, under the name of its package and version.
pub(crate) fn write(
    package: PackageSection,
    digest: Digest,
    archive: &[u8],
    folder: &Path,
) -> anyhow::Result<Built> {
    let PackageSection { name, version, .. } = package;
    let file = folder.join(format!("{name}-{version}.longshore"));
    // What this host would not read, no host does.
    Archive::read(Cursor::new(archive), &file, ArchiveLimits::default())?;
    let made = std::fs::create_dir_all(folder);
    made.map_err(|source| longshore_package::Error::Write { path: file.clone(), source })?;
    replace(&file, archive)?;
    Ok(Built { file, name, version, digest, bytes: archive.len() as u64 })
}
