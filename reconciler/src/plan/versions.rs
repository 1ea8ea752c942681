//! The order of versions.

/// Orders versions by their numbers; a pre-release comes before its release.
pub(super) fn version_key(version: &str) -> (Vec<u64>, bool, String) {
    let version = version.split('+').next().unwrap_or(version);
    let (numbers, pre) = version.split_once('-').unwrap_or((version, ""));
    let numbers = numbers.split('.').map(|part| part.parse().unwrap_or(0)).collect();
    (numbers, pre.is_empty(), pre.to_owned())
}
