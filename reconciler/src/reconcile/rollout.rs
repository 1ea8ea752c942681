//! Rollouts: a generation that replaced another is observed, and rolled back when it does not hold up.

use crate::error::Error;
use crate::plan::model::Desired;
use crate::plan::rollout::{RolloutState, RolloutStats, Unverified, evaluate};
use crate::reconcile::report::{Outcome, Report};
use crate::reconcile::state::{Phase, Reconciler, Rollout};
use crate::runtime::generation::Generation;
use longshore_package::{Digest, PackageName};
use longshore_store::{GenerationRow, Override, OverrideKind, RunRow};
use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

/// The interval at which the runs of rollouts are counted.
pub(super) const ROLLOUT_INTERVAL: Duration = Duration::from_millis(500);

impl Reconciler {
    /// The rollout of a package that is loaded now, when it can be rolled back to a generation before: one of this
    /// host, or of a host before it that did not have the digest for long. A package that an override asks for is
    /// kept: its operator wants it so.
    pub(super) fn new_rollout(
        &mut self,
        package: &Desired,
        replaced: Option<&Generation>,
    ) -> Option<Rollout> {
        let unverified = self.unverified.as_mut().and_then(|all| all.remove(&package.name));
        let unverified = unverified.filter(|unverified| unverified.digest == package.digest);
        // Another package is nothing to go back to.
        let replaced = replaced.filter(|old| *old.package() == package.name);
        let before = match (replaced, unverified) {
            (Some(old), _) => (old.digest().clone(), old.artifact().manifest().package.version.clone()),
            (None, Some(Unverified { before, .. })) => (before.digest, before.version),
            (None, None) => return None,
        };
        let observed = self.health.is_some() && package.overridden_by.is_none();
        observed.then(|| Rollout { before, since: self.now_ms(), crashes: 0 })
    }

    /// Looks up, once, the digests that hosts before this one had loaded and did not have for long.
    pub(super) async fn load_history(&mut self, report: &mut Report) -> Result<(), Error> {
        let Some(policy) = self.health.filter(|_| self.unverified.is_none()) else { return Ok(()) };
        let rows = GenerationRow::newest(&self.journal.store, None, GenerationRow::SCAN_LIMIT).await?;
        let mut by_package: BTreeMap<PackageName, Vec<GenerationRow>> = BTreeMap::new();
        for row in rows {
            by_package.entry(row.package.clone()).or_default().push(row);
        }
        let mut all = HashMap::new();
        for (name, generations) in by_package {
            let Some(unverified) = Unverified::of(&policy, &generations) else { continue };
            if unverified.is_crash_looping(&policy) {
                let Unverified { digest, deaths, before } = unverified;
                let seconds = policy.window_ms / 1000;
                let reason = format!("{deaths} hosts died, each within {seconds} s of loading it");
                self.roll_back(name, digest, (before.digest, before.version), reason, report).await?;
            } else {
                all.insert(name, unverified);
            }
        }
        self.unverified = Some(all);
        Ok(())
    }

    /// Evaluates every rollout by the runs that ended since it began.
    pub(super) async fn evaluate_rollouts(&mut self, report: &mut Report) -> Result<(), Error> {
        let Some(policy) = self.health else { return Ok(()) };
        let rollouts: Vec<(Digest, Rollout)> = self
            .tracked
            .iter()
            .filter_map(|(digest, tracked)| Some((digest.clone(), tracked.rollout()?.clone())))
            .collect();
        for (digest, Rollout { before, since, crashes }) in rollouts {
            let (ended, failed) = RunRow::ended_of(&self.journal.store, &digest, since).await?;
            let age_ms = self.now_ms().saturating_sub(since);
            match evaluate(&policy, &RolloutStats { age_ms, ended, failed, crashes }) {
                RolloutState::Progressing => continue,
                RolloutState::Healthy => {}
                RolloutState::Degraded(reason) => {
                    let Some(tracked) = self.tracked.get(&digest) else { continue };
                    let name = tracked.generation.package().clone();
                    self.roll_back(name, digest.clone(), before, reason, report).await?;
                }
            }
            // After it: a roll-back that was not recorded is evaluated again.
            self.end_rollout(&digest);
        }
        Ok(())
    }

    fn end_rollout(&mut self, digest: &Digest) {
        if let Some(Phase::Active { rollout }) = self.tracked.get_mut(digest).map(|t| &mut t.phase) {
            *rollout = None;
        }
    }

    /// Overrides a package with the digest before, as an operator would; the next pass carries it out.
    async fn roll_back(
        &mut self,
        name: PackageName,
        avoid: Digest,
        (digest, version): (Digest, String),
        reason: String,
        report: &mut Report,
    ) -> Result<(), Error> {
        let row = Override {
            name: name.clone(),
            kind: OverrideKind::RollBack,
            digest: Some(digest),
            version,
            avoid: Some(avoid),
            actor: "host".into(),
            reason: reason.clone(),
            updated_at: self.now_ms(),
        };
        let error = Error::RolledBack { reason };
        let recorded = self.journal.rolled_back(&row, &error).await?;
        fail::fail_point!("reconciler.rolled_back");
        if recorded {
            self.wake.notify_one();
            report.outcomes.push(Outcome::Refused { name: name.to_string(), error });
        }
        Ok(())
    }
}
