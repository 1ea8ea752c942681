//! The files that travel with a package: whatever is in the crate's folder `assets`.

use crate::error::CliError;
use cargo_metadata::Package;
use longshore_package::ASSETS;
use std::collections::HashSet;
use std::path::Path;

/// Most assets, and most bytes of them: far below the limits that hosts have for archives.
const MAX_ASSETS: usize = 2_000;
const MAX_BYTES: u64 = 256 << 20;

/// Longest path in an archive.
const MAX_NAME: usize = 255;

/// The assets of a crate, each with its path in the archive.
pub(super) fn assets(package: &Package) -> anyhow::Result<Vec<(String, Vec<u8>)>> {
    let folder = package.manifest_path.with_file_name(ASSETS.trim_end_matches('/'));
    let mut found = Vec::new();
    let folder = folder.as_std_path();
    if folder.is_symlink() {
        return Err(refused(folder, "a package carries plain files only").into());
    }
    if folder.exists() {
        let mut bytes = 0;
        collect(folder, ASSETS, &mut bytes, &mut found)?;
    }
    let mut names = HashSet::new();
    for (name, _) in &found {
        // On file systems that ignore case they would be one file.
        if !names.insert(name.to_lowercase()) {
            return Err(
                refused(&folder.join("..").join(name), "another differs from it in case alone").into()
            );
        }
    }
    Ok(found)
}

fn refused(path: &Path, fault: &'static str) -> CliError {
    CliError::Asset { path: path.to_owned(), fault }
}

fn collect(
    folder: &Path,
    below: &str,
    bytes: &mut u64,
    found: &mut Vec<(String, Vec<u8>)>,
) -> anyhow::Result<()> {
    let unreadable = |path: &Path| {
        let path = path.to_owned();
        |source| longshore_package::Error::Read { path, source }
    };
    for entry in std::fs::read_dir(folder).map_err(unreadable(folder))? {
        let entry = entry.map_err(unreadable(folder))?;
        let (path, name) = (entry.path(), entry.file_name());
        let name = name.to_str().ok_or_else(|| refused(&path, "its name is not UTF-8"))?;
        // Editors and systems leave them behind.
        if name.starts_with('.') {
            continue;
        }
        if name.contains(['\\', ':']) || name.contains(char::is_control) {
            return Err(refused(&path, "its name means something else on other systems").into());
        }
        if below.len() + name.len() > MAX_NAME {
            return Err(refused(&path, "its path is longer than 255 bytes").into());
        }
        let kind = entry.file_type().map_err(unreadable(&path))?;
        if kind.is_dir() {
            collect(&path, &format!("{below}{name}/"), bytes, found)?;
        } else if kind.is_file() {
            *bytes += entry.metadata().map_err(unreadable(&path))?.len();
            if found.len() >= MAX_ASSETS || *bytes > MAX_BYTES {
                return Err(refused(&path, "with it there are more than 2,000 files or 256 MiB").into());
            }
            found.push((format!("{below}{name}"), std::fs::read(&path).map_err(unreadable(&path))?));
        } else {
            return Err(refused(&path, "a package carries plain files only").into());
        }
    }
    Ok(())
}
