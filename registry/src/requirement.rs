//! [`Requirement`]: a package and the release wanted of it.

use crate::error::Error;
use crate::index::{Index, Release, is_channel_name};
use longshore_package::{PackageName, is_package_name};
use semver::{Version, VersionReq};
use std::fmt;
use std::str::FromStr;

/// Most versions that a message names.
const NAMED: usize = 5;

/// A package and which release of it, as `NAME`, `NAME@1.2.0`, `NAME@^1` or `NAME@stable`.
///
/// ```
/// use longshore_registry::{Requirement, Want};
///
/// let requirement: Requirement = "rates@^1.2".parse()?;
/// assert!(matches!(requirement.want, Want::Range(_)));
/// assert_eq!(requirement.to_string(), "rates@^1.2");
/// # Ok::<(), longshore_registry::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Requirement {
    /// The package.
    pub name: PackageName,
    /// Rule that chooses the release.
    pub want: Want,
}

/// Rule that chooses a release of a package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Want {
    /// The highest version that is no pre-release and not yanked.
    Latest,
    /// This very version, also when it is yanked.
    Version(Version),
    /// The highest version of a range that is not yanked.
    Range(VersionReq),
    /// The version that a channel stands at.
    Channel(String),
}

impl FromStr for Requirement {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let (name, rule) = text.split_once('@').map_or((text, None), |(name, rule)| (name, Some(rule)));
        Self::read(text, name, rule)
    }
}

impl Want {
    fn parse(text: &str) -> Result<Self, String> {
        if let Ok(version) = Version::parse(text) {
            return Ok(Self::Version(version));
        }
        if text.starts_with(|c: char| c.is_ascii_digit()) && !text.contains(['*', ',']) {
            return Err(format!("`{text}` is neither a full version, as 1.2.0, nor a range, as ^1.2"));
        }
        if is_channel_name(text) {
            return Ok(Self::Channel(text.to_owned()));
        }
        VersionReq::parse(text)
            .map(Self::Range)
            .map_err(|error| format!("`{text}` is no version, no range of versions ({error}) and no channel"))
    }
}

impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.rule() {
            None => write!(f, "{}", self.name),
            Some(rule) => write!(f, "{}@{rule}", self.name),
        }
    }
}

impl Requirement {
    /// A requirement of a name and what [`Requirement::rule`] gave; an empty rule is that of the highest version.
    ///
    /// # Errors
    /// [`Error::Requirement`].
    pub fn of_parts(name: &str, rule: &str) -> Result<Self, Error> {
        Self::read(rule, name, (!rule.is_empty()).then_some(rule))
    }

    fn read(text: &str, name: &str, rule: Option<&str>) -> Result<Self, Error> {
        let bad = |message: String| Error::Requirement { text: text.to_owned(), message };
        let want = rule.map_or(Ok(Want::Latest), Want::parse).map_err(bad)?;
        if !is_package_name(name) {
            return Err(bad(format!("`{name}` is not a package name")));
        }
        Ok(Self { name: name.into(), want })
    }

    /// The rule as text, which stands behind the `@`; none for the highest version.
    pub fn rule(&self) -> Option<String> {
        match &self.want {
            Want::Latest => None,
            Want::Version(version) => Some(version.to_string()),
            Want::Range(range) => Some(range.to_string()),
            Want::Channel(channel) => Some(channel.clone()),
        }
    }

    /// The release that an index has for it.
    ///
    /// # Errors
    /// [`Error::NoRelease`] with what there is instead.
    pub fn resolve<'a>(&self, index: &'a Index) -> Result<&'a Release, Error> {
        let none = |message: String| Error::NoRelease { requirement: self.to_string(), message };
        let found = match &self.want {
            Want::Version(version) => index.release(version),
            Want::Latest => index.highest(|version| version.pre.is_empty()),
            Want::Range(range) => index.highest(|version| range.matches(version)),
            Want::Channel(channel) => {
                let Some(version) = index.channels.get(channel) else {
                    let channels = index.channels.keys();
                    return Err(none(format!("it has {}", listed("channels", channels))));
                };
                let release = index.release(version);
                if let Some(yanked) = release.and_then(|release| release.yanked.as_ref()) {
                    return Err(none(format!(
                        "{channel} stands at {version}, which is yanked: {}",
                        yanked.reason
                    )));
                }
                release
            }
        };
        found.ok_or_else(|| none(self.alternatives(index)))
    }

    /// Releases of an index, for the message when none fits.
    fn alternatives(&self, index: &Index) -> String {
        let fitting = |release: &&Release| match &self.want {
            Want::Range(range) => range.matches(&release.version),
            Want::Latest | Want::Version(_) | Want::Channel(_) => true,
        };
        let yanked = index.releases.iter().filter(fitting).find(|release| release.yanked.is_some());
        let versions = index.releases.iter().map(|release| &release.version);
        let has = format!("it has {}", listed("releases", versions));
        match yanked {
            Some(Release { version, yanked: Some(yanked), .. }) => {
                format!("{has}; {version} is yanked: {}", yanked.reason)
            }
            _ => has,
        }
    }
}

/// The first of some names, and how many more there are.
fn listed<T: fmt::Display>(what: &str, all: impl Iterator<Item = T>) -> String {
    let all: Vec<String> = all.map(|one| one.to_string()).collect();
    match all.len() {
        0 => format!("no {what}"),
        n if n > NAMED => format!("{what} {} and {} more", all[..NAMED].join(", "), n - NAMED),
        _ => format!("{what} {}", all.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index::tests::{index_of, yank};

    fn resolved(index: &Index, requirement: &str) -> String {
        let requirement: Requirement = requirement.parse().expect("reads");
        match requirement.resolve(index) {
            Ok(release) => release.version.to_string(),
            Err(error) => format!("{}: {error}", error.code()),
        }
    }

    #[test]
    fn a_requirement_gets_the_highest_release_that_fits_and_is_not_yanked() {
        let mut index = index_of("rates", &["1.0.0", "1.2.0", "1.3.0", "2.0.0-rc.1"]);
        index.channels.insert("stable".into(), Version::new(1, 2, 0));
        assert_eq!(resolved(&index, "rates"), "1.3.0");
        assert_eq!(resolved(&index, "rates@^1"), "1.3.0");
        assert_eq!(resolved(&index, "rates@<1.2"), "1.0.0");
        assert_eq!(resolved(&index, "rates@^2.0.0-rc"), "2.0.0-rc.1");
        assert_eq!(resolved(&index, "rates@stable"), "1.2.0");
        yank(&mut index, "1.3.0", "wrong rates");
        assert_eq!(resolved(&index, "rates@^1"), "1.2.0");
        assert_eq!(resolved(&index, "rates@1.3.0"), "1.3.0", "whoever names it means it");
        assert_eq!(
            resolved(&index, "rates@^1.3"),
            "LS0804: no release fits rates@^1.3: it has releases 2.0.0-rc.1, 1.3.0, 1.2.0, 1.0.0; 1.3.0 is yanked: wrong rates"
        );
        assert_eq!(
            resolved(&index, "rates@beta"),
            "LS0804: no release fits rates@beta: it has channels stable"
        );
        yank(&mut index, "1.2.0", "also wrong");
        assert_eq!(
            resolved(&index, "rates@stable"),
            "LS0804: no release fits rates@stable: stable stands at 1.2.0, which is yanked: also wrong"
        );
    }

    #[test]
    fn what_is_no_requirement_is_refused() {
        for text in [
            "",
            "@1",
            "ra tes",
            "rates@",
            "rates@Stable",
            "rates@1.2.x.y",
            "rates@1.0",
            "rates@1",
            "../etc@1",
            "rates@-x",
        ] {
            let error = text.parse::<Requirement>().expect_err(text);
            assert_eq!(error.code(), "LS0802", "{text}");
        }
    }
}
