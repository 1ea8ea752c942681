//! Which crate a path means.

use super::cargo::absolute_target_folder;
use super::settings::{Settings, settings};
use super::toolchain::{RUSTUP_TOOLCHAIN, cargo, check_toolchain};
use crate::error::CliError;
use cargo_metadata::{Metadata, MetadataCommand, Package};
use std::path::{Path, PathBuf};

/// The Cargo.toml of the crate that a path is in, as cargo finds it: here, or in a folder above.
pub(super) fn manifest_of(path: &Path) -> Option<PathBuf> {
    if path.is_file() {
        return path.file_name().is_some_and(|name| name == "Cargo.toml").then(|| path.to_owned());
    }
    let folder = path.canonicalize().ok().filter(|path| path.is_dir())?;
    folder.ancestors().map(|above| above.join("Cargo.toml")).find(|manifest| manifest.is_file())
}

/// A crate, with what cargo and its author say about it.
pub(super) struct Found {
    pub(super) package: Package,
    pub(super) settings: Settings,
    /// Cargo's target folder.
    pub(super) target_directory: PathBuf,
    manifest: PathBuf,
}

impl Found {
    /// All that cargo knows, the crates that this one depends on included.
    pub(super) fn whole_metadata(&self) -> anyhow::Result<Metadata> {
        metadata(&self.manifest, &self.settings, false)
    }
}

fn metadata(manifest: &Path, settings: &Settings, is_short: bool) -> anyhow::Result<Metadata> {
    let mut command = MetadataCommand::new();
    if let Some(toolchain) = &settings.toolchain {
        command.env(RUSTUP_TOOLCHAIN, toolchain);
    }
    if let Some(folder) = absolute_target_folder() {
        command.env("CARGO_TARGET_DIR", folder);
    }
    command.cargo_path(cargo()?);
    // Cargo reads its configuration from there.
    command.manifest_path(manifest).current_dir(manifest.parent().unwrap_or(Path::new(".")));
    if is_short {
        command.no_deps();
    }
    Ok(command.exec().map_err(|error| CliError::CargoMetadata { message: error.to_string() })?)
}

/// The crate that a path means.
pub(super) fn find_package(path: &Path) -> anyhow::Result<Found> {
    let not_a_crate = || CliError::NotACrate { path: path.to_owned() };
    let manifest = manifest_of(path).ok_or_else(not_a_crate)?.canonicalize()?;
    let settings = settings(manifest.parent().unwrap_or(Path::new(".")))?;
    check_toolchain(settings.toolchain.as_deref())?;
    let metadata = metadata(&manifest, &settings, true)?;
    let is_it =
        |package: &&Package| package.manifest_path.as_std_path().canonicalize().is_ok_and(|p| p == manifest);
    let target_directory = metadata.target_directory.clone().into_std_path_buf();
    match metadata.packages.iter().find(is_it) {
        Some(package) => Ok(Found { package: package.clone(), settings, target_directory, manifest }),
        None => {
            let folder = |package: &Package| package.manifest_path.parent().map(ToString::to_string);
            let mut members: Vec<String> = metadata.packages.iter().filter_map(folder).collect();
            members.sort();
            Err(CliError::Workspace { path: path.to_owned(), members }.into())
        }
    }
}
