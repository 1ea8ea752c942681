//! The trust policy of a host, and what it says about a package.

use crate::artifact::cache::FileIdentity;
use crate::error::Error;
use longshore_package::trust::{
    Admission, JudgedSignature, MAX_SIGNATURES, Signature, SignatureStatus, TrustPolicy,
};
use longshore_package::{Digest, Error as PackageError, PackageName, StaticRecord};
use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

/// A policy in a file, read again when that file, or one that it names, changes.
#[derive(Debug)]
pub struct TrustPolicyFile {
    path: PathBuf,
    /// True when there need not be one.
    is_optional: bool,
    cached: Mutex<Option<CachedPolicy>>,
}

/// A policy as it was read.
#[derive(Debug, Clone)]
struct CachedPolicy {
    files: Files,
    /// Counts from 1 with each change.
    version: u64,
    /// None when there is no policy.
    trust: Option<Arc<TrustPolicy>>,
}

/// A policy, and the number of its version.
#[derive(Debug, Clone)]
pub(crate) struct Current {
    pub(crate) version: u64,
    pub(crate) trust: Option<Arc<TrustPolicy>>,
}

impl TrustPolicyFile {
    /// A policy that there has to be: without it nothing is loaded.
    pub fn required(path: PathBuf) -> Self {
        Self { path: absolute(path), is_optional: false, cached: Mutex::new(None) }
    }

    /// A policy that counts when it is there.
    pub fn optional(path: PathBuf) -> Self {
        Self { path: absolute(path), is_optional: true, cached: Mutex::new(None) }
    }

    /// The file.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The policy as it is now; none when there is none.
    ///
    /// # Errors
    /// [`Error::TrustPolicy`] when it does not read: nobody is trusted meanwhile.
    pub fn policy(&self) -> Result<Option<Arc<TrustPolicy>>, Error> {
        Ok(self.current()?.trust)
    }

    pub(crate) fn current(&self) -> Result<Current, Error> {
        let mut cached = self.cached.lock().unwrap_or_else(PoisonError::into_inner);
        let is_same =
            |(path, identity): &(PathBuf, Option<FileIdentity>)| FileIdentity::of(path).ok() == *identity;
        let version = match &*cached {
            Some(known) if known.files.iter().all(is_same) => {
                return Ok(Current { version: known.version, trust: known.trust.clone() });
            }
            Some(known) => known.version + 1,
            None => 1,
        };
        let had_one = cached.as_ref().is_some_and(|known| known.trust.is_some());
        let is_absent = std::fs::symlink_metadata(&self.path).is_err_and(|e| e.kind() == ErrorKind::NotFound);
        // One that is gone is a fault: whoever wants none says `policy = "off"`.
        let (files, trust) = if self.is_optional && is_absent && !had_one {
            (vec![(self.path.clone(), None)], None)
        } else {
            let (files, trust) = read_policy(&self.path).map_err(|source| Error::TrustPolicy { source })?;
            (files, Some(Arc::new(trust)))
        };
        *cached = Some(CachedPolicy { files, version, trust: trust.clone() });
        Ok(Current { version, trust })
    }
}

/// Most times that a policy is read because it names other files than a moment ago.
const READINGS: usize = 4;

type Files = Vec<(PathBuf, Option<FileIdentity>)>;

/// Reads a policy. The identities of its files are taken before they are read: a later change gives others.
fn read_policy(path: &Path) -> Result<(Files, TrustPolicy), PackageError> {
    let mut names = vec![path.to_owned()];
    for _ in 0..READINGS {
        let files: Files = names.iter().map(|path| (path.clone(), FileIdentity::of(path).ok())).collect();
        let trust = TrustPolicy::read(path)?;
        if trust.files() == names {
            names.iter().try_for_each(|file| check_own(file))?;
            return Ok((files, trust));
        }
        names = trust.files().to_vec();
    }
    let message = "it names other files each time that it is read".to_owned();
    Err(PackageError::TrustPolicy { path: path.to_owned(), message })
}

/// Refuses a file that others may write to: whoever does decides whom this host trusts.
#[cfg(unix)]
fn check_own(path: &Path) -> Result<(), PackageError> {
    use nix::unistd::{getegid, geteuid};
    use std::os::unix::fs::MetadataExt;
    let unreadable = |source| PackageError::Read { path: path.to_owned(), source };
    let metadata = std::fs::metadata(path).map_err(unreadable)?;
    let (owner, mode) = (metadata.uid(), metadata.mode());
    let by_group = mode & 0o020 != 0 && metadata.gid() != getegid().as_raw();
    let message = if owner != geteuid().as_raw() && owner != 0 {
        format!("it belongs to user {owner}")
    } else if mode & 0o002 != 0 || by_group {
        format!("others may write to it (mode {:o})", mode & 0o7777)
    } else {
        return Ok(());
    };
    Err(PackageError::TrustPolicy { path: path.to_owned(), message })
}

#[cfg(not(unix))]
fn check_own(_: &Path) -> Result<(), PackageError> {
    Ok(())
}

/// The tenants of a package's workflows.
pub(crate) fn tenants(record: &StaticRecord) -> BTreeSet<&str> {
    record.workflows.iter().map(|workflow| workflow.tenant.as_str()).collect()
}

/// Adds signatures that are of a digest to others, one for each key and role, as many as a package may have: those that are there
/// stay. True when there are more than before.
pub(crate) fn merge(into: &mut Vec<Signature>, others: &[Signature], digest: &Digest) -> bool {
    let before = into.len();
    for signature in others {
        let is_new = !into.iter().any(|known| known.is_of_same_key(signature));
        if into.len() < MAX_SIGNATURES && is_new && signature.is_of(digest) {
            into.push(signature.clone());
        }
    }
    into.len() > before
}

/// A package as far as trust is concerned.
pub(crate) struct Subject<'a> {
    pub(crate) digest: &'a Digest,
    pub(crate) name: &'a PackageName,
    pub(crate) record: &'a StaticRecord,
    pub(crate) signatures: &'a [Signature],
}

impl Subject<'_> {
    /// Judges the signatures by the keys of a policy, as they are now. A key that has expired since the package was taken in
    /// stays good for it.
    pub(crate) fn judge(&self, trust: &TrustPolicy, taken_in_at: i64) -> Vec<JudgedSignature> {
        let now = now_ms();
        let judge = |signature| {
            let finding = trust.signers.judge(signature, self.digest, now);
            match finding.status {
                SignatureStatus::Expired { .. } => {
                    trust.signers.judge(signature, self.digest, taken_in_at.min(now))
                }
                _ => finding,
            }
        };
        self.signatures.iter().map(judge).collect()
    }

    /// Decides by a policy.
    pub(crate) fn decide(&self, trust: &TrustPolicy, taken_in_at: i64) -> Admission {
        trust.decide(self.name, &tenants(self.record), &self.judge(trust, taken_in_at))
    }

    /// As [`Subject::decide`], refusing what the policy refuses.
    pub(crate) fn admit(
        &self,
        source: Option<&TrustPolicyFile>,
        taken_in_at: i64,
    ) -> Result<Admission, Error> {
        let trust = match source {
            Some(source) => source.policy()?,
            None => None,
        };
        match trust.map(|trust| self.decide(&trust, taken_in_at)) {
            None => Ok(Admission::Unchecked),
            Some(Admission::Untrusted { is_refused: true, reasons }) => Err(Error::Untrusted { reasons }),
            Some(decision) => Ok(decision),
        }
    }
}

/// A package that changes the working directory moves no policy.
fn absolute(path: PathBuf) -> PathBuf {
    std::path::absolute(&path).unwrap_or(path)
}

/// Milliseconds since 1970.
pub(crate) fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
