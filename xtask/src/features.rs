//! The features of each crate of the workspace.

use anyhow::Context;
use std::path::Path;

/// A crate has at most this many features: each doubles the builds of the check.
const MAX_FEATURES: usize = 5;

/// Every crate that has features with each combination of them, separated by commas.
///
/// # Errors
/// When a manifest does not read, or a crate has more features than are built in combination.
pub(crate) fn combinations(root: &Path) -> anyhow::Result<Vec<(String, String)>> {
    let mut combinations = Vec::new();
    for folder in crate::workspace::members(root)? {
        let manifest = crate::workspace::manifest(&root.join(&folder).join("Cargo.toml"))?;
        let name = manifest["package"]["name"].as_str().context("a package has a name")?;
        // Examples are built as packages by the command, with their own feature.
        let Some(features) = manifest.get("features").filter(|_| !folder.starts_with("examples/")) else {
            continue;
        };
        let features: Vec<&String> =
            features.as_table().context("a table")?.keys().filter(|f| *f != "default").collect();
        anyhow::ensure!(features.len() <= MAX_FEATURES, "{name} has {} features", features.len());
        for chosen in 0..1_u32 << features.len() {
            let chosen: Vec<&str> = features
                .iter()
                .enumerate()
                .filter(|(at, _)| chosen & (1 << at) != 0)
                .map(|(_, feature)| feature.as_str())
                .collect();
            combinations.push((name.to_owned(), chosen.join(",")));
        }
    }
    Ok(combinations)
}
