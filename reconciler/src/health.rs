//! Whether a generation that replaced another holds up, decided from what was seen of it.

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

#[cfg(test)]
mod tests {
    use super::*;

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
