//! The rollout of a generation that replaced another: it holds up, or is rolled back.

use longshore_package::Digest;
use longshore_store::{GenerationRow, GenerationState};

/// The observation of a new generation, and the results that roll it back.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct HealthPolicy {
    /// Longest observation, in milliseconds.
    pub window_ms: i64,
    /// Ended runs that end the observation early.
    pub runs: u64,
    /// Ended runs from which on the share of failed ones counts.
    pub min_runs: u64,
    /// The largest share of failed runs, 0 to 1.
    pub max_failed: f64,
    /// Ends of its process (when it is isolated), or deaths of hosts under it, that are too many.
    pub max_crashes: u32,
}

impl Default for HealthPolicy {
    fn default() -> Self {
        Self { window_ms: 60_000, runs: 20, min_runs: 3, max_failed: 0.5, max_crashes: 3 }
    }
}

/// Counts of a generation since it was published.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RolloutStats {
    /// Milliseconds since it was published.
    pub age_ms: i64,
    /// Runs that were started on it and ended.
    pub ended: u64,
    /// Runs among them that failed.
    pub failed: u64,
    /// Ends of its process.
    pub crashes: u32,
}

/// The state of a rollout.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RolloutState {
    /// Too little is known.
    Progressing,
    /// The generation holds up.
    Healthy,
    /// The generation fails, for this reason: the one before is better.
    Degraded(String),
}

/// Evaluates a rollout.
pub fn evaluate(policy: &HealthPolicy, stats: &RolloutStats) -> RolloutState {
    let RolloutStats { age_ms, ended, failed, crashes } = *stats;
    if crashes >= policy.max_crashes {
        let seconds = age_ms / 1000;
        return RolloutState::Degraded(format!("its process ended {crashes} times within {seconds} s"));
    }
    let share = failed as f64 / ended.max(1) as f64;
    if ended >= policy.min_runs && share > policy.max_failed {
        return RolloutState::Degraded(format!("{failed} of its first {ended} runs failed"));
    }
    if age_ms >= policy.window_ms || ended >= policy.runs {
        return RolloutState::Healthy;
    }
    RolloutState::Progressing
}

/// The newest digest of a package, when no host had it for as long as a window is; with the one before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unverified {
    /// The digest.
    pub digest: Digest,
    /// Hosts that died under it.
    pub deaths: u32,
    /// The generation before.
    pub before: GenerationRow,
}

impl Unverified {
    /// Evaluates the generations of one package, newest first. A host that was stopped in time proves nothing, and
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

    /// True when so many hosts died, each soon after it had loaded the digest, that it is rolled back: a package that
    /// ends its host cannot be observed by that host.
    pub fn is_crash_looping(&self, policy: &HealthPolicy) -> bool {
        self.deaths >= policy.max_crashes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use longshore_package::digest_of_files;

    fn digest(name: &str) -> Digest {
        digest_of_files([(name, "sum")])
    }

    fn generation(name: &str, state: GenerationState, lived: i64) -> GenerationRow {
        GenerationRow {
            id: String::new(),
            host_id: String::new(),
            digest: digest(name),
            package: "p".into(),
            version: String::new(),
            state,
            step: 0,
            loaded_at: 0,
            unloaded_at: Some(lived),
            unload_result: None,
            drained_at: None,
        }
    }

    #[test]
    fn a_version_that_host_after_host_dies_under_is_rolled_back() {
        use GenerationState::{Lost, Unloaded};
        let policy = HealthPolicy::default();
        let unverified = |generations: &[GenerationRow]| Unverified::of(&policy, generations);
        let is_crash_looping = |generations: &[GenerationRow]| {
            unverified(generations).is_some_and(|u| u.is_crash_looping(&policy))
        };
        let bad = || generation("bad", Lost, 1_000);
        let good = || generation("good", Lost, 900_000);
        let under = unverified(&[bad(), bad(), bad(), good()]).expect("three died");
        assert_eq!((&under.digest, under.deaths, &under.before), (&digest("bad"), 3, &good()));
        assert!(under.is_crash_looping(&policy));
        assert!(!is_crash_looping(&[bad(), bad(), good()]), "two may be chance");
        assert!(!is_crash_looping(&[bad(), bad(), bad()]), "there is nothing to go back to");
        let lived = generation("bad", Lost, 900_000);
        assert!(
            !is_crash_looping(&[bad(), bad(), bad(), lived, good()]),
            "it held up once: it is another's fault"
        );
        let closed = || generation("bad", Unloaded, 1_000);
        assert!(!is_crash_looping(&[bad(), bad(), closed(), good()]), "a host that was stopped did not die");
        assert!(is_crash_looping(&[bad(), closed(), bad(), bad(), good()]), "nor does it prove anything");
    }

    #[test]
    fn a_version_is_unverified_until_one_host_had_it_for_long() {
        use GenerationState::{Lost, Unloaded};
        let before = |generations: &[GenerationRow]| {
            Unverified::of(&HealthPolicy::default(), generations).map(|unverified| unverified.before.digest)
        };
        let (young, good) = (generation("new", Unloaded, 9_000), generation("good", Unloaded, 900_000));
        assert_eq!(before(&[young.clone(), good.clone()]), Some(digest("good")));
        assert_eq!(
            before(&[generation("new", Lost, 9_000), young.clone(), good.clone()]),
            Some(digest("good"))
        );
        assert_eq!(before(&[young.clone(), generation("new", Unloaded, 60_000), good]), None);
        assert_eq!(before(&[young]), None, "the first version of all replaced nothing");
        let (back, bad) = (generation("good", Unloaded, 9_000), generation("bad", Unloaded, 9_000));
        let long_ago = generation("good", Unloaded, 900_000);
        assert_eq!(before(&[back, bad, long_ago]), None, "it came back from a bad one, and held up before");
    }

    #[test]
    fn a_rollout_progresses_until_the_generation_fails_or_holds_up() {
        let state = |age_ms, ended, failed, crashes| {
            evaluate(&HealthPolicy::default(), &RolloutStats { age_ms, ended, failed, crashes })
        };
        assert_eq!(state(0, 2, 2, 0), RolloutState::Progressing, "two runs prove nothing");
        assert!(matches!(state(0, 3, 2, 0), RolloutState::Degraded(_)));
        assert!(matches!(state(0, 0, 0, 3), RolloutState::Degraded(_)));
        assert_eq!(state(0, 20, 10, 0), RolloutState::Healthy, "half of them is what the policy allows");
        assert_eq!(state(60_000, 0, 0, 2), RolloutState::Healthy);
    }
}
