//! Records of a pass beside its actions.

use crate::error::Error;
use crate::plan::model::{Deferred, Desired};
use crate::reconcile::journal::Registered;
use crate::reconcile::noted::Noted;
use crate::reconcile::report::{Outcome, Report};
use crate::reconcile::state::{Phase, Reconciler};
use crate::source::offers::ScanChanges;
use longshore_engine::Packages;
use longshore_package::Digest;
use longshore_store::{ConditionRow, Subject};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;

/// Logs that a note was not recorded: it does not end the pass.
pub(super) fn log_failure(recorded: Result<(), Error>) {
    if let Err(error) = recorded {
        tracing::warn!(error = &error as &dyn std::error::Error, "a note of this pass was not recorded");
    }
}

impl Reconciler {
    pub(super) async fn record_scan(&self, changes: ScanChanges, report: &mut Report) {
        log_failure(self.journal.refused_files(&changes.refused, self.now_ms()).await);
        for (path, error) in changes.refused {
            report.outcomes.push(Outcome::Refused { name: path.display().to_string(), error });
        }
        log_failure(self.journal.clear_files(&changes.cured).await);
    }

    /// Sets the conditions of packages that run as they are wanted, and have conditions of a version that was refused, rolled
    /// back or held back meanwhile. Ends their roll-backs.
    pub(super) async fn settle_wanted(&mut self, desired: &[Arc<Desired>]) -> Result<(), Error> {
        if self.transient {
            return Ok(());
        }
        let before = self.unrecorded.len();
        for package in desired {
            let ends_rollback = package.overridden_by.is_none() && self.rolled_back.contains(&package.name);
            if !ends_rollback && !self.troubled.contains(&package.name) {
                continue;
            }
            let Some(tracked) = self.active(&package.name) else { continue };
            if *tracked.generation.digest() == package.digest && tracked.retained_for.is_empty() {
                let settled = Registered {
                    package: Arc::clone(package),
                    generation: Arc::clone(&tracked.generation),
                    replaced: None,
                    warnings: tracked.warnings.clone(),
                    actor: package.actor().to_owned(),
                    admission: None,
                    ends_rollback,
                    ran_before: true,
                };
                self.unrecorded.push(settled);
                self.troubled.remove(&package.name);
            }
        }
        if self.unrecorded.len() > before { self.record_registered().await } else { Ok(()) }
    }

    /// Clears the conditions of what is neither desired nor there any more: a refused package whose file went, a file that
    /// an earlier host refused, a digest that no run waits for.
    pub(super) async fn clear_stale(
        &mut self,
        desired: &[Arc<Desired>],
        pins: &BTreeMap<Digest, u64>,
    ) -> Result<(), Error> {
        if self.unsettled {
            return Ok(());
        }
        let mut noted = match self.noted.take() {
            Some(noted) => noted,
            None => Noted::of(ConditionRow::all(&self.journal.store).await?),
        };
        let packages = self.packages_of_note(desired, pins);
        let seen = (self.offers.scans(), self.superseded.clone());
        // Thousands of refused files are looked through when a scan found something else than the one before.
        let files = (noted.seen.as_ref() != Some(&seen)).then(|| self.files_of_note());
        let mut stale: Vec<String> = noted.packages.difference(&packages).cloned().collect();
        stale.extend(files.iter().flat_map(|files| noted.files.difference(files).cloned()));
        let cleared = if stale.is_empty() { Ok(()) } else { self.journal.clear(&stale).await };
        if cleared.is_ok() {
            noted.packages = packages;
            if let Some(files) = files {
                (noted.files, noted.seen) = (files, Some(seen));
            }
        } else {
            // They are cleared by a later pass, and so are those that came meanwhile.
            noted.packages.extend(packages);
            noted.files.extend(files.into_iter().flatten());
        }
        self.noted = Some(noted);
        cleared
    }

    /// The packages and digests whose conditions stay.
    fn packages_of_note(&self, desired: &[Arc<Desired>], pins: &BTreeMap<Digest, u64>) -> HashSet<String> {
        let open = self.tracked.values().map(|tracked| tracked.generation.package());
        let names = desired.iter().map(|package| &package.name).chain(open).chain(&self.leaky);
        let failed = pins.keys().filter(|digest| self.failures.contains_key(*digest));
        let digests = failed.map(|digest| Subject::Digest(digest).to_string());
        names.map(|name| Subject::Package(name).to_string()).chain(digests).collect()
    }

    /// The files whose conditions stay.
    fn files_of_note(&self) -> HashSet<String> {
        let policy = self.trust_fault.as_ref().map(|(path, _)| path.as_path());
        let files = self.offers.problems().chain(self.superseded.iter().map(PathBuf::as_path)).chain(policy);
        files.map(|path| Subject::File(path).to_string()).collect()
    }

    /// Records the ends of processes of isolated packages. One whose process cannot start again comes back through
    /// every check.
    pub(super) async fn record_crashes(&mut self, report: &mut Report) -> Result<(), Error> {
        let now = self.now_ms();
        let mut evicted = Vec::new();
        for (digest, tracked) in &mut self.tracked {
            for crash in tracked.generation.take_crashes() {
                if crash.cache_changed {
                    evicted.push(digest.clone());
                }
                log_failure(self.journal.crashed(&tracked.generation, &crash, now).await);
                if let Phase::Active { rollout: Some(rollout) } = &mut tracked.phase {
                    rollout.crashes += 1;
                }
                let name = tracked.generation.package().clone();
                report.outcomes.push(Outcome::Crashed { name, exit: crash.exit });
            }
        }
        for digest in evicted {
            self.evict(&digest, report).await?;
        }
        Ok(())
    }

    /// Records once of each file that another one supersedes it, and clears that when it ends.
    pub(super) async fn record_superseded(&mut self, deferred: &[Deferred]) {
        let mut superseded = HashSet::new();
        for deferred in deferred {
            let Deferred::Superseded { package, winner } = deferred else { continue };
            let Some(path) = package.origin.file() else { continue };
            superseded.insert(path.to_owned());
            if !self.superseded.contains(path) {
                let error = Error::Superseded { name: package.name.clone(), winner: winner.clone() };
                let (subject, digest) = (Subject::File(path), Some(&package.digest));
                log_failure(self.journal.refused(subject, digest, &error, self.now_ms()).await);
            }
        }
        let over: Vec<PathBuf> = self.superseded.difference(&superseded).cloned().collect();
        log_failure(self.journal.clear_files(&over).await);
        self.superseded = superseded;
    }

    /// Records which packages name what no loaded package has, after a change of what is loaded.
    pub(super) async fn record_unresolved(&mut self) -> Result<(), Error> {
        let catalog = self.packages.catalog();
        if Arc::ptr_eq(&catalog, &self.resolved_in) {
            return Ok(());
        }
        let mut names = catalog.unresolved();
        let mut unresolved = HashMap::new();
        for tracked in self.tracked.values().filter(|tracked| tracked.is_active()) {
            let generation = &tracked.generation;
            let names = names.remove(generation.digest()).unwrap_or_default();
            let reported = self.unresolved.get(&generation.id()).map(Vec::as_slice).unwrap_or_default();
            if names != reported {
                let error = (!names.is_empty()).then(|| Error::Unresolved { names: names.clone() });
                self.journal.unresolved(generation, error.as_ref(), self.now_ms()).await?;
            }
            if !names.is_empty() {
                unresolved.insert(generation.id(), names);
            }
        }
        (self.resolved_in, self.unresolved) = (catalog, unresolved);
        Ok(())
    }
}
