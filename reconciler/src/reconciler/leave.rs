//! Packages go: retired, drained, cancelled, orphaned, closed; and come back for runs that are pinned to them.

use super::notes::log_failure;
use super::{Reconciler, now_ms};
use crate::error::Error;
use crate::generation::{Generation, Released};
use crate::observer::Phase;
use crate::plan::Drain;
use crate::records::package_subject;
use crate::report::{Outcome, Report};
use crate::steps::{Draft, Orphan};
use longshore_package::Digest;
use longshore_store::RegistryRow;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

/// How long a pass waits for a generation to close. Most take milliseconds; one that does not end may take the
/// time its runtime is given, and other packages do not wait for it.
pub(super) const PATIENCE: Duration = Duration::from_millis(250);

/// How long the end of the host waits for one: longer than closing takes at most.
pub(super) const FOR_GOOD: Duration = Duration::from_secs(60);

/// A generation that is being closed.
pub(super) struct Closing {
    pub(super) generation: Arc<Generation>,
    task: JoinHandle<Released>,
    released: Option<Released>,
}

impl Closing {
    fn of(generation: Arc<Generation>, woken: Arc<Notify>) -> Self {
        let closed = Arc::clone(&generation);
        let task = tokio::spawn(async move {
            // A claim that was made on the snapshot before this one is refused by the lane, and put back.
            let released = closed.close().await;
            fail::fail_point!("reconciler.closed");
            woken.notify_one();
            released
        });
        Self { generation, task, released: None }
    }

    /// What became of its memory, once it is closed.
    async fn released(&mut self) -> Released {
        if let Some(released) = self.released {
            return released;
        }
        let released = (&mut self.task).await.unwrap_or(Released::Unknown);
        self.released = Some(released);
        released
    }
}

impl Reconciler {
    /// Opens a digest for the runs that are pinned to it; no new run starts on it.
    pub(super) async fn restore(
        &mut self,
        digest: Digest,
        pinned_runs: u64,
        report: &mut Report,
    ) -> Result<(), Error> {
        if self.closing.contains_key(digest.as_str()) {
            // Once it is closed: a pass waits for nobody.
            return Ok(());
        }
        let generation = match self.loader.restore(&digest).await {
            Ok(generation) => generation,
            Err(Error::Store(error)) => return Err(Error::Store(error)),
            Err(error) => {
                self.note_failure(&digest);
                let subject = format!("digest/{digest}");
                self.records.refused(&subject, digest.as_str(), &error, now_ms()).await?;
                report.outcomes.push(Outcome::Refused { name: digest.as_str().to_owned(), error });
                return Ok(());
            }
        };
        if let Err(error) = self.records.loading(&[&generation], now_ms()).await {
            generation.close().await;
            return Err(error);
        }
        let draft = Draft::of(&self.packages.snapshot().catalog);
        self.publish(draft, |generations| {
            generations.insert(generation.digest().to_owned(), Arc::clone(&generation));
        });
        self.failures.remove(&digest);
        self.begins_to_drain(digest.as_str());
        self.records.restored(&generation, pinned_runs, now_ms()).await?;
        report.outcomes.push(Outcome::Restored { name: generation.package().to_owned(), digest });
        Ok(())
    }

    pub(super) async fn retire(
        &mut self,
        name: String,
        decision: Option<Arc<RegistryRow>>,
        report: &mut Report,
    ) -> Result<(), Error> {
        let Some(generation) = self.active.get(&name).cloned() else { return Ok(()) };
        let mut draft = Draft::of(&self.packages.snapshot().catalog);
        draft.leave(&generation);
        let orphans = draft.orphans();
        if !orphans.is_empty() {
            return self.keep_owner(&generation, orphans, report).await;
        }
        self.publish(draft, |_| {});
        // Until this is recorded the generation counts as active, and is retired again.
        self.records.retired(&generation, decision.as_deref(), now_ms()).await?;
        self.active.remove(&name);
        self.probation.remove(&name);
        self.begins_to_drain(generation.digest());
        self.observer.phase(Phase::Retired, &name, generation.digest());
        report.outcomes.push(Outcome::Retired { name });
        Ok(())
    }

    /// The owner of a reactor with subscribers stays although its file is gone, and says so once.
    async fn keep_owner(
        &mut self,
        generation: &Generation,
        orphans: Vec<Orphan>,
        report: &mut Report,
    ) -> Result<(), Error> {
        if self.kept_owners.insert(generation.digest().to_owned()) {
            let error = Error::HasSubscribers { orphans };
            let subject = package_subject(generation.package());
            self.records.kept(&subject, generation.digest(), &error, now_ms()).await?;
            report.outcomes.push(Outcome::Refused { name: generation.package().to_owned(), error });
        }
        Ok(())
    }

    pub(super) async fn unload(
        &mut self,
        name: String,
        digest: &Digest,
        report: &mut Report,
    ) -> Result<(), Error> {
        let snapshot = self.packages.snapshot();
        let Some(generation) = snapshot.generations.get(digest.as_str()).cloned() else { return Ok(()) };
        let mut draft = Draft::of(&snapshot.catalog);
        draft.leave(&generation);
        self.publish(draft, |generations| {
            generations.remove(digest.as_str());
        });
        drop(snapshot);
        self.observer.phase(Phase::Unloading, &name, digest.as_str());
        self.closing.insert(digest.as_str().to_owned(), Closing::of(generation, Arc::clone(&self.woken)));
        self.wait_for_closing(digest.as_str(), PATIENCE, report).await
    }

    /// Closes a generation that cannot work any more, wanted or not: what is wanted comes back through every check.
    pub(super) async fn give_up(
        &mut self,
        generation: &Arc<Generation>,
        report: &mut Report,
    ) -> Result<(), Error> {
        let mut draft = Draft::of(&self.packages.snapshot().catalog);
        draft.leave(generation);
        if !draft.orphans().is_empty() {
            // Others are bound to its reactors; it stays, and says why it does not work.
            return Ok(());
        }
        let name = generation.package().to_owned();
        // They cannot come through; tried again, they wait for what comes back.
        generation.abandon();
        if self.is_active(generation) {
            self.active.remove(&name);
            self.probation.remove(&name);
        }
        self.unload(name, generation.artifact().digest(), report).await
    }

    /// Waits until a digest is closed, and records it. What takes longer goes on beside the passes.
    pub(super) async fn wait_for_closing(
        &mut self,
        digest: &str,
        patience: Duration,
        report: &mut Report,
    ) -> Result<(), Error> {
        let Some(closing) = self.closing.get_mut(digest) else { return Ok(()) };
        match tokio::time::timeout(patience, closing.released()).await {
            Ok(released) => self.closed(digest, released, report).await,
            Err(_) => Ok(()),
        }
    }

    /// Records what was closed since the last pass.
    pub(super) async fn note_closed(&mut self, report: &mut Report) -> Result<(), Error> {
        let closing: Vec<String> = self.closing.keys().cloned().collect();
        for digest in closing {
            self.wait_for_closing(&digest, Duration::ZERO, report).await?;
        }
        Ok(())
    }

    async fn closed(&mut self, digest: &str, released: Released, report: &mut Report) -> Result<(), Error> {
        let Some(Closing { generation, .. }) = self.closing.get(digest) else { return Ok(()) };
        let (generation, name) = (Arc::clone(generation), generation.package().to_owned());
        let gone = !self.active.contains_key(&name);
        self.records.unloaded(&generation, released, gone, now_ms()).await?;
        // Only now: what was not recorded is recorded by the next pass.
        self.closing.remove(digest);
        self.draining.remove(digest);
        self.observer.phase(Phase::Unloaded, &name, digest);
        self.note_leak(&name, digest, released, report).await;
        log_failure(self.prune(&name).await);
        report.outcomes.push(Outcome::Unloaded { name, released });
        Ok(())
    }

    pub(super) fn begins_to_drain(&mut self, digest: &str) {
        self.draining.insert(digest.to_owned(), Drain { since: now_ms(), cancelled_at: None });
    }

    /// Asks the runs of a generation to stop: its time is over.
    pub(super) async fn cancel_runs(
        &mut self,
        name: String,
        digest: &Digest,
        report: &mut Report,
    ) -> Result<(), Error> {
        let now = now_ms();
        let runs = self.records.cancelled(&name, digest.as_str(), now).await?;
        self.draining.entry(digest.as_str().to_owned()).or_default().cancelled_at = Some(now);
        self.engine.wake();
        report.outcomes.push(Outcome::Cancelled { name, digest: digest.clone(), runs });
        Ok(())
    }

    /// Closes a generation over attempts that do not stop: they count as lost, and their runs, which were asked to
    /// stop, end.
    pub(super) async fn orphan(
        &mut self,
        name: String,
        digest: &Digest,
        report: &mut Report,
    ) -> Result<(), Error> {
        if let Some(generation) = self.packages.snapshot().generations.get(digest.as_str()) {
            let lost = generation.abandon();
            self.records.orphaned(generation, lost, now_ms()).await?;
        }
        self.unload(name, digest, report).await
    }

    /// A library that stays mapped is counted against the budget; beyond it the host says so, and by policy gives
    /// the package a process of its own.
    async fn note_leak(&mut self, name: &str, digest: &str, released: Released, report: &mut Report) {
        let Released::Pinned { bytes } = released else { return };
        *self.loader.mapped.entry(digest.to_owned()).or_default() += 1;
        self.leaked.0 += 1;
        self.leaked.1 += bytes;
        if self.leaked.0 <= self.leaks.budget {
            return;
        }
        let isolated = self.leaks.isolate;
        if isolated {
            self.loader.checks.isolation.packages.insert(name.to_owned());
        }
        let (generations, bytes) = self.leaked;
        let error = Error::Leaked { generations, bytes, isolated };
        log_failure(self.records.kept(&package_subject(name), "", &error, now_ms()).await);
        report.outcomes.push(Outcome::Refused { name: name.to_owned(), error });
    }
}
