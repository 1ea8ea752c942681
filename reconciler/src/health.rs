//! Whether things are well, decided from what was seen: of a generation that replaced another, of the whole host.

use longshore_store::{ConditionKind, ConditionRow, ConditionStatus, GenerationRow, GenerationState};
use serde::Serialize;

/// How long a new generation is watched, and what makes it one to go back from.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct HealthPolicy {
    /// So long, in milliseconds, at most.
    pub window_ms: i64,
    /// Until so many of its runs ended, at most.
    pub runs: u64,
    /// From so many ended runs on the share of failed ones counts.
    pub min_runs: u64,
    /// The largest share of failed runs, 0 to 1.
    pub max_failed: f64,
    /// So many ends of its process (when it is isolated) are too many.
    pub max_crashes: u32,
}

impl Default for HealthPolicy {
    fn default() -> Self {
        Self { window_ms: 60_000, runs: 20, min_runs: 3, max_failed: 0.5, max_crashes: 3 }
    }
}

/// What was seen of a generation since it was published.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Seen {
    /// Milliseconds since then.
    pub age_ms: i64,
    /// Runs that were started on it and ended.
    pub ended: u64,
    /// Those of them that failed.
    pub failed: u64,
    /// Ends of its process.
    pub crashes: u32,
}

/// What follows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It is too early to say.
    Watched,
    /// It holds up.
    Healthy,
    /// The one before is better; why.
    Sick(String),
}

/// Judges a generation.
pub fn judge(policy: &HealthPolicy, seen: &Seen) -> Verdict {
    if seen.crashes >= policy.max_crashes {
        return Verdict::Sick(format!(
            "its process ended {} times within {} s",
            seen.crashes,
            seen.age_ms / 1000
        ));
    }
    let share = seen.failed as f64 / seen.ended.max(1) as f64;
    if seen.ended >= policy.min_runs && share > policy.max_failed {
        return Verdict::Sick(format!("{} of its first {} runs failed", seen.failed, seen.ended));
    }
    if seen.age_ms >= policy.window_ms || seen.ended >= policy.runs {
        return Verdict::Healthy;
    }
    Verdict::Watched
}

/// The newest digest of a package that no host had for as long as a window is, and the one before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unproven {
    /// The digest.
    pub digest: String,
    /// How many hosts died under it.
    pub deaths: u32,
    /// The generation before.
    pub before: GenerationRow,
}

impl Unproven {
    /// Looks at the generations of one package, newest first. A host that was stopped in time proves nothing, and
    /// does not speak against a digest.
    pub fn of(policy: &HealthPolicy, generations: &[GenerationRow]) -> Option<Self> {
        let digest = &generations.first()?.digest;
        let (of_digest, others): (Vec<_>, Vec<_>) = generations.iter().partition(|g| g.digest == *digest);
        let was_short = |g: &&GenerationRow| {
            g.unloaded_at.is_some_and(|ended| ended.saturating_sub(g.loaded_at) < policy.window_ms)
        };
        let before = (*others.first().filter(|_| of_digest.iter().all(was_short))?).clone();
        let newest = generations.iter().take_while(|g| g.digest == *digest);
        let deaths = newest.filter(|g| g.state == GenerationState::Lost).count() as u32;
        Some(Self { digest: digest.clone(), deaths, before })
    }

    /// Whether so many hosts died, each soon after it had loaded it, that it is to be gone back from: what ends a
    /// host that it runs in cannot be watched by it.
    pub fn is_deadly(&self, policy: &HealthPolicy) -> bool {
        self.deaths >= policy.max_crashes
    }
}

/// Something that a condition says is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Complaint {
    /// About what: `package/NAME`, `file/PATH`, `digest/DIGEST`.
    pub subject: String,
    /// A stable code.
    pub code: String,
    /// For people, with what to do.
    pub message: String,
}

/// How a host is, as its conditions say.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Wellness {
    /// Packages that are wanted and not loaded: a host that has any is not ready.
    pub missing: Vec<Complaint>,
    /// What somebody should look at; the host is ready all the same.
    pub warnings: Vec<Complaint>,
}

impl Wellness {
    /// Derives it from all conditions.
    pub fn of(conditions: &[ConditionRow]) -> Self {
        let mut wellness = Self::default();
        for condition in conditions {
            let holds = condition.status == ConditionStatus::True;
            let list = match condition.kind {
                ConditionKind::Accepted if !holds && is_missing(conditions, &condition.subject) => {
                    &mut wellness.missing
                }
                ConditionKind::Accepted if !holds => &mut wellness.warnings,
                ConditionKind::Warned if holds => &mut wellness.warnings,
                _ => continue,
            };
            list.push(Complaint {
                subject: condition.subject.clone(),
                code: condition.reason.clone(),
                message: condition.message.clone(),
            });
        }
        wellness
    }

    /// Whether everything that is wanted is loaded.
    pub fn is_ready(&self) -> bool {
        self.missing.is_empty()
    }
}

/// Whether something that was refused leaves a gap: a package of which no other digest goes on. A file that is no
/// package may be anything, and what it held before goes on.
fn is_missing(conditions: &[ConditionRow], subject: &str) -> bool {
    let ready = |c: &ConditionRow| c.kind == ConditionKind::Ready && c.status == ConditionStatus::True;
    !subject.starts_with("file/") && !conditions.iter().any(|c| c.subject == subject && ready(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn generation(digest: &str, state: GenerationState, lived: i64) -> GenerationRow {
        GenerationRow {
            id: String::new(),
            host_id: String::new(),
            digest: digest.into(),
            package: "p".into(),
            version: String::new(),
            state,
            step: 0,
            loaded_at: 0,
            unloaded_at: Some(lived),
            released: None,
        }
    }

    #[test]
    fn a_version_that_host_after_host_dies_under_is_gone_back_from() {
        use GenerationState::{Lost, Unloaded};
        let policy = HealthPolicy::default();
        let unproven = |generations: &[GenerationRow]| Unproven::of(&policy, generations);
        let is_deadly =
            |generations: &[GenerationRow]| unproven(generations).is_some_and(|u| u.is_deadly(&policy));
        let bad = || generation("bad", Lost, 1_000);
        let good = || generation("good", Lost, 900_000);
        let under = unproven(&[bad(), bad(), bad(), good()]).expect("three died");
        assert_eq!((under.digest.as_str(), under.deaths, under.before.clone()), ("bad", 3, good()));
        assert!(under.is_deadly(&policy));
        assert!(!is_deadly(&[bad(), bad(), good()]), "two may be chance");
        assert!(!is_deadly(&[bad(), bad(), bad()]), "there is nothing to go back to");
        let lived = generation("bad", Lost, 900_000);
        assert!(!is_deadly(&[bad(), bad(), bad(), lived, good()]), "it held up once: it is another's fault");
        let closed = || generation("bad", Unloaded, 1_000);
        assert!(!is_deadly(&[bad(), bad(), closed(), good()]), "a host that was stopped did not die");
        assert!(is_deadly(&[bad(), closed(), bad(), bad(), good()]), "nor does it prove anything");
    }

    #[test]
    fn a_version_is_watched_again_until_one_host_had_it_for_long() {
        use GenerationState::{Lost, Unloaded};
        let before = |generations: &[GenerationRow]| {
            Unproven::of(&HealthPolicy::default(), generations).map(|unproven| unproven.before.digest)
        };
        let (young, good) = (generation("new", Unloaded, 9_000), generation("good", Unloaded, 900_000));
        assert_eq!(before(&[young.clone(), good.clone()]), Some("good".into()));
        assert_eq!(
            before(&[generation("new", Lost, 9_000), young.clone(), good.clone()]),
            Some("good".into())
        );
        assert_eq!(before(&[young.clone(), generation("new", Unloaded, 60_000), good]), None);
        assert_eq!(before(&[young]), None, "the first version of all replaced nothing");
        let (back, bad) = (generation("good", Unloaded, 9_000), generation("bad", Unloaded, 9_000));
        let long_ago = generation("good", Unloaded, 900_000);
        assert_eq!(before(&[back, bad, long_ago]), None, "it came back from a bad one, and held up before");
    }

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
    fn a_host_is_ready_when_everything_that_is_wanted_is_loaded() {
        use ConditionKind::{Accepted, Ready, Warned};
        use ConditionStatus::{False, True};
        let said = [
            condition("package/good", Accepted, True),
            condition("package/good", Warned, True),
            condition("package/old", Ready, True),
            condition("package/old", Accepted, False),
            condition("file/stray", Accepted, False),
        ];
        let wellness = Wellness::of(&said);
        assert!(wellness.is_ready());
        assert_eq!(wellness.warnings.len(), 3, "the new digest of `old` was refused, and it goes on");
        let wellness = Wellness::of(&[condition("package/new", Accepted, False)]);
        assert!(!wellness.is_ready());
        assert_eq!(wellness.missing[0].code, "LS0306");
    }

    #[test]
    fn a_generation_is_watched_until_it_fails_or_has_proven_itself() {
        let judged = |age_ms, ended, failed, crashes| {
            judge(&HealthPolicy::default(), &Seen { age_ms, ended, failed, crashes })
        };
        assert_eq!(judged(0, 2, 2, 0), Verdict::Watched, "two runs prove nothing");
        assert!(matches!(judged(0, 3, 2, 0), Verdict::Sick(_)));
        assert!(matches!(judged(0, 0, 0, 3), Verdict::Sick(_)));
        assert_eq!(judged(0, 20, 10, 0), Verdict::Healthy, "half of them is what the policy allows");
        assert_eq!(judged(60_000, 0, 0, 2), Verdict::Healthy);
    }
}
