//! Registering what is open: together in one catalog, published in one store, recorded, with the runs that move.

use crate::artifact::warning::Warning;
use crate::catalog::draft::Draft;
use crate::error::Error;
use crate::observer::PackagePhase;
use crate::plan::model::Desired;
use crate::plan::order::Outline;
use crate::reconcile::journal::Registered;
use crate::reconcile::loading::{Purpose, Stage};
use crate::reconcile::notes::log_failure;
use crate::reconcile::options::RUN_ACTOR;
use crate::reconcile::report::{Outcome, Report};
use crate::reconcile::state::{Phase, Reconciler, Tracked, Transition};
use crate::runtime::generation::Generation;
use longshore_engine::{ReactorDef, WorkflowDef};
use longshore_package::{Digest, OnUpgrade};
use longshore_store::Subject;
use std::path::Path;
use std::sync::Arc;

/// Packages that are published together: one copy of the catalog and two transactions for all of them, and the first
/// ones do not wait for the last.
const PUBLISH_BATCH: usize = 64;

/// Generations of one package that are open at once: each is a library, threads and a runtime.
const MAX_GENERATIONS: usize = 16;

/// A package that is open and not registered yet.
#[derive(Clone)]
struct Registration {
    package: Arc<Desired>,
    generation: Arc<Generation>,
    /// The generations that go when it comes: the one it replaces first, then those that are retired in this moment and
    /// have a name that it wants.
    leaving: Vec<Arc<Generation>>,
    replaces: bool,
    warnings: Vec<Warning>,
}

/// Candidates by what came of them; those that wait are in neither.
#[derive(Default)]
struct Registrations {
    registered: Vec<Registration>,
    refused: Vec<(Registration, Error)>,
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

/// Registers one candidate in the place of what goes with it; on failure the draft is as before.
fn register_one(draft: &mut Draft, candidate: &Registration) -> Result<(), Error> {
    candidate.leaving.iter().for_each(|old| draft.deregister(old));
    let registered = draft.register(&candidate.generation).and_then(|()| {
        let graphs = draft.unbound_graphs();
        if graphs.is_empty() { Ok(()) } else { Err(Error::HasSubscribers { graphs }) }
    });
    if registered.is_err() {
        draft.deregister(&candidate.generation);
        for old in candidate.leaving.iter().rev() {
            if let Err(again) = draft.register(old) {
                // It was in this draft a moment ago.
                let error = &again as &dyn std::error::Error;
                tracing::error!(error, "a generation was not registered again");
            }
        }
    }
    registered
}

/// Registers candidates one after the other, again and again as long as some come through; then those that are left all
/// at once, for a reactor or a workflow that moves from one package to another. Returns those that fail, with the reason;
/// none when there are as many as are published together: the others are looked at after those.
fn register_all(
    draft: &mut Draft,
    mut left: Vec<Registration>,
) -> (Vec<Registration>, Vec<(Registration, Error)>) {
    let mut registered = Vec::new();
    let mut failed: Vec<(Registration, Error)> = Vec::new();
    loop {
        let before = registered.len();
        failed.clear();
        for candidate in left {
            if registered.len() >= PUBLISH_BATCH {
                return (registered, Vec::new());
            }
            match register_one(draft, &candidate) {
                Ok(()) => registered.push(candidate),
                Err(error) => failed.push((candidate, error)),
            }
        }
        if failed.is_empty() || registered.len() == before {
            break;
        }
        left = failed.iter().map(|(candidate, _)| candidate.clone()).collect();
    }
    if failed.len() > 1 {
        registered.extend(register_together(draft, &mut failed));
    }
    (registered, failed)
}

/// Registers candidates that need each other to leave. Those that fail even so stay in `failed`.
fn register_together(draft: &mut Draft, failed: &mut Vec<(Registration, Error)>) -> Vec<Registration> {
    let mut group: Vec<Registration> = failed.iter().map(|(candidate, _)| candidate.clone()).collect();
    while group.len() > 1 {
        let mut trial = draft.clone();
        group.iter().flat_map(|candidate| &candidate.leaving).for_each(|old| trial.deregister(old));
        let mut waiting: Vec<&Registration> = group.iter().collect();
        loop {
            let before = waiting.len();
            waiting.retain(|candidate| trial.register(&candidate.generation).is_err());
            if waiting.is_empty() || waiting.len() == before {
                break;
            }
        }
        let mut bad: Vec<Digest> = waiting.iter().map(|c| c.package.digest.clone()).collect();
        let unbound = trial.unbound_graphs();
        let owned = |old: &Arc<Generation>| {
            old.reactors().iter().any(|reactor| unbound.iter().any(|graph| graph.reactor == reactor.name))
        };
        bad.extend(group.iter().filter(|c| c.leaving.iter().any(owned)).map(|c| c.package.digest.clone()));
        if bad.is_empty() {
            *draft = trial;
            failed
                .retain(|(candidate, _)| group.iter().all(|g| g.package.digest != candidate.package.digest));
            return group;
        }
        group.retain(|candidate| !bad.contains(&candidate.package.digest));
    }
    Vec::new()
}

impl Reconciler {
    /// Registers, records and publishes what is open, those in one store that are open now. True when something came or was
    /// refused: others may have their turn now.
    pub(super) async fn register_opened(
        &mut self,
        retiring: &[Digest],
        report: &mut Report,
    ) -> Result<bool, Error> {
        self.publish_restored(report).await?;
        let mut has_changed = false;
        loop {
            let candidates = self.candidates(retiring);
            if candidates.is_empty() {
                return Ok(has_changed);
            }
            let mut draft = Draft::of(&self.packages.snapshot().catalog);
            let Registrations { registered, refused } = self.register_candidates(&mut draft, candidates);
            if registered.is_empty() && refused.is_empty() {
                return Ok(has_changed);
            }
            has_changed = true;
            self.publish_registered(draft, registered, report).await?;
            for (candidate, error) in refused {
                self.refuse_loading(&candidate.package.digest, error, report).await?;
            }
        }
    }

    /// Generations that are open and not registered, those that were loaded last before the others.
    fn candidates(&self, retiring: &[Digest]) -> Vec<Registration> {
        let mut candidates: Vec<(bool, Registration)> = Vec::new();
        for (digest, loading) in self.loadings.iter() {
            let (Purpose::Activate { package, replaces }, Stage::Opened(generation)) =
                (&loading.purpose, &loading.stage)
            else {
                continue;
            };
            let replaced = replaces.as_ref().and_then(|old| self.tracked.get(old));
            let replaced = replaced.filter(|tracked| tracked.is_active());
            let mut leaving: Vec<Arc<Generation>> =
                replaced.map(|tracked| Arc::clone(&tracked.generation)).into_iter().collect();
            let replaces = !leaving.is_empty();
            leaving.extend(self.in_the_way(generation, retiring));
            let candidate = Registration {
                package: Arc::clone(package),
                generation: Arc::clone(generation),
                leaving,
                replaces,
                warnings: loading.warnings.clone(),
            };
            candidates.push((self.recorded.get(&package.name) != Some(digest), candidate));
        }
        candidates.sort_by(|(a_new, a), (b_new, b)| (a_new, &a.package.name).cmp(&(b_new, &b.package.name)));
        candidates.into_iter().map(|(_, candidate)| candidate).collect()
    }

    /// Active generations that are about to be retired and have a name that another one wants.
    fn in_the_way(&self, wants: &Generation, retiring: &[Digest]) -> Vec<Arc<Generation>> {
        if retiring.is_empty() {
            return Vec::new();
        }
        let wants = Outline::of(wants.artifact().record());
        let conflicts = |old: &Generation| Outline::of(old.artifact().record()).conflicts_with(&wants);
        let retired = retiring.iter().filter_map(|digest| self.tracked.get(digest));
        let retired = retired.filter(|tracked| tracked.is_active() && conflicts(&tracked.generation));
        retired.map(|tracked| Arc::clone(&tracked.generation)).collect()
    }

    /// Registers candidates in a draft. Those that others may help wait, as long as any is on its way: one that waits
    /// itself, for its turn or with them, helps nobody.
    fn register_candidates(&self, draft: &mut Draft, candidates: Vec<Registration>) -> Registrations {
        let others_come = self.loadings.iter().any(|(_, loading)| {
            loading.package().is_some() && matches!(loading.stage, Stage::Verifying(_) | Stage::Opening)
        });
        let mut registrations = Registrations::default();
        let mut sound = Vec::with_capacity(candidates.len());
        for candidate in candidates {
            match self.check_limits(&candidate) {
                Ok(()) => sound.push(candidate),
                Err(error) => registrations.refused.push((candidate, error)),
            }
        }
        let (registered, mut failed) = register_all(draft, sound);
        // Those that come now may help as well.
        let others_come = others_come || !registered.is_empty();
        registrations.registered = registered;
        failed.retain(|(_, error)| !(others_come && error.depends_on_others()));
        registrations.refused.extend(failed);
        registrations
    }

    fn check_limits(&self, candidate: &Registration) -> Result<(), Error> {
        let Registration { package, generation, leaving, replaces, .. } = candidate;
        let of_package = self.tracked.values().filter(|t| *t.generation.package() == package.name).count();
        if of_package >= MAX_GENERATIONS && !self.tracked.contains_key(&package.digest) {
            return Err(Error::TooManyGenerations { limit: MAX_GENERATIONS });
        }
        match leaving.first().filter(|_| *replaces) {
            Some(old) if old.package() == generation.package() => keep_names(old, generation),
            _ => Ok(()),
        }
    }

    /// Refuses a digest on its way: what is open of it is closed beside the passes.
    pub(super) async fn refuse_loading(
        &mut self,
        digest: &Digest,
        error: Error,
        report: &mut Report,
    ) -> Result<(), Error> {
        let Some(loading) = self.loadings.remove(digest) else { return Ok(()) };
        if let Stage::Opened(generation) = loading.stage {
            self.close_unpublished(generation);
        }
        if let Error::Store(error) = error {
            return Err(Error::Store(error));
        }
        if !matches!(error, Error::Replaced { .. }) {
            self.note_failure(digest, error.depends_on_others());
        }
        let (name, subject) = match &loading.purpose {
            Purpose::Activate { package, .. } => {
                self.observer.phase(PackagePhase::Refused, package.name.as_str(), digest.as_str());
                self.troubled.insert(package.name.clone());
                (package.name.to_string(), Subject::Package(&package.name))
            }
            Purpose::Restore { .. } => (digest.to_string(), Subject::Digest(digest)),
        };
        self.journal.refused(subject, Some(digest), &error, self.now_ms()).await?;
        report.outcomes.push(Outcome::Refused { name, error });
        Ok(())
    }

    /// Publishes candidates that are registered in a draft. When they cannot be recorded, they stay as they are until
    /// the next pass.
    async fn publish_registered(
        &mut self,
        draft: Draft,
        candidates: Vec<Registration>,
        report: &mut Report,
    ) -> Result<(), Error> {
        if candidates.is_empty() {
            return Ok(());
        }
        let retired: Vec<Digest> = candidates
            .iter()
            .flat_map(|candidate| candidate.leaving.iter().skip(usize::from(candidate.replaces)))
            .map(|old| old.digest().clone())
            .collect();
        let registered: Vec<Registered> = candidates.into_iter().map(|c| self.registered(c)).collect();
        self.record_loading(&registered).await?;
        fail::fail_point!("reconciler.loading_recorded");
        for Registered { package, .. } in registered.iter().filter(|r| r.replaced.is_some()) {
            self.observer.phase(PackagePhase::Swapping, package.name.as_str(), package.digest.as_str());
        }
        for registered in &registered {
            self.loadings.remove(&registered.package.digest);
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
        self.unrecorded.extend(registered);
        self.record_registered().await?;
        log_failure(self.evict_earlier_runs().await);
        for digest in retired {
            self.retire(&digest, None, report).await?;
        }
        Ok(())
    }

    fn registered(&self, candidate: Registration) -> Registered {
        let Registration { package, generation, leaving, replaces, warnings } = candidate;
        let name = &package.name;
        let is_known = self.recorded.contains_key(name) && !self.only_run.contains_key(name);
        let is_run = self.transient && !is_known && package.overridden_by.is_none();
        Registered {
            actor: if is_run { RUN_ACTOR } else { package.actor() }.to_owned(),
            ends_rollback: package.overridden_by.is_none() && self.rolled_back.contains(&package.name),
            replaced: leaving.into_iter().next().filter(|_| replaces),
            package,
            admission: generation.artifact().admission().text(),
            generation,
            warnings,
            ran_before: false,
        }
    }

    /// Tracks a generation as active, and drains the one it replaces.
    fn activate(&mut self, registered: &Registered) {
        let Registered { package, generation, replaced, warnings, .. } = registered;
        let now = self.now_ms();
        if let Some(old) = replaced {
            self.apply_to(old.digest(), Transition::Drain { now });
        }
        let rollout = self.new_rollout(package, replaced.as_deref());
        self.failures.remove(&package.digest);
        self.leaky.remove(&package.name);
        self.troubled.remove(&package.name);
        let source = package.origin.file().map(Path::to_owned);
        match self.tracked.get_mut(&package.digest) {
            Some(tracked) => {
                tracked.source = source;
                tracked.warnings.clone_from(warnings);
                tracked.apply(Transition::Activate { rollout });
            }
            None => {
                let (generation, phase) = (Arc::clone(generation), Phase::Active { rollout });
                let tracked =
                    Tracked { source, warnings: warnings.clone(), ..Tracked::new(generation, phase) };
                self.tracked.insert(package.digest.clone(), tracked);
            }
        }
    }

    /// Records published generations as loaded, those included that an earlier pass could not record, and moves runs to
    /// them whose manifests ask for it.
    pub(super) async fn record_registered(&mut self) -> Result<(), Error> {
        if !self.unrecorded.is_empty() {
            self.journal.loaded(&self.unrecorded, self.now_ms()).await?;
            for registered in self.unrecorded.drain(..) {
                self.recorded.remove(&registered.package.name);
                self.unmigrated.extend(registered.replaced.map(|old| (registered.generation, old)));
            }
        }
        while let Some((new, old)) = self.unmigrated.first() {
            self.migrate_runs(new, old).await?;
            self.unmigrated.remove(0);
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
}
