//! The readiness of a host, derived from its conditions.

use longshore_store::{ConditionKind, ConditionRow, ConditionStatus, Subject};
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

/// The readiness of a host.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Readiness {
    /// Packages that are desired and not loaded: a host with any of them is not ready.
    pub missing: Vec<Problem>,
    /// Other problems; the host is ready all the same.
    pub warnings: Vec<Problem>,
}

impl Readiness {
    /// Derives it from all conditions.
    pub fn of(conditions: &[ConditionRow]) -> Self {
        let mut readiness = Self::default();
        for condition in conditions {
            let holds = condition.status == ConditionStatus::True;
            let list = match condition.kind {
                ConditionKind::Accepted if !holds && is_missing(conditions, &condition.subject) => {
                    &mut readiness.missing
                }
                ConditionKind::Accepted if !holds => &mut readiness.warnings,
                ConditionKind::Degraded | ConditionKind::Unresolved if holds => &mut readiness.warnings,
                _ => continue,
            };
            list.push(Problem {
                subject: condition.subject.clone(),
                code: condition.reason.clone(),
                message: condition.message.clone(),
            });
        }
        readiness
    }

    /// True when everything that is desired is loaded.
    pub fn is_ready(&self) -> bool {
        self.missing.is_empty()
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
    fn a_host_is_ready_when_everything_that_is_desired_is_loaded() {
        use ConditionKind::{Accepted, Degraded, Ready};
        use ConditionStatus::{False, True};
        let said = [
            condition("package/good", Accepted, True),
            condition("package/good", Degraded, True),
            condition("package/old", Ready, True),
            condition("package/old", Accepted, False),
            condition("file/stray", Accepted, False),
        ];
        let readiness = Readiness::of(&said);
        assert!(readiness.is_ready());
        assert_eq!(readiness.warnings.len(), 3, "the new digest of `old` was refused, and it goes on");
        let readiness = Readiness::of(&[condition("package/new", Accepted, False)]);
        assert!(!readiness.is_ready());
        assert_eq!(readiness.missing[0].code, "LS0306");
    }
}
