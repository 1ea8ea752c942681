//! `SHA256SUMS`: every file of an archive with its sum. The digest of a package is that of this text.

use crate::digest::{digest_of_files, sha256_hex};
use crate::error::Error;
use longshore_workflow::names::Digest;
use std::collections::{BTreeMap, HashSet};

/// Where the sums are.
pub const SUMS_PATH: &str = "SHA256SUMS";

/// The beginning of the paths of assets.
pub const ASSETS: &str = "assets/";

/// The files of an archive, sorted by path, each with its SHA-256 in hex.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sums(BTreeMap<String, String>);

impl Sums {
    /// The sums of files given as (path, bytes).
    pub(crate) fn of_files<'a>(files: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> Self {
        Self(files.into_iter().map(|(path, bytes)| (path.to_owned(), sha256_hex(bytes))).collect())
    }

    /// Reads sums as `sha256sum` prints them.
    ///
    /// # Errors
    /// [`Error::BadSum`] with the line, [`Error::SeveralLibraries`].
    pub fn parse(text: &str) -> Result<Self, Error> {
        let mut sums = BTreeMap::new();
        for (at, line) in text.lines().enumerate() {
            let bad = || Error::BadSum { line: at + 1 };
            let (sum, path) = line.split_once("  ").ok_or_else(bad)?;
            let is_sum =
                sum.len() == 64 && sum.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
            if !is_sum || sums.insert(path.to_owned(), sum.to_owned()).is_some() {
                return Err(bad());
            }
        }
        let sums = Self(sums);
        sums.check_one_library_a_target()?;
        Ok(sums)
    }

    /// The text, a line a file.
    pub fn to_text(&self) -> String {
        self.0.iter().map(|(path, sum)| format!("{sum}  {path}\n")).collect()
    }

    /// The digest of the package.
    pub fn digest(&self) -> Digest {
        digest_of_files(self.0.iter().map(|(path, sum)| (path.as_str(), sum.as_str())))
    }

    /// The sum of a file.
    pub fn of(&self, path: &str) -> Option<&str> {
        self.0.get(path).map(String::as_str)
    }

    /// The paths of the files.
    pub(crate) fn paths(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// The targets there is a library for, sorted.
    pub(crate) fn targets(&self) -> Vec<String> {
        let mut targets: Vec<String> =
            self.0.keys().filter_map(|path| target_of(path)).map(str::to_owned).collect();
        targets.dedup();
        targets
    }

    /// The path of the library for a target.
    pub fn library_of(&self, target: &str) -> Option<&str> {
        self.0.keys().find(|path| target_of(path) == Some(target)).map(String::as_str)
    }

    /// The paths of assets.
    pub fn assets(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str).filter(|path| path.starts_with(ASSETS))
    }

    /// Refuses an archive whose files are not those that have sums.
    pub(crate) fn check_cover(&self, names: &[String]) -> Result<(), Error> {
        let listed = |name: &String| self.0.contains_key(name) || name == SUMS_PATH;
        if let Some(name) = names.iter().find(|name| !listed(name)) {
            return Err(Error::SumsDisagree { name: name.clone() });
        }
        let names: HashSet<&String> = names.iter().collect();
        match self.0.keys().find(|name| !names.contains(name)) {
            Some(name) => Err(Error::SumsDisagree { name: name.clone() }),
            None => Ok(()),
        }
    }

    /// Refuses bytes that are not those of a file.
    pub(crate) fn verify(&self, name: &str, bytes: &[u8]) -> Result<(), Error> {
        match self.of(name) {
            Some(sum) if *sum == sha256_hex(bytes) => Ok(()),
            Some(_) => Err(Error::SumMismatch { name: name.to_owned() }),
            None => Err(Error::SumsDisagree { name: name.to_owned() }),
        }
    }

    fn check_one_library_a_target(&self) -> Result<(), Error> {
        let libraries: Vec<(&str, &String)> =
            self.0.keys().filter_map(|path| Some((target_of(path)?, path))).collect();
        // They are sorted by path, and with that by target.
        match libraries.chunk_by(|(a, _), (b, _)| a == b).find(|same| same.len() > 1) {
            Some(same) => Err(Error::SeveralLibraries {
                target: same[0].0.to_owned(),
                libraries: same.iter().map(|(_, path)| (*path).clone()).collect(),
            }),
            None => Ok(()),
        }
    }
}

/// `records/<triple>`: the static record of the library for a target, which is read without unpacking the library.
pub(crate) fn record_path(target: &str) -> String {
    format!("records/{target}")
}

/// `targets/<triple>/<library>`.
pub fn target_path(target: &str, library: &str) -> String {
    format!("targets/{target}/{library}")
}

pub(crate) fn target_of(path: &str) -> Option<&str> {
    let (target, library) = path.strip_prefix("targets/")?.split_once('/')?;
    (!library.contains('/')).then_some(target)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_that_do_not_read_and_two_libraries_of_a_target_are_refused() {
        let sum = sha256_hex(b"");
        let code = |sums: &str| Sums::parse(sums).map_or_else(|error| error.code(), |_| "ok");
        assert_eq!(code(&format!("{sum}  a\n{sum}  b\n")), "ok");
        for bad in [
            &format!("{sum} a\n"),
            "12  a\n",
            &format!("{}  a\n", "g".repeat(64)),
            &format!("{sum}  a\n{sum}  a\n"),
        ] {
            assert_eq!(code(bad), "LS0113", "{bad}");
        }
        let two = format!("{sum}  targets/here/liba.so\n{sum}  targets/here/libb.so\n");
        assert_eq!(code(&two), "LS0114");
    }

    #[test]
    fn the_digest_is_that_of_the_text() {
        let sums = Sums::of_files([("b", &b"2"[..]), ("a", b"1")]);
        assert_eq!(sums.digest().as_str(), sha256_hex(sums.to_text().as_bytes()));
        assert_eq!(Sums::parse(&sums.to_text()).expect("own text"), sums);
    }
}
