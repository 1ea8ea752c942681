//! Keys that may sign, and revoked keys.
//!
//! The format of the first is that of ssh-keygen(1), "ALLOWED SIGNERS"; the second is a list of public keys, or of their
//! fingerprints, one a line.

use crate::error::Error;
use crate::plain_file::read_text;
use crate::trust::signature::{Role, Signature};
use chrono::{DateTime, Local, NaiveDateTime, TimeZone, Utc};
use longshore_workflow::names::Digest;
use ssh_key::{Algorithm, HashAlg, PublicKey};
use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::str::FromStr;
use wildmatch::WildMatch;

/// Largest file of signers or revoked keys, in bytes: thousands of keys.
const MAX_FILE: u64 = 4 << 20;

/// A line of allowed signers.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Signer {
    /// Patterns of identities, with commas between them.
    principals: String,
    namespaces: Option<String>,
    /// Milliseconds since 1970.
    valid_after: Option<i64>,
    valid_before: Option<i64>,
}

/// The keys that may sign, and those that may not any more.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Signers {
    /// By the fingerprint of their keys.
    allowed: HashMap<String, Vec<Signer>>,
    revoked: HashSet<String>,
}

/// The status of a signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SignatureStatus {
    /// It counts, for whoever these patterns match.
    Valid {
        /// The principals of each line of allowed signers that has its key, now and for its namespace.
        principals: Vec<String>,
    },
    /// It is not a signature of this package.
    Forged,
    /// Its kind of key is not supported.
    UnsupportedKey,
    /// It was made for something else.
    OtherNamespace,
    /// Its key was revoked.
    Revoked,
    /// Nobody with its key may sign.
    Unknown,
    /// Its key may not be used for its namespace.
    NamespaceNotAllowed,
    /// Its key is not valid yet.
    NotYetValid {
        /// The start of its validity, in milliseconds since 1970.
        from: i64,
    },
    /// Its key is not valid any more.
    Expired {
        /// The end of its validity, in milliseconds since 1970.
        since: i64,
    },
}

/// A signature that was judged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JudgedSignature {
    /// The fingerprint of its key.
    pub fingerprint: String,
    /// The role of whoever signed.
    pub role: Option<Role>,
    /// Its status.
    pub status: SignatureStatus,
}

impl Signers {
    /// Reads a file of allowed signers and lists of revoked keys.
    ///
    /// # Errors
    /// [`Error::Read`], [`Error::TrustFile`] with the line, [`Error::OverLimit`].
    pub fn read(allowed: &Path, revoked: &[impl AsRef<Path>]) -> Result<Self, Error> {
        let mut signers = Self::default();
        signers.add_allowed(&read_text(allowed, MAX_FILE)?, allowed)?;
        for list in revoked {
            signers.add_revoked(&read_text(list.as_ref(), MAX_FILE)?, list.as_ref())?;
        }
        Ok(signers)
    }

    /// Adds the lines of a file of allowed signers. `path` is for messages.
    ///
    /// # Errors
    /// [`Error::TrustFile`] with the line.
    pub fn add_allowed(&mut self, text: &str, path: &Path) -> Result<(), Error> {
        for (line, content) in lines(text) {
            let (key, signer) = signer(content).map_err(|message| fault(path, line, message))?;
            self.allowed.entry(fingerprint(&key)).or_default().push(signer);
        }
        Ok(())
    }

    /// Adds the lines of a list of revoked keys. `path` is for messages.
    ///
    /// # Errors
    /// [`Error::TrustFile`] with the line.
    pub fn add_revoked(&mut self, text: &str, path: &Path) -> Result<(), Error> {
        for (line, content) in lines(text) {
            let revoked = match ssh_key::Fingerprint::from_str(content) {
                Ok(print) if print.is_sha256() => print.to_string(),
                _ => fingerprint(&PublicKey::from_openssh(content).map_err(|_| {
                    let message =
                        "neither a public key nor a SHA256 fingerprint; binary lists (KRL) are not read";
                    fault(path, line, message.to_owned())
                })?),
            };
            self.revoked.insert(revoked);
        }
        Ok(())
    }

    /// Judges a signature over a digest, by what counted at a time, in milliseconds since 1970.
    pub fn judge(&self, signature: &Signature, digest: &Digest, at: i64) -> JudgedSignature {
        let (fingerprint, role) = (signature.fingerprint(), signature.role());
        let status = match role {
            None => SignatureStatus::OtherNamespace,
            Some(_) if !signature.is_supported() => SignatureStatus::UnsupportedKey,
            Some(_) if !signature.is_of(digest) => SignatureStatus::Forged,
            Some(_) if self.revoked.contains(&fingerprint) => SignatureStatus::Revoked,
            Some(role) => self.status(&fingerprint, role, at),
        };
        JudgedSignature { fingerprint, role, status }
    }

    fn status(&self, fingerprint: &str, role: Role, at: i64) -> SignatureStatus {
        let lines = self.allowed.get(fingerprint).map(Vec::as_slice).unwrap_or_default();
        let judged: Vec<SignatureStatus> = lines.iter().map(|line| line.status(role, at)).collect();
        let valid = judged.iter().filter_map(|status| match status {
            SignatureStatus::Valid { principals } => Some(principals.clone()),
            _ => None,
        });
        let principals: Vec<String> = valid.flatten().collect();
        if principals.is_empty() {
            // What the first line of the key lacks says enough.
            return judged.into_iter().next().unwrap_or(SignatureStatus::Unknown);
        }
        SignatureStatus::Valid { principals }
    }
}

impl Signer {
    fn status(&self, role: Role, at: i64) -> SignatureStatus {
        if self.namespaces.as_deref().is_some_and(|allowed| !matches_list(allowed, role.namespace())) {
            return SignatureStatus::NamespaceNotAllowed;
        }
        if let Some(from) = self.valid_after.filter(|from| at < *from) {
            return SignatureStatus::NotYetValid { from };
        }
        if let Some(since) = self.valid_before.filter(|since| at >= *since) {
            return SignatureStatus::Expired { since };
        }
        SignatureStatus::Valid { principals: vec![self.principals.clone()] }
    }
}

/// True when a list of patterns, with commas between them, matches a name. `*` and `?` stand for what they do in names of
/// files; a pattern that begins with `!` takes back what others match.
pub(super) fn matches_list(list: &str, name: &str) -> bool {
    let mut matched = false;
    for pattern in list.split(',').map(str::trim) {
        match pattern.strip_prefix('!') {
            Some(pattern) if WildMatch::new(pattern).matches(name) => return false,
            Some(_) => {}
            None => matched |= WildMatch::new(pattern).matches(name),
        }
    }
    matched
}

fn fingerprint(key: &PublicKey) -> String {
    key.fingerprint(HashAlg::Sha256).to_string()
}

fn fault(path: &Path, line: usize, message: String) -> Error {
    Error::TrustFile { path: path.to_owned(), line, message }
}

/// Lines that say something, each with its number.
fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let numbered = text.lines().enumerate().map(|(at, line)| (at + 1, line.trim()));
    numbered.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
}

/// A line: principals, options that may be absent, kind of key, key, comment.
fn signer(line: &str) -> Result<(PublicKey, Signer), String> {
    let mut rest = line;
    let mut word = || next_word(&mut rest);
    let principals = word()?.unwrap_or_default().replace('"', "");
    let is_kind = |word: &str| Algorithm::new(word).is_ok_and(|kind| !matches!(kind, Algorithm::Other(_)));
    let next = word()?.ok_or("it has principals and no key")?;
    let (options, kind) = if is_kind(next) {
        (None, next)
    } else {
        (Some(next), word()?.ok_or("it has no key behind its options")?)
    };
    let key = word()?.ok_or("it has no key")?;
    let key =
        PublicKey::from_openssh(&format!("{kind} {key}")).map_err(|error| format!("its key: {error}"))?;
    let mut signer = Signer { principals, namespaces: None, valid_after: None, valid_before: None };
    for option in options.into_iter().flat_map(options_of) {
        set_option(&mut signer, option)?;
    }
    Ok((key, signer))
}

/// An option is given once, and its value in quotes: what is not understood as OpenSSH does might be what forbids.
fn set_option(signer: &mut Signer, option: &str) -> Result<(), String> {
    let (name, value) = option.split_once('=').unwrap_or((option, ""));
    let quoted = value.strip_prefix('"').and_then(|value| value.strip_suffix('"'));
    let value = || quoted.ok_or_else(|| format!("the value of `{name}` is not in quotes"));
    let is_again = match name.to_ascii_lowercase().as_str() {
        "namespaces" => signer.namespaces.replace(value()?.to_owned()).is_some(),
        "valid-after" => signer.valid_after.replace(time(value()?)?).is_some(),
        "valid-before" => signer.valid_before.replace(time(value()?)?).is_some(),
        "cert-authority" => return Err("authorities of certificates are not supported: name the keys".into()),
        _ => return Err(format!("unknown option `{name}`")),
    };
    if is_again { Err(format!("the option `{name}` is there twice")) } else { Ok(()) }
}

/// The next word of a line; blanks in quotes do not end it.
fn next_word<'l>(line: &mut &'l str) -> Result<Option<&'l str>, String> {
    let rest = line.trim_start();
    let mut quoted = false;
    let ends = |c: char| {
        quoted ^= c == '"';
        c.is_whitespace() && !quoted
    };
    let (word, rest) = rest.split_at(rest.find(ends).unwrap_or(rest.len()));
    *line = rest;
    if quoted { Err("a quote is not closed".to_owned()) } else { Ok((!word.is_empty()).then_some(word)) }
}

/// Options with commas between them; commas in quotes do not end them.
fn options_of(text: &str) -> Vec<&str> {
    let mut quoted = false;
    let ends = |c: char| {
        quoted ^= c == '"';
        c == ',' && !quoted
    };
    text.split(ends).collect()
}

/// `YYYYMMDD`, `YYYYMMDDHHMM` or `YYYYMMDDHHMMSS`, in the local zone, or in UTC with a `Z` at the end.
fn time(text: &str) -> Result<i64, String> {
    let bad = || format!("`{text}` is not a time: YYYYMMDD[HHMM[SS]][Z]");
    let digits = text.strip_suffix(['Z', 'z']);
    let is_utc = digits.is_some();
    let digits = digits.unwrap_or(text);
    let whole = match digits.len() {
        8 => format!("{digits}000000"),
        12 => format!("{digits}00"),
        14 => digits.to_owned(),
        _ => return Err(bad()),
    };
    let naive = NaiveDateTime::parse_from_str(&whole, "%Y%m%d%H%M%S").map_err(|_| bad())?;
    let time: DateTime<Utc> = if is_utc {
        naive.and_utc()
    } else {
        Local.from_local_datetime(&naive).earliest().ok_or_else(bad)?.with_timezone(&Utc)
    };
    Ok(time.timestamp_millis())
}
