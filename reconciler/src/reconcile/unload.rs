//! Packages go: retired, drained, cancelled, closed; and are restored for runs that are pinned to them.

use crate::catalog::Snapshot;
use crate::catalog::draft::Draft;
use crate::error::{Error, UnboundGraph};
use crate::observer::PackagePhase;
use crate::plan::model::Drain;
use crate::reconcile::closing::{Closing, Unpublished};
use crate::reconcile::loading::{Purpose, Stage};
use crate::reconcile::notes::log_failure;
use crate::reconcile::report::{Outcome, Report};
use crate::reconcile::state::{Phase, Reconciler, Tracked, Transition};
use crate::runtime::generation::{Generation, Remains, UnloadResult};
use longshore_package::{Digest, PackageName};
use longshore_store::Override;
use std::sync::Arc;
use std::time::Duration;

/// The time a pass waits for a generation to close. Most take milliseconds; one that does not end takes the time its
/// runtime is given, and other packages do not wait for it.
pub(super) const UNLOAD_GRACE: Duration = Duration::from_millis(250);

/// The time the shutdown of the host waits for each: longer than closing takes at most.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(60);

impl Reconciler {
    /// Closes a generation that was never published. One that is tracked is not: it was open before.
    pub(super) fn close_unpublished(&mut self, generation: Arc<Generation>) {
        let tracked = self.tracked.get(generation.digest());
        if tracked.is_some_and(|tracked| Arc::ptr_eq(&tracked.generation, &generation)) {
            return;
        }
        let (digest, name) = (generation.digest().clone(), Some(generation.package().clone()));
        let closing = Closing::of(generation, Arc::clone(&self.wake));
        self.unpublished.push(Unpublished { digest, name, closing });
    }

    /// Closes what is left of a digest that was not opened.
    pub(super) fn close_remains(&mut self, digest: &Digest, remains: Remains) {
        let closing = Closing::until(remains.close(), Arc::clone(&self.wake));
        self.unpublished.push(Unpublished { digest: digest.clone(), name: None, closing });
    }

    /// Publishes digests that were opened for the runs that are pinned to them; no new run starts on them.
    pub(super) async fn publish_restored(&mut self, report: &mut Report) -> Result<(), Error> {
        let opened =
            self.loadings.iter().filter_map(|(_, loading)| match (&loading.purpose, &loading.stage) {
                (Purpose::Restore { pinned_runs }, Stage::Opened(generation)) => {
                    Some((Arc::clone(generation), *pinned_runs))
                }
                _ => None,
            });
        let opened: Vec<(Arc<Generation>, u64)> = opened.collect();
        for (generation, pinned_runs) in opened {
            let digest = generation.digest().clone();
            // One that was opened for new runs meanwhile serves the old ones as well.
            if self.tracked.contains_key(&digest) {
                self.loadings.remove(&digest);
                continue;
            }
            let now = self.now_ms();
            let since = self.journal.draining_since(&generation, now).await?;
            self.journal.loading(&[&generation], now).await?;
            self.loadings.remove(&digest);
            let phase = Phase::Draining(Drain { since, cancelled_at: None });
            let tracked = Tracked::new(Arc::clone(&generation), phase);
            self.tracked.insert(digest.clone(), tracked);
            self.failures.remove(&digest);
            self.publish(Draft::of(&self.packages.snapshot().catalog));
            self.journal.restored(&generation, pinned_runs, since, now).await?;
            report.outcomes.push(Outcome::Restored { name: generation.package().clone(), digest });
        }
        Ok(())
    }

    pub(super) async fn retire(
        &mut self,
        digest: &Digest,
        overridden_by: Option<Arc<Override>>,
        report: &mut Report,
    ) -> Result<(), Error> {
        let Some(tracked) = self.tracked.get(digest).filter(|tracked| tracked.is_active()) else {
            return Ok(());
        };
        let generation = Arc::clone(&tracked.generation);
        let mut draft = Draft::of(&self.packages.snapshot().catalog);
        draft.deregister(&generation);
        let graphs = draft.unbound_graphs();
        if !graphs.is_empty() {
            return self.retain_owner(&generation, graphs, report).await;
        }
        self.publish(draft);
        let now = self.now_ms();
        // Until this is recorded the generation counts as active, and is retired again.
        self.journal.retired(&generation, overridden_by.as_deref(), now).await?;
        self.apply_to(digest, Transition::Drain { now });
        let name = generation.package().clone();
        self.observer.phase(PackagePhase::Retired, name.as_str(), digest.as_str());
        report.outcomes.push(Outcome::Retired { name });
        Ok(())
    }

    /// Retains the owner of a reactor with subscribers although its file is gone, and reports it once.
    async fn retain_owner(
        &mut self,
        generation: &Generation,
        graphs: Vec<UnboundGraph>,
        report: &mut Report,
    ) -> Result<(), Error> {
        let digest = generation.digest();
        let before =
            self.tracked.get_mut(digest).map(|t| std::mem::replace(&mut t.retained_for, graphs.clone()));
        if before.is_some_and(|before| before.is_empty()) {
            let error = Error::HasSubscribers { graphs };
            let name = generation.package();
            self.journal.degraded(name, Some(digest), &error, self.now_ms()).await?;
            report.outcomes.push(Outcome::Refused { name: name.to_string(), error });
        }
        Ok(())
    }

    /// Takes a generation out of the catalog, and closes it.
    pub(super) async fn unload(&mut self, digest: &Digest, report: &mut Report) -> Result<(), Error> {
        let Some(tracked) = self.tracked.get(digest) else { return Ok(()) };
        if matches!(tracked.phase, Phase::Closing(_)) {
            return Ok(());
        }
        let generation = Arc::clone(&tracked.generation);
        let mut draft = Draft::of(&self.packages.snapshot().catalog);
        draft.deregister(&generation);
        let name = generation.package().clone();
        self.observer.phase(PackagePhase::Unloading, name.as_str(), digest.as_str());
        self.publish_without(draft, digest);
        // After it: no new request finds the generation any more.
        let closing = Closing::of(generation, Arc::clone(&self.wake));
        self.apply_to(digest, Transition::Close(closing));
        self.await_closing(digest, UNLOAD_GRACE, report).await
    }

    /// Closes a generation that cannot work any more, desired or not: a desired one comes back through every check.
    pub(super) async fn evict(&mut self, digest: &Digest, report: &mut Report) -> Result<(), Error> {
        let Some(tracked) = self.tracked.get(digest) else { return Ok(()) };
        let mut draft = Draft::of(&self.packages.snapshot().catalog);
        draft.deregister(&tracked.generation);
        if !draft.unbound_graphs().is_empty() {
            // Others are bound to its reactors; it stays, and its condition says why it does not work.
            return Ok(());
        }
        // Its attempts cannot end; tried again, they wait for the digest to come back.
        tracked.generation.fail_in_flight();
        self.unload(digest, report).await
    }

    /// Asks the runs of a generation to stop: its drain deadline has passed.
    pub(super) async fn cancel_runs(
        &mut self,
        name: PackageName,
        digest: &Digest,
        report: &mut Report,
    ) -> Result<(), Error> {
        let now = self.now_ms();
        let runs = self.journal.cancelled(&name, digest, now).await?;
        self.apply_to(digest, Transition::CancelRuns { now });
        self.engine.wake();
        report.outcomes.push(Outcome::Cancelled { name, digest: digest.clone(), runs });
        Ok(())
    }

    /// Closes a generation over attempts that do not stop: they count as lost, and their runs, which were asked to
    /// stop, end.
    pub(super) async fn force_unload(&mut self, digest: &Digest, report: &mut Report) -> Result<(), Error> {
        if let Some(tracked) = self.tracked.get(digest) {
            let lost = tracked.generation.fail_in_flight();
            self.journal.force_unloaded(&tracked.generation, lost, self.now_ms()).await?;
        }
        self.unload(digest, report).await
    }

    /// Closes everything that is loaded, side by side, for the shutdown of the host.
    pub async fn close(&mut self) {
        let deadline = tokio::time::Instant::now() + SHUTDOWN_GRACE;
        self.stop_loading(deadline).await;
        self.packages.publish(Snapshot::default());
        for tracked in self.tracked.values_mut() {
            if !matches!(tracked.phase, Phase::Closing(_)) {
                let closing = Closing::of(Arc::clone(&tracked.generation), Arc::clone(&self.wake));
                tracked.phase = Phase::Closing(closing);
            }
        }
        let now = self.clock.now_ms();
        for (_, tracked) in self.tracked.drain() {
            let Phase::Closing(mut closing) = tracked.phase else { continue };
            let Ok(result) = tokio::time::timeout_at(deadline, closing.result()).await else { continue };
            log_failure(self.journal.unloaded(&tracked.generation, result, false, now).await);
        }
        for mut unpublished in self.unpublished.drain(..) {
            // It was never recorded as open.
            let _ = tokio::time::timeout_at(deadline, unpublished.closing.result()).await;
        }
    }

    /// Waits until a digest is closed, and records it. A generation that takes longer goes on beside the passes.
    pub(super) async fn await_closing(
        &mut self,
        digest: &Digest,
        grace: Duration,
        report: &mut Report,
    ) -> Result<(), Error> {
        let Some(tracked) = self.tracked.get_mut(digest) else { return Ok(()) };
        let Phase::Closing(closing) = &mut tracked.phase else { return Ok(()) };
        match tokio::time::timeout(grace, closing.result()).await {
            Ok(result) => self.closed(digest, result, report).await,
            Err(_) => Ok(()),
        }
    }

    /// Records the generations that were closed since the last pass.
    pub(super) async fn record_closed(&mut self, report: &mut Report) -> Result<(), Error> {
        for digest in self.closing() {
            self.await_closing(&digest, Duration::ZERO, report).await?;
        }
        let (over, closing) = self.unpublished.drain(..).partition(|one| one.closing.is_over());
        self.unpublished = closing;
        let over: Vec<Unpublished> = over;
        for Unpublished { name, mut closing, .. } in over {
            let result = closing.result().await;
            self.note_leak(name.as_ref(), result, report).await;
        }
        Ok(())
    }

    async fn closed(
        &mut self,
        digest: &Digest,
        result: UnloadResult,
        report: &mut Report,
    ) -> Result<(), Error> {
        let Some(tracked) = self.tracked.get(digest) else { return Ok(()) };
        let (generation, name) = (Arc::clone(&tracked.generation), tracked.generation.package().clone());
        let gone = self.active(&name).is_none();
        self.journal.unloaded(&generation, result, gone, self.now_ms()).await?;
        // After it: an unload that was not recorded is recorded by the next pass.
        self.tracked.remove(digest);
        self.unloads.insert(name.clone(), result);
        self.observer.phase(PackagePhase::Unloaded, name.as_str(), digest.as_str());
        self.note_leak(Some(&name), result, report).await;
        log_failure(self.collect_cache(&name).await);
        report.outcomes.push(Outcome::Unloaded { name, result });
        Ok(())
    }

    /// Counts a library that stays mapped. Beyond the budget the host reports it, and by policy gives the package a
    /// process of its own.
    async fn note_leak(&mut self, name: Option<&PackageName>, result: UnloadResult, report: &mut Report) {
        let UnloadResult::StillMapped { bytes } = result else { return };
        self.leaked.0 += 1;
        self.leaked.1 += bytes;
        let Some(name) = name.filter(|_| self.leaked.0 > self.leaks.budget) else { return };
        self.leaky.insert(name.clone());
        let isolated = self.leaks.isolate;
        if isolated {
            self.loader.verify.isolation.packages.insert(name.clone());
        }
        let (generations, bytes) = self.leaked;
        let error = Error::Leaked { generations, bytes, isolated };
        log_failure(self.journal.degraded(name, None, &error, self.now_ms()).await);
        report.outcomes.push(Outcome::Degraded { name: name.clone(), error });
    }
}
