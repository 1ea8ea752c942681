//! The readiness of a host, derived from its conditions.

use crate::error::ROLLED_BACK;
use longshore_store::{ConditionKind, ConditionRow, ConditionStatus, FollowedPackage, Subject};
use serde::Serialize;

/// A problem that a condition reports.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// `package/NAME`, `file/PATH` or `digest/DIGEST`.
    pub subject: String,
    /// A stable code.
    pub code: String,
    /// The condition's message, with what to do.
    pub message: String,
}

/// True of a condition that reports a problem of its subject.
pub fn is_problem(condition: &ConditionRow) -> bool {
    let holds = condition.status == ConditionStatus::True;
    match condition.kind {
        ConditionKind::Accepted => !holds,
        ConditionKind::Degraded | ConditionKind::Quarantined | ConditionKind::Unresolved => holds,
        ConditionKind::Loaded | ConditionKind::Ready => false,
    }
}

/// The readiness of a host in a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ReadyState {
    /// Everything that is desired is loaded.
    Ready,
    /// Everything is loaded, and of some packages another version than the wanted one.
    Degraded,
    /// No host runs, or a package is missing.
    NotReady,
}

impl ReadyState {
    /// The word for people.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Degraded => "degraded",
            Self::NotReady => "not ready",
        }
    }
}

/// The readiness of a host.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Readiness {
    /// Hosts that run. Without any nothing is ready.
    pub hosts: usize,
    /// Packages that are desired and not loaded: a host with any of them is not ready.
    pub missing: Vec<Problem>,
    /// Packages of which another version is loaded than the one that is wanted.
    pub degraded: Vec<Problem>,
    /// Other problems; the host is ready all the same.
    pub warnings: Vec<Problem>,
}

impl Readiness {
    /// Derives it from all conditions, the followed packages and the number of hosts that run.
    pub fn of(conditions: &[ConditionRow], followed: &[FollowedPackage], hosts: usize) -> Self {
        let mut readiness = Self { hosts, ..Self::default() };
        for condition in conditions {
            let holds = condition.status == ConditionStatus::True;
            let list = match condition.kind {
                ConditionKind::Accepted if !holds && is_missing(conditions, &condition.subject) => {
                    &mut readiness.missing
                }
                ConditionKind::Accepted if !holds && !Subject::is_file(&condition.subject) => {
                    &mut readiness.degraded
                }
                ConditionKind::Accepted if !holds => &mut readiness.warnings,
                ConditionKind::Degraded if holds && condition.reason == ROLLED_BACK => {
                    &mut readiness.degraded
                }
                ConditionKind::Degraded | ConditionKind::Unresolved if holds => &mut readiness.warnings,
                _ => continue,
            };
            list.push(Problem {
                subject: condition.subject.clone(),
                code: condition.reason.clone(),
                message: condition.message.clone(),
            });
        }
        for row in followed {
            let (Some(code), Some(message)) = (&row.code, &row.message) else { continue };
            // The release before goes on; without any there is nothing of the package.
            let list = if row.digest.is_some() { &mut readiness.warnings } else { &mut readiness.missing };
            let subject = Subject::Package(&row.name).to_string();
            list.push(Problem { subject, code: code.clone(), message: message.clone() });
        }
        readiness
    }

    /// True when a host runs and everything that is desired is loaded, in whatever version.
    pub fn is_ready(&self) -> bool {
        self.hosts > 0 && self.missing.is_empty()
    }

    /// The state in a word.
    pub fn state(&self) -> ReadyState {
        match self.is_ready() {
            false => ReadyState::NotReady,
            true if self.degraded.is_empty() => ReadyState::Ready,
            true => ReadyState::Degraded,
        }
    }
}

/// True when a refused subject is a package of which no other digest is loaded. A file that is not a package may be
/// anything, and its earlier content stays loaded.
fn is_missing(conditions: &[ConditionRow], subject: &str) -> bool {
    let ready = |c: &ConditionRow| c.kind == ConditionKind::Ready && c.status == ConditionStatus::True;
    !Subject::is_file(subject) && !conditions.iter().any(|c| c.subject == subject && ready(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn condition(subject: &str, kind: ConditionKind, status: ConditionStatus) -> ConditionRow {
        let (subject, reason) = (subject.to_owned(), "LS0306".to_owned());
        ConditionRow {
            subject,
            kind,
            status,
            reason,
            message: String::new(),
            digest: String::new(),
            since: 0,
        }
    }

    #[test]
    fn a_host_is_ready_when_it_runs_and_everything_that_is_desired_is_loaded() {
        use ConditionKind::{Accepted, Degraded, Ready};
        use ConditionStatus::{False, True};
        let mut conditions = vec![
            condition("package/good", Accepted, True),
            condition("package/good", Degraded, True),
            condition("file/stray", Accepted, False),
        ];
        let readiness = Readiness::of(&conditions, &[], 1);
        assert_eq!((readiness.state(), readiness.warnings.len()), (ReadyState::Ready, 2));
        assert_eq!(Readiness::of(&conditions, &[], 0).state(), ReadyState::NotReady, "no host runs");
        conditions.extend([condition("package/old", Ready, True), condition("package/old", Accepted, False)]);
        let readiness = Readiness::of(&conditions, &[], 1);
        assert_eq!(readiness.state(), ReadyState::Degraded, "its new digest was refused, and it goes on");
        let rolled_back =
            ConditionRow { reason: ROLLED_BACK.into(), ..condition("package/back", Degraded, True) };
        assert_eq!(Readiness::of(&[rolled_back], &[], 1).state(), ReadyState::Degraded);
        let readiness = Readiness::of(&[condition("package/new", Accepted, False)], &[], 1);
        assert_eq!((readiness.state(), readiness.missing[0].code.as_str()), (ReadyState::NotReady, "LS0306"));
    }

    #[test]
    fn a_followed_package_of_which_nothing_came_is_missing() {
        let mut row = FollowedPackage {
            name: "rates".into(),
            requirement: String::new(),
            registry: "somewhere".into(),
            actor: String::new(),
            reason: String::new(),
            updated_at: 0,
            version: String::new(),
            digest: None,
            checked_at: Some(1),
            code: Some("LS0806".into()),
            message: Some("gone".into()),
        };
        let readiness = Readiness::of(&[], &[row.clone()], 1);
        assert_eq!((readiness.state(), readiness.missing[0].code.as_str()), (ReadyState::NotReady, "LS0806"));
        row.digest = Some(longshore_package::Digest::from_sha256([1; 32]));
        let readiness = Readiness::of(&[], &[row.clone()], 1);
        assert_eq!((readiness.state(), readiness.warnings.len()), (ReadyState::Ready, 1));
        row.code = None;
        assert_eq!(Readiness::of(&[], &[row], 1).warnings, []);
    }
}
