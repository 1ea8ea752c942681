//! Packages come in: prepared side by side, registered in one catalog, published in one store.

use crate::blocking::PARALLEL;
use crate::catalog::draft::Draft;
use crate::error::Error;
use crate::observer::PackagePhase;
use crate::plan::model::Desired;
use crate::reconcile::journal::Registered;
use crate::reconcile::prepare::{Loader, Prepared};
use crate::reconcile::report::{Outcome, Report};
use crate::reconcile::state::{Phase, Reconciler, Tracked, Transition};
use crate::runtime::generation::Generation;
use futures_util::StreamExt;
use longshore_engine::{ReactorDef, WorkflowDef};
use longshore_package::{OnUpgrade, PackageName};
use longshore_store::Subject;
use std::sync::Arc;

/// Packages that are published together: one copy of the catalog and two transactions for all of them, and the first
/// ones do not wait for the last.
pub(super) const PUBLISH_BATCH: usize = 64;

/// Generations of one package that are open at once: each is a library, threads and a runtime.
const MAX_GENERATIONS: usize = 16;

/// The refusal of a package whose reactor is missing, because its owner waits for this one.
fn in_a_cycle(prepared: &Prepared, error: Error, packages: &[PackageName], provided: &[String]) -> Error {
    let needs = |reactor: &String| {
        let mut graphs = prepared.generation.graphs().iter();
        graphs.any(|graph| graph.bound(|name| name == reactor).reactor == *reactor)
    };
    match error {
        Error::Step { error, .. } if packages.len() > 1 && provided.iter().any(needs) => {
            Error::ReactorCycle { packages: packages.to_vec(), message: error.to_string() }
        }
        error => error,
    }
}

/// Refuses a version whose reactors change their tenant: what is recorded of them would be left behind.
fn keep_names(old: &Generation, new: &Generation) -> Result<(), Error> {
    let own = |name: &str| name.split_once('/').map_or(name, |(_, own)| own).to_owned();
    for reactor in new.reactors() {
        let same = |before: &&Arc<ReactorDef>| own(&before.name) == own(&reactor.name);
        if let Some(before) = old.reactors().iter().find(same).filter(|before| before.name != reactor.name) {
            let (before, after) = (before.name.clone(), reactor.name.clone());
            return Err(Error::ReactorRenamed { before, after });
        }
    }
    Ok(())
}

/// Prepares one package, for a stream of them.
async fn prepare(
    loader: Loader,
    package: Arc<Desired>,
    open: Option<Arc<Generation>>,
) -> (Arc<Desired>, Result<Prepared, Error>) {
    let prepared = loader.prepare(Arc::clone(&package), open).await;
    (package, prepared)
}

impl Reconciler {
    /// Prepares packages side by side, then registers those that came through in one catalog.
    pub(super) async fn load(&mut self, packages: &[Arc<Desired>], report: &mut Report) -> Result<(), Error> {
        let closing = self.closing();
        // A digest that is being closed is opened again after that: a pass waits for no generation.
        let packages = packages.iter().filter(|package| !closing.contains(&package.digest));
        let packages: Vec<Arc<Desired>> = packages.cloned().collect();
        for package in &packages {
            self.observer.phase(PackagePhase::Loading, package.name.as_str(), package.digest.as_str());
        }
        let mut jobs = Vec::with_capacity(packages.len());
        for package in packages {
            let open = self.tracked.get(&package.digest).map(|tracked| Arc::clone(&tracked.generation));
            jobs.push(prepare(self.loader.clone(), package, open));
        }
        let prepared: Vec<_> = futures_util::stream::iter(jobs).buffered(*PARALLEL).collect().await;
        let mut ready = Vec::with_capacity(prepared.len());
        let mut failed = None;
        for (package, prepared) in prepared {
            match prepared {
                Ok(prepared) => ready.push(prepared),
                Err(Error::Store(error)) => failed = Some(Error::Store(error)),
                Err(error) => self.refuse(&package, error, report).await?,
            }
        }
        self.register(ready, report).await?;
        failed.map_or(Ok(()), Err)
    }

    async fn refuse(&mut self, package: &Desired, error: Error, report: &mut Report) -> Result<(), Error> {
        if !matches!(error, Error::Replaced { .. }) {
            self.note_failure(&package.digest);
        }
        self.observer.phase(PackagePhase::Refused, package.name.as_str(), package.digest.as_str());
        let subject = Subject::Package(&package.name);
        self.journal.refused(subject, Some(&package.digest), &error, self.now_ms()).await?;
        report.outcomes.push(Outcome::Refused { name: package.name.to_string(), error });
        Ok(())
    }

    /// Takes generations through the load steps, records them, and publishes them in one store.
    ///
    /// One that needs a reactor of another goes after it: a generation whose reactor is missing is tried again as long
    /// as others are registered.
    async fn register(&mut self, prepared: Vec<Prepared>, report: &mut Report) -> Result<(), Error> {
        let mut draft = Draft::of(&self.packages.snapshot().catalog);
        let mut registered: Vec<Registered> = Vec::with_capacity(prepared.len());
        let mut waiting = prepared;
        loop {
            let before = registered.len();
            let mut missing = Vec::new();
            for prepared in waiting {
                match self.register_one(&mut draft, &prepared) {
                    Ok(replaced) => {
                        let Prepared { package, generation, warnings } = prepared;
                        let ends_rollback =
                            package.overridden_by.is_none() && self.rolled_back.contains(&package.name);
                        registered.push(Registered {
                            package,
                            generation,
                            replaced,
                            warnings,
                            ends_rollback,
                        });
                    }
                    Err(error) if error.lacks_reactor() => {
                        missing.push((prepared, error));
                    }
                    Err(error) => self.drop_refused(prepared, error, report).await?,
                }
            }
            if missing.is_empty() {
                break;
            }
            if registered.len() == before {
                self.drop_missing(missing, report).await?;
                break;
            }
            waiting = missing.into_iter().map(|(prepared, _)| prepared).collect();
        }
        self.publish_registered(draft, registered, report).await
    }

    /// Registers one generation in a draft in the place of the one it replaces, which is returned; on failure the
    /// draft is as before.
    fn register_one(&self, draft: &mut Draft, prepared: &Prepared) -> Result<Option<Arc<Generation>>, Error> {
        let of_package =
            self.tracked.values().filter(|t| *t.generation.package() == prepared.package.name).count();
        let is_open = self.tracked.contains_key(&prepared.package.digest);
        if of_package >= MAX_GENERATIONS && !is_open {
            return Err(Error::TooManyGenerations { limit: MAX_GENERATIONS });
        }
        let active = self.active(&prepared.package.name);
        let replaced = active.map(|tracked| Arc::clone(&tracked.generation));
        if let Some(old) = &replaced {
            keep_names(old, &prepared.generation)?;
            draft.deregister(old);
        }
        let registered = draft.register(&prepared.generation).and_then(|()| {
            let graphs = draft.unbound_graphs();
            if graphs.is_empty() { Ok(()) } else { Err(Error::HasSubscribers { graphs }) }
        });
        match registered {
            Ok(()) => Ok(replaced),
            Err(error) => {
                draft.deregister(&prepared.generation);
                if let Some(Err(again)) = replaced.map(|old| draft.register(&old)) {
                    // It was in this draft a moment ago.
                    tracing::error!(
                        error = &again as &dyn std::error::Error,
                        "a generation was not registered again"
                    );
                }
                Err(error)
            }
        }
    }

    /// Refuses generations whose reactors no package has, or only one another.
    async fn drop_missing(
        &mut self,
        missing: Vec<(Prepared, Error)>,
        report: &mut Report,
    ) -> Result<(), Error> {
        let packages: Vec<PackageName> = missing.iter().map(|(p, _)| p.package.name.clone()).collect();
        let provided = missing.iter().flat_map(|(p, _)| p.generation.reactors().iter());
        let provided: Vec<String> = provided.map(|reactor| reactor.name.clone()).collect();
        for (prepared, error) in missing {
            let error = in_a_cycle(&prepared, error, &packages, &provided);
            self.drop_refused(prepared, error, report).await?;
        }
        Ok(())
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

    async fn publish_registered(
        &mut self,
        draft: Draft,
        registered: Vec<Registered>,
        report: &mut Report,
    ) -> Result<(), Error> {
        if registered.is_empty() {
            return Ok(());
        }
        if let Err(error) = self.record_loading(&registered).await {
            for Registered { generation, .. } in &registered {
                self.drop_unpublished(generation).await;
            }
            return Err(error);
        }
        fail::fail_point!("reconciler.loading_recorded");
        for Registered { package, .. } in registered.iter().filter(|r| r.replaced.is_some()) {
            self.observer.phase(PackagePhase::Swapping, package.name.as_str(), package.digest.as_str());
        }
        for registered in &registered {
            self.activate(registered);
        }
        self.publish(draft);
        fail::fail_point!("reconciler.published");
        for Registered { package, replaced, .. } in &registered {
            let phase = if replaced.is_some() { PackagePhase::Swapped } else { PackagePhase::Loaded };
            self.observer.phase(phase, package.name.as_str(), package.digest.as_str());
            let Desired { name, version, digest, .. } = (**package).clone();
            report.outcomes.push(Outcome::Loaded { name, version, digest });
        }
        let swapped: Vec<_> = registered
            .iter()
            .filter_map(|r| Some((Arc::clone(&r.generation), r.replaced.clone()?)))
            .collect();
        self.unrecorded.extend(registered);
        self.record_registered().await?;
        for (new, old) in swapped {
            self.migrate_runs(&new, &old).await?;
        }
        Ok(())
    }

    /// Tracks a generation as active, and drains the one it replaces.
    fn activate(&mut self, registered: &Registered) {
        let Registered { package, generation, replaced, .. } = registered;
        let now = self.now_ms();
        if let Some(old) = replaced {
            self.apply_to(old.digest(), Transition::Drain { now });
        }
        let rollout = self.new_rollout(package, replaced.as_deref());
        self.failures.remove(&package.digest);
        match self.tracked.get_mut(&package.digest) {
            Some(tracked) => tracked.apply(Transition::Activate { rollout }),
            None => {
                let (generation, phase) = (Arc::clone(generation), Phase::Active { rollout });
                let tracked = Tracked { generation, phase, retained_for: Vec::new() };
                self.tracked.insert(package.digest.clone(), tracked);
            }
        }
    }

    /// Records published generations as loaded, those included that an earlier pass could not record.
    pub(super) async fn record_registered(&mut self) -> Result<(), Error> {
        if !self.unrecorded.is_empty() {
            self.journal.loaded(&self.unrecorded, self.now_ms()).await?;
            self.unrecorded.clear();
        }
        Ok(())
    }

    /// Moves open runs of the workflows whose manifest asks for it. When the host dies before, they stay on the old
    /// digest.
    async fn migrate_runs(&self, new: &Generation, old: &Generation) -> Result<(), Error> {
        let requested = &new.artifact().manifest().on_upgrade;
        let migrates = |def: &&Arc<WorkflowDef>| requested.get(&def.name) == Some(&OnUpgrade::Migrate);
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
            self.journal.migrated(new.package(), &message, self.now_ms()).await?;
        }
        Ok(())
    }

    async fn record_loading(&self, registered: &[Registered]) -> Result<(), Error> {
        let generations = registered.iter().map(|r| &*r.generation);
        let new: Vec<_> = generations.filter(|g| !self.tracked.contains_key(g.digest())).collect();
        if new.is_empty() { Ok(()) } else { self.journal.loading(&new, self.now_ms()).await }
    }

    /// Closes a generation that was never published.
    async fn drop_unpublished(&self, generation: &Generation) {
        if !self.tracked.contains_key(generation.digest()) {
            generation.close().await;
        }
    }
}
