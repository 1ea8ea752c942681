//! Ended runs that are not kept any more.

use crate::model::retention::Retention;
use longshore_store::{RunAge, RunState, TenantId};
use std::collections::HashMap;
use std::time::Duration;

/// Looks at runs from the newest to the oldest, and says which are not kept.
#[derive(Debug)]
pub struct Sweep<'r> {
    retention: &'r Retention,
    now: i64,
    /// Runs of each workflow so far, those that succeeded apart from the others.
    seen: HashMap<(TenantId, String, bool), u64>,
}

impl<'r> Sweep<'r> {
    /// A sweep at a time.
    pub fn new(retention: &'r Retention, now: i64) -> Self {
        Self { retention, now, seen: HashMap::new() }
    }

    /// True when a run is not kept.
    pub fn is_expired(&mut self, run: &RunAge) -> bool {
        let Some(finished_at) = run.finished_at else { return false };
        let succeeded = run.state == RunState::Succeeded;
        let keep = if succeeded { self.retention.succeeded } else { self.retention.failed };
        let seen = self.seen.entry((run.tenant.clone(), run.workflow.clone(), succeeded)).or_default();
        *seen += 1;
        *seen > keep.newest || finished_at < before(self.now, keep.age)
    }
}

/// The time so long before `now`.
pub fn before(now: i64, age: Duration) -> i64 {
    now.saturating_sub(i64::try_from(age.as_millis()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::retention::{DAY, Keep};
    use longshore_store::RunId;

    const NOW: i64 = 1_000_000_000_000;

    fn run(workflow: &str, state: RunState, days: Option<u32>) -> RunAge {
        let finished_at = days.map(|days| before(NOW, DAY * days));
        RunAge {
            id: RunId::new(),
            tenant: TenantId::default(),
            workflow: workflow.into(),
            state,
            finished_at,
        }
    }

    #[test]
    fn runs_are_kept_by_age_and_those_that_failed_longer() {
        let retention = Retention::default();
        let mut sweep = Sweep::new(&retention, NOW);
        assert!(!sweep.is_expired(&run("a", RunState::Succeeded, Some(6))));
        assert!(sweep.is_expired(&run("a", RunState::Succeeded, Some(8))));
        assert!(!sweep.is_expired(&run("a", RunState::Failed, Some(8))));
        assert!(sweep.is_expired(&run("a", RunState::Cancelled, Some(31))));
        assert!(!sweep.is_expired(&run("a", RunState::Running, None)), "what is open is kept");
    }

    #[test]
    fn the_newest_runs_of_each_workflow_are_kept() {
        let keep = Keep { age: DAY, newest: 2 };
        let retention = Retention { succeeded: keep, ..Retention::default() };
        let mut sweep = Sweep::new(&retention, NOW);
        let mut expired = |workflow, state| sweep.is_expired(&run(workflow, state, Some(0)));
        let of_a: Vec<bool> = (0..3).map(|_| expired("a", RunState::Succeeded)).collect();
        assert_eq!(of_a, [false, false, true]);
        assert!(!expired("b", RunState::Succeeded) && !expired("a", RunState::Failed));
    }
}
