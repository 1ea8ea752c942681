//! What replaced another is watched for a while, and the other comes back when it does not hold up.

use super::{Reconciler, now_ms};
use crate::error::Error;
use crate::generation::Generation;
use crate::health::{Seen, Unproven, Verdict, judge};
use crate::report::{Outcome, Report};
use crate::wanted::Desired;
use longshore_store::{GenerationRow, RegistryRow, RunRow, Stance};
use std::collections::BTreeMap;
use std::time::Duration;

/// How often runs of what is watched are counted.
pub(super) const LOOK: Duration = Duration::from_millis(500);

/// A generation that replaced another a moment ago.
#[derive(Clone)]
pub(super) struct Probation {
    digest: String,
    /// Digest and version of the one before.
    before: (String, String),
    since: i64,
    crashes: u32,
}

impl Probation {
    /// The digest that is gone back to.
    pub(super) fn before(&self) -> &str {
        &self.before.0
    }

    pub(super) fn note_crash(&mut self, digest: &str) {
        if self.digest == digest {
            self.crashes += 1;
        }
    }
}

impl Reconciler {
    /// From now on a package is watched, when what it replaced can be gone back to: here, or under a host before
    /// this one that did not have it for long. One that was decided for is kept: somebody wanted it so.
    pub(super) fn begins_probation(&mut self, package: &Desired, replaced: Option<&Generation>) {
        self.probation.remove(&package.name);
        let digest = package.digest.as_str().to_owned();
        let unproven = self.unproven.remove(&package.name).filter(|unproven| unproven.digest == digest);
        let before = match (replaced, unproven) {
            (Some(old), _) => (old.digest().to_owned(), old.artifact().manifest().package.version.clone()),
            (None, Some(Unproven { before, .. })) => (before.digest, before.version),
            (None, None) => return,
        };
        if self.health.is_some() && package.decision.is_none() {
            let probation = Probation { digest, before, since: now_ms(), crashes: 0 };
            self.probation.insert(package.name.clone(), probation);
        }
    }

    /// Looks, once, at what hosts before this one had loaded, and did not have for long.
    pub(super) async fn look_back(&mut self, report: &mut Report) -> Result<(), Error> {
        let Some(policy) = self.health.filter(|_| !self.looked_back) else { return Ok(()) };
        let rows = GenerationRow::newest(&self.records.store, "", GenerationRow::MANY).await?;
        let mut by_package: BTreeMap<String, Vec<GenerationRow>> = BTreeMap::new();
        for row in rows {
            by_package.entry(row.package.clone()).or_default().push(row);
        }
        for (name, generations) in by_package {
            let Some(unproven) = Unproven::of(&policy, &generations) else { continue };
            if unproven.is_deadly(&policy) {
                let Unproven { digest, deaths, before } = unproven;
                let seconds = policy.window_ms / 1000;
                let why = format!("{deaths} hosts died, each within {seconds} s of loading it");
                self.go_back(name, digest, (before.digest, before.version), why, report).await?;
            } else {
                self.unproven.insert(name, unproven);
            }
        }
        self.looked_back = true;
        Ok(())
    }

    /// Looks at the runs of everything that is watched.
    pub(super) async fn watch_over(&mut self, report: &mut Report) -> Result<(), Error> {
        let Some(policy) = self.health else { return Ok(()) };
        let watched: Vec<String> = self.probation.keys().cloned().collect();
        for name in watched {
            let Some(probation) = self.probation.get(&name) else { continue };
            let store = &self.records.store;
            let (ended, failed) = RunRow::ended_of(store, &probation.digest, probation.since).await?;
            let age_ms = now_ms().saturating_sub(probation.since);
            let seen = Seen { age_ms, ended, failed, crashes: probation.crashes };
            match judge(&policy, &seen) {
                Verdict::Watched => {}
                Verdict::Healthy => drop(self.probation.remove(&name)),
                Verdict::Sick(why) => self.roll_back(name, why, report).await?,
            }
        }
        Ok(())
    }

    /// Decides for the digest before, as an operator would; the next pass carries it out.
    async fn roll_back(&mut self, name: String, why: String, report: &mut Report) -> Result<(), Error> {
        let Some(Probation { digest, before, .. }) = self.probation.get(&name).cloned() else {
            return Ok(());
        };
        self.go_back(name.clone(), digest, before, why, report).await?;
        // Only now: what was not recorded is judged again.
        self.probation.remove(&name);
        Ok(())
    }

    async fn go_back(
        &mut self,
        name: String,
        avoid: String,
        (digest, version): (String, String),
        why: String,
        report: &mut Report,
    ) -> Result<(), Error> {
        let row = RegistryRow {
            name: name.clone(),
            stance: Stance::RolledBack,
            digest,
            version,
            avoid,
            actor: "host".into(),
            reason: why.clone(),
            updated_at: now_ms(),
        };
        let error = Error::Unhealthy { why };
        let decided = self.records.rolled_back(&row, &error).await?;
        fail::fail_point!("reconciler.rolled_back");
        if decided {
            self.woken.notify_one();
            report.outcomes.push(Outcome::Refused { name, error });
        }
        Ok(())
    }
}
