//! The workspace's manifests.

use anyhow::Context;
use std::path::Path;

/// Reads a manifest.
///
/// # Errors
/// When it does not read, or does not parse.
pub(crate) fn manifest(path: &Path) -> anyhow::Result<toml::Value> {
    let text = std::fs::read_to_string(path).with_context(|| format!("{} does not read", path.display()))?;
    toml::from_str(&text).with_context(|| format!("{} is not a manifest", path.display()))
}

/// The folders of the members, from the root.
///
/// # Errors
/// When the manifest does not read, or a folder of members does not.
pub(crate) fn members(root: &Path) -> anyhow::Result<Vec<String>> {
    let workspace = manifest(&root.join("Cargo.toml"))?;
    let members = workspace.get("workspace").and_then(|workspace| workspace.get("members"));
    let members = members.and_then(toml::Value::as_array).context("a workspace has members")?;
    let mut folders = Vec::new();
    for member in members.iter().filter_map(toml::Value::as_str) {
        match member.strip_suffix("/*") {
            Some(parent) => folders.extend(crates_in(root, parent)?),
            None => folders.push(member.to_owned()),
        }
    }
    Ok(folders)
}

fn crates_in(root: &Path, parent: &str) -> anyhow::Result<Vec<String>> {
    let mut folders = Vec::new();
    for entry in std::fs::read_dir(root.join(parent))? {
        let entry = entry?;
        if entry.path().join("Cargo.toml").exists() {
            folders.push(format!("{parent}/{}", entry.file_name().to_string_lossy()));
        }
    }
    folders.sort();
    Ok(folders)
}
