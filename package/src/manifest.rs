//! `package.toml`.

use crate::error::Error;
use longshore_workflow::names::{Digest, PackageName};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Largest manifest, in bytes: people write these, and a host parses it before it trusts anything.
pub(crate) const MAX_MANIFEST: u64 = 256 * 1024;

/// Longest name; it is part of file names and database keys.
const MAX_NAME: usize = 64;

/// The memory that a process needs to start at all, in MiB, and more than any machine has.
const MIN_MEMORY_MB: u64 = 32;
const MAX_MEMORY_MB: u64 = 1 << 24;

/// The manifest of a package.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Its identity.
    pub package: PackageSection,
    /// The limits of its runs.
    #[serde(default)]
    pub limits: Limits,
    /// The policy for open runs when this package replaces another version, by workflow; they stay where they began
    /// unless it is said otherwise.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub on_upgrade: BTreeMap<String, OnUpgrade>,
}

/// The policy for open runs of a workflow when another version takes over.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnUpgrade {
    /// They end on the version they began on.
    #[default]
    Pin,
    /// They go on with the new version, when its tasks are the same.
    Migrate,
}

/// `[package]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PackageSection {
    /// The name: ASCII letters, digits, `-` and `_`, at most 64.
    pub name: PackageName,
    /// The version.
    pub version: String,
    /// Its purpose.
    #[serde(default)]
    pub description: String,
    /// Its author.
    #[serde(default)]
    pub authors: Vec<String>,
    /// SPDX expression.
    #[serde(default)]
    pub license: String,
    /// The version of Longshore it was built with.
    pub sdk: String,
    /// The interface version it speaks.
    pub interface: u32,
    /// Where it runs.
    #[serde(default, skip_serializing_if = "Isolation::is_default")]
    pub isolation: Isolation,
    /// The content hash of the sources that it was built from, when that was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<Digest>,
}

/// Where a package runs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Isolation {
    /// In the host's process: the fastest way.
    #[default]
    InProcess,
    /// In a process of its own: what crashes, hangs or leaks costs that process.
    Process,
}

impl Isolation {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// `[limits]`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Longest time one attempt of a task may take, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task_timeout_ms: Option<u64>,
    /// Longest time a run may take, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_timeout_ms: Option<u64>,
    /// Threads of the package's runtime.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workers: Option<u32>,
    /// Memory of an isolated package's process, in MiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_mb: Option<u64>,
    /// Processor time of an isolated package's process, in seconds; it is started again when that is used up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_seconds: Option<u64>,
    /// Share of processor time of an isolated package, in percent of one core, where the host may use control
    /// groups.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_percent: Option<u32>,
}

impl Manifest {
    /// Parses and checks a manifest.
    ///
    /// # Errors
    /// [`Error::Manifest`] with line and column.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let manifest: Self = toml::from_str(text).map_err(|error| {
            let (line, column) = position(text, error.span().map_or(0, |span| span.start));
            Error::Manifest { line, column, message: error.message().to_owned() }
        })?;
        manifest.check(text)?;
        Ok(manifest)
    }

    /// The manifest as text.
    pub fn to_toml(&self) -> String {
        // Strings, numbers and lists of strings always serialize.
        toml::to_string(self).unwrap_or_default()
    }

    fn check(&self, text: &str) -> Result<(), Error> {
        let PackageSection { name, version, .. } = &self.package;
        let name = name.as_str();
        if !is_package_name(name) {
            let message =
                format!("`{name}` is not a package name: 1 to {MAX_NAME} ASCII letters, digits, `-` and `_`");
            return Err(at_value(text, "name", message));
        }
        // Hosts compare versions: one that has no place among the others would be neither newer nor older.
        if version.len() > MAX_NAME {
            return Err(at_value(text, "version", format!("a version is at most {MAX_NAME} bytes long")));
        }
        if let Err(error) = semver::Version::parse(version) {
            let message =
                format!("`{version}` is not a version ({error}): MAJOR.MINOR.PATCH, as cargo wants it");
            return Err(at_value(text, "version", message));
        }
        if self.limits.workers == Some(0) {
            return Err(at_value(text, "workers", "a package needs at least one worker".to_owned()));
        }
        if self
            .limits
            .memory_mb
            .is_some_and(|megabytes| !(MIN_MEMORY_MB..=MAX_MEMORY_MB).contains(&megabytes))
        {
            let message = format!("a process takes {MIN_MEMORY_MB} to {MAX_MEMORY_MB} MiB of memory");
            return Err(at_value(text, "memory_mb", message));
        }
        let none = |key: &str| Err(at_value(text, key, "a process needs processor time".to_owned()));
        if self.limits.cpu_seconds == Some(0) {
            return none("cpu_seconds");
        }
        if self.limits.cpu_percent == Some(0) {
            return none("cpu_percent");
        }
        Ok(())
    }
}

/// An error at the line that assigns `key`.
fn at_value(text: &str, key: &str, message: String) -> Error {
    let starts =
        |line: &str| line.trim_start().strip_prefix(key).is_some_and(|r| r.trim_start().starts_with('='));
    let line = text.lines().position(starts).unwrap_or(0);
    let column = text.lines().nth(line).and_then(|l| l.find('=')).map_or(1, |at| at + 3);
    Error::Manifest { line: line + 1, column, message }
}

fn position(text: &str, offset: usize) -> (usize, usize) {
    let before = &text[..text.floor_char_boundary(offset)];
    let line = before.matches('\n').count() + 1;
    let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
    (line, column)
}

/// True of a name that a package may have: 1 to 64 ASCII letters, digits, `-` and `_`.
pub fn is_package_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= MAX_NAME
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "[package]\nname = \"hello\"\nversion = \"0.1.0\"\nsdk = \"0.1.0\"\ninterface = 2\n";

    #[test]
    fn a_manifest_survives_its_text() {
        let manifest = Manifest::parse(GOOD).expect("good");
        assert_eq!(Manifest::parse(&manifest.to_toml()).expect("own text"), manifest);
    }

    #[test]
    fn mistakes_name_their_line_and_column() {
        let place = |text: &str| match Manifest::parse(text) {
            Err(error @ Error::Manifest { line, column, .. }) => {
                assert_eq!(error.code(), "LS0110");
                (line, column)
            }
            other => panic!("expected a manifest error, got {other:?}"),
        };
        assert_eq!(place(&GOOD.replace("\"hello\"", "\"he llo\"")), (2, 8));
        assert_eq!(place(&GOOD.replace("interface = 2", "interface = \"two\"")), (5, 13));
        assert_eq!(place(&format!("{GOOD}colour = 1\n")), (6, 1));
        assert_eq!(place(&GOOD.replace("version = ", "version ")), (3, 9));
        for version in ["v2.0.0", "2024a", "1.0", "", "1.0.0-"] {
            assert_eq!(
                place(&GOOD.replace("\"0.1.0\"\nsdk", &format!("\"{version}\"\nsdk"))),
                (3, 11),
                "{version}"
            );
        }
    }
}
