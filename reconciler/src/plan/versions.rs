//! The order of versions.

use semver::Version;

/// Orders versions as cargo does; one that is not a version comes before all that are.
pub(super) fn version_key(version: &str) -> Option<Version> {
    Version::parse(version).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_ordered_by_their_numbers() {
        let sorted = ["nonsense", "0.9.0", "1.0.0-rc.2", "1.0.0-rc.10", "1.0.0", "1.9.0", "1.10.0"];
        assert!(sorted.windows(2).all(|pair| version_key(pair[0]) < version_key(pair[1])));
    }
}
