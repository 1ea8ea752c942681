//! Which crate a path means.

use super::cargo::absolute_target_folder;
use super::toolchain::cargo;
use crate::error::CliError;
use cargo_metadata::{MetadataCommand, Package};
use std::path::{Path, PathBuf};

/// The Cargo.toml of the crate that a path is in, as cargo finds it: here, or in a folder above.
pub(super) fn manifest_of(path: &Path) -> Option<PathBuf> {
    if path.is_file() {
        return path.file_name().is_some_and(|name| name == "Cargo.toml").then(|| path.to_owned());
    }
    let folder = path.canonicalize().ok().filter(|path| path.is_dir())?;
    folder.ancestors().map(|above| above.join("Cargo.toml")).find(|manifest| manifest.is_file())
}

/// The crate that a path means, and cargo's target folder.
pub(super) fn find_package(path: &Path) -> anyhow::Result<(Package, PathBuf)> {
    let not_a_crate = || CliError::NotACrate { path: path.to_owned() };
    let manifest = manifest_of(path).ok_or_else(not_a_crate)?.canonicalize()?;
    let mut command = MetadataCommand::new();
    if let Some(folder) = absolute_target_folder() {
        command.env("CARGO_TARGET_DIR", folder);
    }
    command.cargo_path(cargo()?);
    let metadata = command
        .manifest_path(&manifest)
        // Cargo reads its configuration from there.
        .current_dir(manifest.parent().unwrap_or(Path::new(".")))
        .no_deps()
        .exec()
        .map_err(|error| CliError::CargoMetadata { message: error.to_string() })?;
    let is_it =
        |package: &&Package| package.manifest_path.as_std_path().canonicalize().is_ok_and(|p| p == manifest);
    let target_directory = metadata.target_directory.clone().into_std_path_buf();
    match metadata.packages.iter().find(is_it) {
        Some(package) => Ok((package.clone(), target_directory)),
        None => {
            let folder = |package: &Package| package.manifest_path.parent().map(ToString::to_string);
            let mut members: Vec<String> = metadata.packages.iter().filter_map(folder).collect();
            members.sort();
            Err(CliError::Workspace { path: path.to_owned(), members }.into())
        }
    }
}
