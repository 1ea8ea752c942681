//! The loop. One pass is:
//! 1. scan the sources (`source::offers`), and record what was closed or crashed since the last pass;
//! 2. observe the loaded generations, pins and overrides (`observe`), and judge loaded packages again when the trust policy or
//!    their signatures changed (`trust`);
//! 3. plan, purely (`crate::plan`);
//! 4. apply: cancel and unload (`unload`, `closing`), load and restore (`load`, `prepare`, `register`), retire, each recorded
//!    in the `journal`;
//! 5. evaluate rollouts (`rollout`), and collect what the artifact cache no longer needs (`cache_gc`).
//!
//! # Guarantees
//! - A pass may die anywhere: the next one, of this host or another, finds its way from the files and the database.
//! - A pass waits a moment for packages that open or close, and for none that does not.

mod cache_gc;
mod closing;
mod entry_rows;
pub(crate) mod following;
mod journal;
mod load;
mod loading;
mod noted;
mod notes;
mod observe;
pub(crate) mod options;
mod prepare;
pub(crate) mod preview;
mod register;
pub(crate) mod report;
mod retries;
mod rollout;
pub(crate) mod state;
pub(crate) mod take_in;
mod trust;
mod unload;

use crate::error::Error;
use crate::plan::model::{Action, Deferred, Desired, Plan, PlanInput};
use crate::plan::plan;
use loading::Purpose;
use longshore_package::Digest;
use longshore_store::OverrideKind;
use notes::log_failure;
use observe::{Observation, followed_releases};
use report::Report;
use rollout::ROLLOUT_INTERVAL;
use state::Reconciler;
use std::collections::BTreeMap;
use std::time::Duration;
use unload::UNLOAD_GRACE;

/// The pause before a file that is being written is scanned again.
const UNSETTLED_INTERVAL: Duration = Duration::from_millis(200);

/// The interval at which packages that are on their way are looked at.
const LOADING_INTERVAL: Duration = Duration::from_millis(20);

/// The interval at which the runs of a draining generation are counted.
const DRAIN_INTERVAL: Duration = Duration::from_millis(250);

impl Reconciler {
    /// One pass; returns when the next one is due. Without a change it costs one query.
    ///
    /// # Errors
    /// [`Error::Store`] when the database fails; what is wrong with a package is in the report.
    pub async fn reconcile(&mut self) -> Result<(Report, Duration), Error> {
        let mut report = Report::default();
        self.load_recorded().await?;
        let mut changes = self.offers.scan().await;
        let unsettled = changes.unsettled;
        self.unsettled = unsettled;
        self.rewritten.append(&mut changes.rewritten);
        self.record_scan(changes, &mut report).await;
        self.record_registered().await?;
        self.record_closed(&mut report).await?;
        self.record_crashes(&mut report).await?;
        self.load_history(&mut report).await?;
        let Observation { observed, pins, overrides, retries, followed } = self.observe().await?;
        self.review_overrides(&overrides).await?;
        self.review_trust(&mut report).await?;
        let rolled_back = overrides.iter().filter(|row| row.kind == OverrideKind::RollBack);
        self.rolled_back = rolled_back.map(|row| row.name.clone()).collect();
        let is_active = |package: &Desired| {
            self.active(&package.name).is_some_and(|tracked| *tracked.generation.digest() == package.digest)
        };
        let mut offered = self.offers.offered(is_active);
        // A host that is there for a run has what it was given.
        if !self.transient {
            offered.extend(followed_releases(&followed));
            self.note_followed(&followed);
        }
        self.forget_failures(retries, &offered).await?;
        // What is on its way is not given up for the sake of an earlier failure.
        let mut failures = self.failures.clone();
        failures.retain(|digest, _| !self.loadings.has_digest(digest));
        let input = PlanInput {
            offered: &offered,
            overrides: &overrides,
            observed: &observed,
            pins: &pins,
            failures: &failures,
            drain: self.drain,
        };
        let Plan { actions, deferred, desired } = plan(input, self.now_ms());
        self.apply(actions, &mut report).await?;
        self.record_superseded(&deferred).await;
        self.settle_wanted(&desired).await?;
        log_failure(self.clear_stale(&desired, &pins).await);
        self.evaluate_rollouts(&mut report).await?;
        let next = self.next_pass(unsettled, &deferred);
        report.deferred = deferred;
        if !unsettled && self.loadings.is_empty() {
            log_failure(self.record_unresolved().await);
            self.packages.settle();
        }
        Ok((report, next))
    }

    async fn apply(&mut self, actions: Vec<Action>, report: &mut Report) -> Result<(), Error> {
        let (mut wanted, mut retires) = (BTreeMap::new(), Vec::new());
        for action in actions {
            match action {
                Action::Load { package, replaces } => {
                    wanted.insert(package.digest.clone(), Purpose::Activate { package, replaces });
                }
                Action::Restore { digest, pinned_runs } => {
                    wanted.entry(digest).or_insert(Purpose::Restore { pinned_runs });
                }
                Action::Retire { digest, overridden_by, .. } => retires.push((digest, overridden_by)),
                Action::Cancel { name, digest, .. } => self.cancel_runs(name, &digest, report).await?,
                Action::ForceUnload { digest, .. } => self.force_unload(&digest, report).await?,
                Action::Unload { digest, .. } => self.unload(&digest, report).await?,
            }
        }
        // What is desired again is not kept for the sake of others.
        for (digest, tracked) in &mut self.tracked {
            if retires.iter().all(|(retired, _)| retired != digest) && !tracked.retained_for.is_empty() {
                tracked.retained_for.clear();
                self.troubled.insert(tracked.generation.package().clone());
            }
        }
        // Subscribers are retired before the owners of their reactors.
        retires.sort_by_cached_key(|(digest, _)| (self.owns_reactors(digest), digest.clone()));
        let retiring: Vec<Digest> = retires.iter().map(|(digest, _)| digest.clone()).collect();
        let loaded = self.load(wanted, &retiring, report).await;
        for (digest, overridden_by) in retires {
            // Another package is about to take its names over: no request finds neither.
            if !self.is_awaited_in_place_of(&digest) {
                self.retire(&digest, overridden_by, report).await?;
            }
        }
        loaded
    }

    fn next_pass(&self, unsettled: bool, deferred: &[Deferred]) -> Duration {
        let mut next = self.interval;
        if unsettled {
            next = next.min(UNSETTLED_INTERVAL);
        }
        if self.tracked.values().any(|tracked| tracked.rollout().is_some()) {
            next = next.min(ROLLOUT_INTERVAL);
        }
        if !self.loadings.is_empty() {
            next = next.min(LOADING_INTERVAL);
        }
        if !self.closing().is_empty() {
            next = next.min(UNLOAD_GRACE);
        }
        for deferred in deferred {
            next = next.min(match deferred {
                Deferred::Draining { .. } => DRAIN_INTERVAL,
                Deferred::BackingOff { retry_at, .. } => {
                    Duration::from_millis(retry_at.saturating_sub(self.now_ms()).max(10) as u64)
                }
                Deferred::Superseded { .. } | Deferred::Overridden { .. } => next,
            });
        }
        next
    }
}
