//! [`Index`]: the releases of one package. As a file it is JSON, one for each name.

use crate::error::Error;
use longshore_package::trust::{MAX_SIGNATURES, Signature};
use longshore_package::{ArchiveLimits, Digest, PackageName};
use semver::Version;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashSet};

/// Largest index as a file, in bytes.
pub(crate) const MAX_INDEX: u64 = 16 << 20;

/// The format that is written. A higher one is refused.
const FORMAT: u32 = 1;

/// Largest release that stands by itself, in bytes.
pub(crate) const MAX_RELEASE: u64 = 512 << 10;

/// Most releases of a package.
const MAX_RELEASES: usize = 4096;

/// Most channels of a package.
const MAX_CHANNELS: usize = 64;

/// Longest name of a channel.
const MAX_CHANNEL: usize = 32;

/// Most builds of a release.
const MAX_TARGETS: usize = 64;

/// Longest target triple, and longest reason of a yank.
const MAX_TEXT: usize = 500;

/// The releases of a package, from the highest version to the lowest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Index {
    format: u32,
    /// The package.
    pub name: PackageName,
    /// The version that each channel stands at.
    #[serde(default)]
    pub channels: BTreeMap<String, Version>,
    /// The releases.
    pub releases: Vec<Release>,
}

/// A release: one version, which stands for one digest for ever.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Release {
    /// The version.
    pub version: Version,
    /// The digest of the package.
    pub digest: Digest,
    /// SHA-256 of the archive file, in hex: another than the digest, because signatures lie in the file as well.
    pub sha256: Digest,
    /// Size of the archive file.
    pub bytes: u64,
    /// The targets that it has builds for, sorted.
    pub targets: Vec<String>,
    /// Its signatures, armored.
    #[serde(default)]
    pub signatures: Vec<String>,
    /// Time of publication, in milliseconds since 1970.
    pub published_at: i64,
    /// Mark of a yank; none when it may be taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub yanked: Option<Yanked>,
}

/// The mark of a release that should not be taken any more. It can still be fetched by its version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Yanked {
    /// Reason, for people.
    pub reason: String,
}

/// A change of an index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Edit {
    /// A release is added, or signatures to one with the same digest.
    Release(Box<Release>),
    /// A release is yanked, or no longer.
    Yank {
        /// The version.
        version: Version,
        /// The mark; none takes it away.
        yanked: Option<Yanked>,
    },
    /// A channel stands at a version from now on.
    Promote {
        /// The channel.
        channel: String,
        /// The version.
        version: Version,
    },
}

impl Index {
    /// An index without releases.
    pub fn new(name: PackageName) -> Self {
        Self { format: FORMAT, name, channels: BTreeMap::new(), releases: Vec::new() }
    }

    /// An index of parts that a registry keeps apart, checked like one that is a file.
    ///
    /// # Errors
    /// [`Error::Index`].
    pub fn of_parts(
        name: PackageName,
        channels: BTreeMap<String, Version>,
        releases: Vec<Release>,
        registry: &str,
    ) -> Result<Self, Error> {
        Self { format: FORMAT, name, channels, releases }.checked(registry)
    }

    /// The index that an edit is applied to: the one that was found, or a new one for a first release.
    ///
    /// # Errors
    /// [`Error::NoPackage`].
    pub(crate) fn to_edit(
        found: Option<Self>,
        name: &PackageName,
        edit: &Edit,
        registry: &str,
    ) -> Result<Self, Error> {
        match found {
            Some(index) => Ok(index),
            None if matches!(edit, Edit::Release(_)) => Ok(Self::new(name.clone())),
            None => Err(Error::NoPackage { registry: registry.to_owned(), name: name.clone() }),
        }
    }

    /// Reads the index of a package. `registry` is for messages.
    ///
    /// # Errors
    /// [`Error::Index`] when it is none, is over a limit, or contradicts itself.
    pub fn parse(bytes: &[u8], name: &PackageName, registry: &str) -> Result<Self, Error> {
        let parsed: Result<Self, _> = serde_json::from_slice(bytes);
        let index = parsed.map_err(|error| bad(name, registry, error.to_string()))?;
        if index.name != *name {
            let other =
                longshore_package::is_package_name(index.name.as_str()).then_some(index.name.as_str());
            return Err(bad(name, registry, format!("it is that of `{}`", other.unwrap_or(".."))));
        }
        index.checked(registry)
    }

    fn checked(mut self, registry: &str) -> Result<Self, Error> {
        self.fault().map_or(Ok(()), |message| Err(bad(&self.name, registry, message)))?;
        self.releases.sort_by(|a, b| b.version.cmp(&a.version));
        Ok(self)
    }

    /// The first contradiction.
    fn fault(&self) -> Option<String> {
        if self.format > FORMAT {
            return Some(format!("its format is {}, which is newer than this program", self.format));
        }
        if self.releases.len() > MAX_RELEASES || self.channels.len() > MAX_CHANNELS {
            return Some(format!("it has more than {MAX_RELEASES} releases or {MAX_CHANNELS} channels"));
        }
        let mut versions = HashSet::new();
        for release in &self.releases {
            if !versions.insert(&release.version) {
                return Some(format!("version {} is there twice", release.version));
            }
            if let Some(fault) = release.fault() {
                return Some(format!("version {}: {fault}", release.version));
            }
        }
        if let Some(channel) = self.channels.keys().find(|channel| !is_channel_name(channel)) {
            return Some(format!("`{channel}` is not a channel: {CHANNELS}"));
        }
        let lost = |(_, version): &(&String, &Version)| !versions.contains(version);
        self.channels.iter().find(lost).map(|(channel, version)| {
            format!("channel `{channel}` stands at {version}, which is not among its releases")
        })
    }

    /// The index as a file.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = serde_json::to_vec_pretty(self).unwrap_or_default();
        bytes.push(b'\n');
        bytes
    }

    /// The release of a version.
    pub fn release(&self, version: &Version) -> Option<&Release> {
        self.releases.iter().find(|release| release.version == *version)
    }

    fn release_mut(&mut self, version: &Version) -> Result<&mut Release, Error> {
        let name = &self.name;
        let missing = || Error::Edit { name: name.clone(), message: format!("it has no version {version}") };
        self.releases.iter_mut().find(|release| release.version == *version).ok_or_else(missing)
    }

    /// The highest version that fits and is not yanked.
    pub fn highest(&self, fits: impl Fn(&Version) -> bool) -> Option<&Release> {
        self.releases.iter().find(|release| release.yanked.is_none() && fits(&release.version))
    }

    /// The channels that stand at a version.
    pub fn channels_at<'a>(&'a self, version: &'a Version) -> impl Iterator<Item = &'a str> {
        let stands = move |(_, at): &(&String, &Version)| *at == version;
        self.channels.iter().filter(stands).map(|(channel, _)| channel.as_str())
    }

    /// Applies an edit; false when the index is unchanged.
    ///
    /// # Errors
    /// [`Error::VersionTaken`], [`Error::Edit`].
    pub fn apply(&mut self, edit: Edit) -> Result<bool, Error> {
        let before = self.clone();
        match edit {
            Edit::Release(release) => self.add(*release)?,
            Edit::Yank { version, yanked } => self.release_mut(&version)?.yanked = yanked,
            Edit::Promote { channel, version } => {
                let release = self.release_mut(&version)?;
                if let Some(yanked) = &release.yanked {
                    let message = format!("{version} is yanked: {}", yanked.reason);
                    return Err(Error::Edit { name: self.name.clone(), message });
                }
                self.channels.insert(channel, version);
            }
        }
        if let Some(message) = self.fault() {
            return Err(Error::Edit { name: self.name.clone(), message });
        }
        Ok(*self != before)
    }

    fn add(&mut self, new: Release) -> Result<(), Error> {
        let Some(known) = self.releases.iter_mut().find(|known| known.version == new.version) else {
            self.releases.push(new);
            self.releases.sort_by(|a, b| b.version.cmp(&a.version));
            return Ok(());
        };
        if known.digest != new.digest {
            return Err(Error::VersionTaken { name: self.name.clone(), version: new.version });
        }
        // The file may have been lost, and was brought again.
        (known.sha256, known.bytes) = (new.sha256, new.bytes);
        for signature in new.signatures {
            if !known.signatures.contains(&signature) {
                known.signatures.push(signature);
            }
        }
        Ok(())
    }
}

impl Release {
    /// Reads a release that stands by itself.
    ///
    /// # Errors
    /// [`Error::Index`] when it is none, or is over a limit.
    pub(crate) fn parse(bytes: &[u8], name: &PackageName, registry: &str) -> Result<Self, Error> {
        let parsed: Result<Self, _> = serde_json::from_slice(bytes);
        let release = parsed.map_err(|error| bad(name, registry, error.to_string()))?;
        match release.fault() {
            None => Ok(release),
            Some(message) => Err(bad(name, registry, message)),
        }
    }

    fn fault(&self) -> Option<String> {
        let limit = ArchiveLimits::default().archive_bytes;
        if self.bytes > limit {
            return Some(format!("it has {} bytes; archives have at most {limit}", self.bytes));
        }
        if self.signatures.len() > MAX_SIGNATURES || self.targets.len() > MAX_TARGETS {
            return Some(format!("it has more than {MAX_SIGNATURES} signatures or {MAX_TARGETS} builds"));
        }
        let reason = self.yanked.as_ref().map(|yanked| &yanked.reason);
        if self.targets.iter().chain(reason).any(|text| text.len() > MAX_TEXT) {
            return Some(format!("a target or the reason of its yank has more than {MAX_TEXT} bytes"));
        }
        if self.targets.iter().chain(reason).any(|text| text.contains(char::is_control)) {
            return Some("a target or the reason of its yank has control characters".to_owned());
        }
        self.parsed_signatures().err().map(|error| error.to_string())
    }

    /// Its signatures.
    ///
    /// # Errors
    /// [`Error::Package`] when one does not read.
    pub fn parsed_signatures(&self) -> Result<Vec<Signature>, Error> {
        Ok(Signature::parse_all(&self.signatures.concat(), "the index")?)
    }
}

/// Names that channels may have, for messages.
pub const CHANNELS: &str = "a lower-case letter, then lower-case letters, digits and `-`, at most 32";

/// True of a name that a channel may have: a lower-case letter, then lower-case letters, digits and `-`, at most 32.
pub fn is_channel_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.len() <= MAX_CHANNEL
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

fn bad(name: &PackageName, registry: &str, message: String) -> Error {
    Error::Index { registry: registry.to_owned(), name: name.clone(), message }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn release(version: &str) -> Release {
        let digest = Digest::from_sha256([version.len() as u8; 32]);
        Release {
            version: version.parse().expect("a version"),
            digest: digest.clone(),
            sha256: digest,
            bytes: 10,
            targets: vec!["x86_64-unknown-linux-gnu".into()],
            signatures: Vec::new(),
            published_at: 0,
            yanked: None,
        }
    }

    pub(crate) fn index_of(name: &str, versions: &[&str]) -> Index {
        let mut index = Index::new(name.into());
        for version in versions {
            index.apply(Edit::Release(Box::new(release(version)))).expect("adds");
        }
        index
    }

    pub(crate) fn yank(index: &mut Index, version: &str, reason: &str) {
        let (version, yanked) = (version.parse().expect("a version"), Yanked { reason: reason.into() });
        index.apply(Edit::Yank { version, yanked: Some(yanked) }).expect("yanks");
    }

    fn read(text: &str) -> Result<Index, Error> {
        Index::parse(text.as_bytes(), &"rates".into(), "the registry")
    }

    #[test]
    fn an_index_reads_as_it_was_written() {
        let mut index = index_of("rates", &["1.0.0", "1.10.0", "1.9.0"]);
        yank(&mut index, "1.9.0", "wrong");
        let (channel, version) = ("stable".to_owned(), Version::new(1, 10, 0));
        assert!(
            index.apply(Edit::Promote { channel: channel.clone(), version: version.clone() }).expect("fits")
        );
        assert!(!index.apply(Edit::Promote { channel, version }).expect("fits"), "it says so already");
        let text = String::from_utf8(index.to_bytes()).expect("text");
        assert_eq!(read(&text).expect("reads"), index);
        let versions: Vec<String> = index.releases.iter().map(|r| r.version.to_string()).collect();
        assert_eq!(versions, ["1.10.0", "1.9.0", "1.0.0"]);
    }

    #[test]
    fn an_index_that_lies_is_refused_with_where() {
        let good = String::from_utf8(index_of("rates", &["1.0.0"]).to_bytes()).expect("text");
        let fault = |from: &str, to: &str| {
            assert!(good.contains(from), "{from}");
            let error = read(&good.replace(from, to)).expect_err(to);
            assert_eq!(error.code(), "LS0808");
            error.to_string()
        };
        assert!(fault("\"rates\"", "\"dates\"").contains("it is that of `dates`"));
        assert!(fault("\"format\": 1", "\"format\": 2").contains("newer than this program"));
        assert!(
            fault("\"bytes\": 10", "\"bytes\": 9999999999")
                .contains("version 1.0.0: it has 9999999999 bytes")
        );
        assert!(
            fault("\"channels\": {}", "\"channels\": {\"stable\": \"2.0.0\"}")
                .contains("not among its releases")
        );
        assert!(fault("\"signatures\": []", "\"signatures\": [\"x\"]").contains("version 1.0.0"));
        assert!(fault("\"digest\": \"05", "\"digest\": \"../").contains("is not a digest"));
        assert!(fault("\"format\"", "format").contains("line 2"));
        let twice = index_of("rates", &["1.0.0"]);
        let twice = Index {
            releases: [twice.releases.clone(), twice.releases].concat(),
            ..Index::new("rates".into())
        };
        let error = Index::parse(&twice.to_bytes(), &"rates".into(), "r").expect_err("twice");
        assert!(error.to_string().contains("version 1.0.0 is there twice"), "{error}");
    }

    #[test]
    fn a_version_stands_for_one_digest_and_a_yanked_one_is_not_promoted() {
        let mut index = index_of("rates", &["1.0.0"]);
        let other = Release { digest: Digest::from_sha256([9; 32]), ..release("1.0.0") };
        assert_eq!(index.apply(Edit::Release(Box::new(other))).expect_err("taken").code(), "LS0810");
        yank(&mut index, "1.0.0", "wrong");
        let promote =
            |version: &str| Edit::Promote { channel: "stable".into(), version: version.parse().expect("v") };
        let refused = |error: Error| {
            assert_eq!(error.code(), "LS0815");
            error.to_string()
        };
        assert!(refused(index.apply(promote("1.0.0")).expect_err("yanked")).contains("is yanked: wrong"));
        assert!(refused(index.apply(promote("3.0.0")).expect_err("missing")).contains("no version 3.0.0"));
    }
}
