//! Packages come in: prepared side by side, entered into one catalog, published in one store.

use super::{PARALLEL, Reconciler, now_ms};
use crate::error::Error;
use crate::generation::Generation;
use crate::loader::Prepared;
use crate::observer::Phase;
use crate::plan::{Failure, backoff_ms};
use crate::records::{Entered, package_subject};
use crate::report::{Outcome, Report};
use crate::steps::{Draft, NO_REACTOR};
use crate::wanted::Desired;
use futures_util::StreamExt;
use longshore_engine::WorkflowDef;
use longshore_package::{Digest, OnUpgrade};
use std::sync::Arc;

/// Generations of one package that are open at once: each is a library, threads and a runtime.
const MAX_GENERATIONS: usize = 16;

/// A package whose reactor is missing because its owner waits for this one.
fn in_a_cycle(prepared: &Prepared, error: Error, packages: &[String], provided: &[String]) -> Error {
    let needs = |reactor: &String| prepared.generation.graphs().iter().any(|graph| graph.reactor == *reactor);
    match error {
        Error::Step { message, .. } if packages.len() > 1 && provided.iter().any(needs) => {
            Error::ReactorCycle { packages: packages.to_vec(), message }
        }
        error => error,
    }
}

impl Reconciler {
    /// Prepares packages side by side, then enters those that came through into one catalog.
    pub(super) async fn load(&mut self, packages: &[Arc<Desired>], report: &mut Report) -> Result<(), Error> {
        // What is being closed is opened again once it is closed: a pass waits for nobody.
        let is_closed = |package: &&Arc<Desired>| !self.closing.contains_key(package.digest.as_str());
        let packages: Vec<&Arc<Desired>> = packages.iter().filter(is_closed).collect();
        let snapshot = self.packages.snapshot();
        for package in &packages {
            self.observer.phase(Phase::Loading, &package.name, package.digest.as_str());
        }
        let prepared = packages.iter().map(|package| {
            let (loader, package) = (self.loader.clone(), Arc::clone(package));
            let open = snapshot.generations.get(package.digest.as_str()).cloned();
            async move { (Arc::clone(&package), loader.prepare(package, open).await) }
        });
        let prepared: Vec<_> = futures_util::stream::iter(prepared).buffered(*PARALLEL).collect().await;
        let mut ready = Vec::with_capacity(prepared.len());
        let mut failed = None;
        for (package, prepared) in prepared {
            match prepared {
                Ok(prepared) => ready.push(prepared),
                Err(Error::Store(error)) => failed = Some(Error::Store(error)),
                Err(error) => self.refuse(&package, error, report).await?,
            }
        }
        self.enter(ready, report).await?;
        failed.map_or(Ok(()), Err)
    }

    async fn refuse(&mut self, package: &Desired, error: Error, report: &mut Report) -> Result<(), Error> {
        if !matches!(error, Error::Replaced { .. }) {
            self.note_failure(&package.digest);
        }
        self.observer.phase(Phase::Refused, &package.name, package.digest.as_str());
        let subject = package_subject(&package.name);
        self.records.refused(&subject, package.digest.as_str(), &error, now_ms()).await?;
        report.outcomes.push(Outcome::Refused { name: package.name.clone(), error });
        Ok(())
    }

    pub(super) fn note_failure(&mut self, digest: &Digest) {
        let times = self.failures.get(digest).map_or(0, |failure| failure.times) + 1;
        let retry_at = now_ms() + backoff_ms(times, rand::random());
        self.failures.insert(digest.clone(), Failure { times, retry_at });
    }

    /// Takes generations through the load steps, records them, and publishes them in one store.
    ///
    /// One that needs a reactor of another goes after it: what does not enter now is tried again while others do.
    async fn enter(&mut self, prepared: Vec<Prepared>, report: &mut Report) -> Result<(), Error> {
        let mut draft = Draft::of(&self.packages.snapshot().catalog);
        let mut entered: Vec<Entered> = Vec::with_capacity(prepared.len());
        let mut waiting = prepared;
        loop {
            let before = entered.len();
            let mut missing = Vec::new();
            for prepared in waiting {
                match self.enter_one(&mut draft, &prepared) {
                    Ok(replaced) => {
                        let Prepared { package, generation, warnings } = prepared;
                        let ends_rollback =
                            package.decision.is_none() && self.rolled_back.contains(&package.name);
                        entered.push(Entered { package, generation, replaced, warnings, ends_rollback });
                    }
                    Err(error @ Error::Step { code: NO_REACTOR, .. }) => missing.push((prepared, error)),
                    Err(error) => self.drop_refused(prepared, error, report).await?,
                }
            }
            if missing.is_empty() {
                break;
            }
            if entered.len() == before {
                let packages: Vec<String> = missing.iter().map(|(p, _)| p.package.name.clone()).collect();
                let provided: Vec<String> = missing
                    .iter()
                    .flat_map(|(p, _)| p.generation.reactors().iter().map(|r| r.name.clone()))
                    .collect();
                for (prepared, error) in missing {
                    let error = in_a_cycle(&prepared, error, &packages, &provided);
                    self.drop_refused(prepared, error, report).await?;
                }
                break;
            }
            waiting = missing.into_iter().map(|(prepared, _)| prepared).collect();
        }
        self.publish_entered(draft, entered, report).await
    }

    /// Enters one generation into a draft in the place of the one it replaces, which is returned; on failure the
    /// draft is as before.
    fn enter_one(&self, draft: &mut Draft, prepared: &Prepared) -> Result<Option<Arc<Generation>>, Error> {
        let open = self.packages.snapshot();
        let closing = self.closing.values().map(|closing| &closing.generation);
        let all = open.generations.values().chain(closing);
        let of_package = all.filter(|g| g.package() == prepared.package.name).count();
        let is_open = open.generations.contains_key(prepared.generation.digest());
        if of_package >= MAX_GENERATIONS && !is_open {
            return Err(Error::TooManyGenerations { limit: MAX_GENERATIONS });
        }
        let replaced = self.active.get(&prepared.package.name).cloned();
        if let Some(old) = &replaced {
            draft.leave(old);
        }
        let entered = draft.enter(&prepared.generation).and_then(|()| {
            let orphans = draft.orphans();
            if orphans.is_empty() { Ok(()) } else { Err(Error::HasSubscribers { orphans }) }
        });
        match entered {
            Ok(()) => Ok(replaced),
            Err(error) => {
                draft.leave(&prepared.generation);
                if let Some(Err(again)) = replaced.map(|old| draft.enter(&old)) {
                    // It was in this draft a moment ago.
                    tracing::error!(
                        error = &again as &dyn std::error::Error,
                        "a generation did not enter again"
                    );
                }
                Err(error)
            }
        }
    }

    async fn drop_refused(
        &mut self,
        prepared: Prepared,
        error: Error,
        report: &mut Report,
    ) -> Result<(), Error> {
        self.drop_unpublished(&prepared.generation).await;
        self.refuse(&prepared.package, error, report).await
    }

    async fn publish_entered(
        &mut self,
        draft: Draft,
        entered: Vec<Entered>,
        report: &mut Report,
    ) -> Result<(), Error> {
        if entered.is_empty() {
            return Ok(());
        }
        if let Err(error) = self.record_loading(&entered).await {
            for entered in &entered {
                self.drop_unpublished(&entered.generation).await;
            }
            return Err(error);
        }
        fail::fail_point!("reconciler.loading_recorded");
        for entered in entered.iter().filter(|entered| entered.replaced.is_some()) {
            let (package, digest) = (&entered.package.name, entered.package.digest.as_str());
            self.observer.phase(Phase::Swapping, package, digest);
        }
        self.publish(draft, |generations| {
            generations.extend(
                entered.iter().map(|e| (e.generation.digest().to_owned(), Arc::clone(&e.generation))),
            );
        });
        fail::fail_point!("reconciler.published");
        for Entered { package, generation, replaced, .. } in &entered {
            self.active.insert(package.name.clone(), Arc::clone(generation));
            self.draining.remove(generation.digest());
            self.failures.remove(&package.digest);
            if let Some(old) = replaced {
                self.begins_to_drain(old.digest());
            }
            self.begins_probation(package, replaced.as_deref());
            let phase = if replaced.is_some() { Phase::Swapped } else { Phase::Loaded };
            self.observer.phase(phase, &package.name, package.digest.as_str());
            let Desired { name, version, digest, .. } = (**package).clone();
            report.outcomes.push(Outcome::Loaded { name, version, digest });
        }
        let swapped: Vec<_> =
            entered.iter().filter_map(|e| Some((Arc::clone(&e.generation), e.replaced.clone()?))).collect();
        self.unrecorded.extend(entered);
        self.record_late().await?;
        for (new, old) in swapped {
            self.migrate_runs(&new, &old).await?;
        }
        Ok(())
    }

    /// Moves open runs of the workflows whose manifest asks for it. What dies before stays on the old digest.
    async fn migrate_runs(&self, new: &Generation, old: &Generation) -> Result<(), Error> {
        let asked = &new.artifact().manifest().on_upgrade;
        let migrates = |def: &&Arc<WorkflowDef>| asked.get(&def.name) == Some(&OnUpgrade::Migrate);
        for def in new.workflows().iter().filter(migrates) {
            let Some(before) = old.workflows().iter().find(|before| before.key() == def.key()) else {
                continue;
            };
            let message = if def.continues(before) {
                match self.engine.migrate(old.digest(), Arc::clone(def)).await {
                    Ok(runs) => format!("{runs} open runs of `{}` go on with {}", def.name, def.version),
                    Err(error) => format!("open runs of `{}` stay where they are: {error}", def.name),
                }
            } else {
                format!("open runs of `{}` stay on {}: its tasks differ", def.name, before.version)
            };
            self.records.upgraded(new.package(), &message, now_ms()).await?;
        }
        Ok(())
    }

    async fn record_loading(&self, entered: &[Entered]) -> Result<(), Error> {
        let open = self.packages.snapshot();
        let fresh = entered.iter().map(|e| &*e.generation);
        let fresh: Vec<_> = fresh.filter(|g| !open.generations.contains_key(g.digest())).collect();
        if fresh.is_empty() { Ok(()) } else { self.records.loading(&fresh, now_ms()).await }
    }

    /// Closes a generation that nobody can have seen.
    async fn drop_unpublished(&self, generation: &Generation) {
        if !self.packages.snapshot().generations.contains_key(generation.digest()) {
            generation.close().await;
        }
    }
}
