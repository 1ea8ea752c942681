//! The step of a version that changes ask for.

use semver::{Prerelease, Version};
use serde::Serialize;
use std::fmt;

/// A step from a version to the next, as semver counts them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Step {
    /// Nothing that others see differs.
    Patch,
    /// There is more, or it does something else; whoever uses it goes on.
    Minor,
    /// Its users may have to change.
    Major,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Patch => "patch",
            Self::Minor => "minor",
            Self::Major => "major",
        })
    }
}

/// The lowest version that a step from `old` asks for. Below 1.0.0 the steps are those of cargo: the first number that is not
/// zero counts as the major one.
pub fn next_version(old: &Version, step: Step) -> Version {
    let Version { major, minor, patch, .. } = *old;
    // A stranger's version may be the last one.
    let next = |number: u64| number.saturating_add(1);
    match (major, minor, step) {
        // The release that a pre-release announces.
        _ if !old.pre.is_empty() => Version::new(major, minor, patch),
        (0, 0, _) | (0, _, Step::Patch | Step::Minor) => Version::new(0, minor, next(patch)),
        (0, _, Step::Major) => Version::new(0, next(minor), 0),
        (_, _, Step::Patch) => Version::new(major, minor, next(patch)),
        (_, _, Step::Minor) => Version::new(major, next(minor), 0),
        (_, _, Step::Major) => Version::new(next(major), 0, 0),
    }
}

/// True when the step from `old` to `new` is at least the one that the changes ask for. Pre-releases promise nothing: any
/// later version is enough after one.
pub fn is_enough(old: &Version, new: &Version, step: Step) -> bool {
    let next = next_version(old, step);
    // A pre-release of the next version comes before it, and announces it.
    let announced = Version { pre: Prerelease::EMPTY, ..new.clone() };
    if old.pre.is_empty() { *new > *old && announced >= next } else { new > old }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(text: &str) -> Version {
        Version::parse(text).expect("a version")
    }

    #[test]
    fn steps_are_those_of_semver_and_below_one_those_of_cargo() {
        let next = |old: &str, step| next_version(&version(old), step).to_string();
        for (old, patch, minor, major) in [
            ("1.2.3", "1.2.4", "1.3.0", "2.0.0"),
            ("0.2.3", "0.2.4", "0.2.4", "0.3.0"),
            ("0.0.3", "0.0.4", "0.0.4", "0.0.4"),
            ("2.0.0-rc.1+b7", "2.0.0", "2.0.0", "2.0.0"),
            (
                "0.0.18446744073709551615",
                "0.0.18446744073709551615",
                "0.0.18446744073709551615",
                "0.0.18446744073709551615",
            ),
        ] {
            assert_eq!(
                [next(old, Step::Patch), next(old, Step::Minor), next(old, Step::Major)],
                [patch, minor, major]
            );
        }
    }

    #[test]
    fn a_version_is_enough_when_it_takes_the_step() {
        let enough = |old: &str, new: &str, step| is_enough(&version(old), &version(new), step);
        assert!(enough("1.2.3", "2.0.0", Step::Major) && enough("1.2.3", "2.0.0-rc.1", Step::Major));
        assert!(!enough("1.2.3", "1.9.0", Step::Major) && !enough("1.2.3", "1.2.3", Step::Patch));
        assert!(enough("2.0.0-rc.1", "2.0.0-rc.2", Step::Major));
        assert!(!enough("2.0.0", "1.0.0", Step::Patch), "a lower version is no step");
    }
}
