//! The files that travel with a package: whatever is in the crate's folder `assets`.

use crate::error::CliError;
use cargo_metadata::Package;
use longshore_package::ASSETS;
use std::path::Path;

/// Most assets, and most bytes of them: far below the limits that hosts have for archives.
const MAX_ASSETS: usize = 2_000;
const MAX_BYTES: u64 = 256 << 20;

/// The assets of a crate, each with its path in the archive.
pub(super) fn assets(package: &Package) -> anyhow::Result<Vec<(String, Vec<u8>)>> {
    let folder = package.manifest_path.with_file_name(ASSETS.trim_end_matches('/'));
    let mut found = Vec::new();
    if folder.exists() {
        let mut bytes = 0;
        collect(folder.as_std_path(), ASSETS, &mut bytes, &mut found)?;
    }
    Ok(found)
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
    let refused = |path: &Path, fault: &'static str| CliError::Asset { path: path.to_owned(), fault };
    for entry in std::fs::read_dir(folder).map_err(unreadable(folder))? {
        let entry = entry.map_err(unreadable(folder))?;
        let (path, name) = (entry.path(), entry.file_name());
        let name = name.to_str().ok_or_else(|| refused(&path, "its name is not UTF-8"))?;
        // Editors and systems leave them behind.
        if name.starts_with('.') {
            continue;
        }
        if name.contains(['\\', ':']) {
            return Err(refused(&path, "its name means something else on other systems").into());
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
