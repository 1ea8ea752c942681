//! The trust policy of a host, and what it says about a package.

use crate::artifact::cache::FileIdentity;
use crate::error::Error;
use longshore_package::trust::{Decision, Finding, Signature, Trust};
use longshore_package::{Digest, PackageName, StaticRecord};
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

/// A policy in a file, read again when that file, or one that it names, changes.
#[derive(Debug)]
pub struct TrustSource {
    path: PathBuf,
    /// True when there need not be one.
    is_optional: bool,
    read: Mutex<Option<Read>>,
}

/// A policy as it was read.
#[derive(Debug, Clone)]
struct Read {
    files: Vec<(PathBuf, Option<FileIdentity>)>,
    /// Counts from 1 with each change.
    version: u64,
    /// None when there is no policy.
    trust: Option<Arc<Trust>>,
}

/// A policy, and the number of its version.
#[derive(Debug, Clone)]
pub(crate) struct Current {
    pub(crate) version: u64,
    pub(crate) trust: Option<Arc<Trust>>,
}

impl TrustSource {
    /// A policy that there has to be: without it nothing is loaded.
    pub fn required(path: PathBuf) -> Self {
        Self { path: absolute(path), is_optional: false, read: Mutex::new(None) }
    }

    /// A policy that counts when it is there.
    pub fn optional(path: PathBuf) -> Self {
        Self { path: absolute(path), is_optional: true, read: Mutex::new(None) }
    }

    /// The policy as it is now; none when there is none.
    ///
    /// # Errors
    /// [`Error::TrustPolicy`] when it does not read: nobody is trusted meanwhile.
    pub fn policy(&self) -> Result<Option<Arc<Trust>>, Error> {
        Ok(self.current()?.trust)
    }

    pub(crate) fn current(&self) -> Result<Current, Error> {
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        let is_same =
            |(path, identity): &(PathBuf, Option<FileIdentity>)| FileIdentity::of(path).ok() == *identity;
        let version = match &*read {
            Some(known) if known.files.iter().all(is_same) => {
                return Ok(Current { version: known.version, trust: known.trust.clone() });
            }
            Some(known) => known.version + 1,
            None => 1,
        };
        // Its identity comes first: a change while it is read is found out the next time.
        let own = FileIdentity::of(&self.path).ok();
        let mut files = vec![(self.path.clone(), own)];
        let trust = if self.is_optional && own.is_none() {
            None
        } else {
            let trust = Trust::read(&self.path).map_err(|source| Error::TrustPolicy { source })?;
            let others = trust.files().iter().skip(1);
            files.extend(others.map(|path| (path.clone(), FileIdentity::of(path).ok())));
            Some(Arc::new(trust))
        };
        *read = Some(Read { files, version, trust: trust.clone() });
        Ok(Current { version, trust })
    }
}

/// A package as far as trust is concerned.
pub(crate) struct Subject<'a> {
    pub(crate) digest: &'a Digest,
    pub(crate) name: &'a PackageName,
    pub(crate) record: &'a StaticRecord,
    pub(crate) signatures: &'a [Signature],
}

impl Subject<'_> {
    /// Judges the signatures by the keys of a policy.
    pub(crate) fn judge(&self, trust: &Trust, at: i64) -> Vec<Finding> {
        let judge = |signature| trust.signers.judge(signature, self.digest, at);
        self.signatures.iter().map(judge).collect()
    }

    /// Decides by a policy. Keys have to be valid at `at`, in milliseconds since 1970.
    pub(crate) fn decide(&self, trust: &Trust, at: i64) -> Decision {
        let findings = self.judge(trust, at);
        let tenants: BTreeSet<&str> =
            self.record.workflows.iter().map(|workflow| workflow.tenant.as_str()).collect();
        trust.decide(self.name, &tenants, &findings)
    }

    /// As [`Subject::decide`], refusing what the policy refuses.
    pub(crate) fn admit(&self, source: Option<&TrustSource>, at: i64) -> Result<Decision, Error> {
        let trust = match source {
            Some(source) => source.policy()?,
            None => None,
        };
        match trust.map(|trust| self.decide(&trust, at)) {
            None => Ok(Decision::Unchecked),
            Some(Decision::Untrusted { is_refused: true, reasons }) => Err(Error::Untrusted { reasons }),
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
