//! One transaction: heartbeat, cancels, outcomes, starts, claims; and its effects once it is on disk.

use super::cancelled::never_began_and_cancelled;
use super::claim::never_began;
use super::command::{PendingStart, Started};
use super::effects::{Abort, Aborted, Effects, RunEnd};
use super::lease_table::HeldLease;
use super::recovery::{lost_claims, readable_runs};
use super::run_cache::CachedRun;
use super::{CANCEL_SCAN_INTERVAL, HEARTBEAT_INTERVAL, MAX_BATCH, Writer};
use crate::model::attempt::AttemptOutcome;
use longshore_store::{
    Claim, EndedRun, Error as StoreError, EventKind, FencingToken, Lease, NewRun, RecordedClaims, RunId,
    RunRow, RunState, Store, TaskKey, TaskRow, Tx,
};
use std::collections::HashSet;
use std::sync::Arc;

impl Writer {
    /// Everything that is pending, in one transaction.
    pub(super) async fn transact(&mut self) -> Result<Effects, Aborted> {
        let mut effects = Effects::default();
        match self.try_transact(&mut effects).await {
            Ok(()) => Ok(effects),
            Err(why) => Err(Aborted { why, touched: effects.touched }),
        }
    }

    async fn try_transact(&mut self, effects: &mut Effects) -> Result<(), Abort> {
        let now = self.time.advance(&*self.clock);
        self.token = self.token.next();
        let claim = Claim { host: self.host, token: self.token, now };
        self.grant_slots();
        // Once: a heartbeat without a look at the lock would put that off to the next one.
        let beats = self.is_heartbeat_due();
        if beats {
            self.store.keep_lock().await?;
        }
        let mut tx = self.store.begin().await?;
        if let Err(abort) = self.write_pending(&mut tx, claim, beats, effects).await {
            // Waited for: the next transaction must not meet the locks of this one. A connection that is gone has none.
            let _ = self.store.roll_back(tx).await;
            return Err(abort);
        }
        fail::fail_point!("engine.before_commit");
        self.store.commit(tx).await?;
        fail::fail_point!("engine.after_commit");
        Ok(())
    }

    fn is_heartbeat_due(&self) -> bool {
        self.clock.uptime() >= self.timers.last_heartbeat + HEARTBEAT_INTERVAL
    }

    async fn write_pending(
        &mut self,
        tx: &mut Tx,
        claim: Claim,
        beats: bool,
        effects: &mut Effects,
    ) -> Result<(), Abort> {
        let uptime = self.clock.uptime();
        if beats {
            Store::heartbeat(tx, self.host, false, claim.now).await?;
            self.timers.last_heartbeat = uptime;
            self.timers.scan_cancelled = true;
            self.verify_claims = true;
            // Tasks that became ready without this host: by a clock that was set back, by another host.
            self.ready.mark_incomplete();
        }
        if self.timers.scan_cancelled || uptime >= self.timers.last_cancel_scan + CANCEL_SCAN_INTERVAL {
            self.cancel_runs(tx, claim.now, effects).await?;
        }
        if self.ready.is_due(claim.now) && self.stopping.is_none() {
            self.release_due(tx, claim.now).await?;
        }
        if self.verify_claims {
            self.compare_claims(tx, claim, effects).await?;
            self.take_stale_claims(tx).await?;
        }
        let mut claimed = self.commit_outcomes(tx, claim, effects).await?;
        claimed.extend(self.record_starts(tx, claim, claimed.len(), effects).await?);
        self.claim(tx, claim, claimed, effects).await
    }

    /// Makes tasks claimable that were put back for later and are due.
    async fn release_due(&mut self, tx: &mut Tx, now: i64) -> Result<(), StoreError> {
        for (queue, key) in TaskRow::release_due(tx, now, MAX_BATCH as i64).await? {
            self.ready.push(queue, key);
        }
        self.ready.set_next_due(TaskRow::next_due(tx).await?);
        Ok(())
    }

    /// Compares the claims that this host has for the database with those that it knows of: an earlier transaction may
    /// have been committed whose end it did not learn. Tasks that it does not know of never began and are put back;
    /// attempts that the database does not know of, or whose runs it is cancelling, are cancelled.
    async fn compare_claims(
        &mut self,
        tx: &mut Tx,
        claim: Claim,
        effects: &mut Effects,
    ) -> Result<(), Abort> {
        let RecordedClaims { leases, cancelled, unreadable, .. } = RecordedClaims::of(tx, self.host).await?;
        for (run, error) in readable_runs(unreadable) {
            self.end_early(tx, RunEnd::unreadable(run, &error), claim.now, effects).await?;
        }
        let id = |lease: &Lease| (lease.key, lease.token);
        let recorded: HashSet<(TaskKey, FencingToken)> = leases.iter().map(id).collect();
        let executing = self.leases.iter().filter(|held| !held.cancelled).map(|held| &held.lease);
        effects.cancelled.extend(executing.filter(|l| !recorded.contains(&id(l))).map(|lease| lease.key));
        let pending = self.ended.iter().chain(&self.held_back.ended).chain(&self.parked);
        let held = self.leases.iter().chain(pending.map(|(held, _)| held));
        let held: HashSet<(TaskKey, FencingToken)> = held.map(|held| id(&held.lease)).collect();
        let unknown = |leases: Vec<Lease>| leases.into_iter().filter(|lease| !held.contains(&id(lease)));
        let (unknown, cancelled): (Vec<_>, Vec<_>) =
            (unknown(leases).collect(), unknown(cancelled).collect());
        if unknown.is_empty() && cancelled.is_empty() {
            return Ok(());
        }
        let tasks = unknown.len() + cancelled.len();
        tracing::warn!(tasks, "claims that this host did not learn of are put back");
        let cancelled: Vec<_> = cancelled.into_iter().map(never_began_and_cancelled).collect();
        let cancelled: Vec<_> = cancelled.iter().collect();
        self.commit_cancelled(tx, &cancelled, claim.now, effects).await?;
        self.commit_resolved(tx, unknown.iter().map(never_began).collect(), claim, effects).await?;
        self.ready.mark_incomplete();
        Ok(())
    }

    /// Takes over what a host before this one claimed after it was replaced, and before it noticed.
    async fn take_stale_claims(&mut self, tx: &mut Tx) -> Result<(), StoreError> {
        let stale = lost_claims(RecordedClaims::stale(tx, self.host).await?);
        let known = self.ended.iter().chain(&self.held_back.ended).chain(&self.parked);
        let known: HashSet<(TaskKey, FencingToken)> =
            known.map(|(held, _)| (held.lease.key, held.lease.token)).collect();
        let id = |held: &HeldLease| (held.lease.key, held.lease.token);
        self.ended.extend(stale.into_iter().filter(|(held, _)| !known.contains(&id(held))));
        Ok(())
    }

    /// Records pending starts. Returns leases of their roots, as far as there are slots beside the `claimed` ones.
    async fn record_starts(
        &mut self,
        tx: &mut Tx,
        claim: Claim,
        claimed: usize,
        effects: &mut Effects,
    ) -> Result<Vec<Lease>, Abort> {
        if self.starts.is_empty() {
            return Ok(Vec::new());
        }
        for start in &mut self.starts {
            // On the time that it is compared with.
            let after = |ms: u64| claim.now.saturating_add(i64::try_from(ms).unwrap_or(i64::MAX));
            start.run.deadline_at = start.def.run_timeout_ms.map(after);
        }
        let uncertain: Vec<RunId> = self.starts.iter().filter(|s| s.uncertain).map(|s| s.run.id).collect();
        if !uncertain.is_empty() {
            effects.recorded = RunRow::existing(tx, &uncertain).await?;
        }
        let fresh = |start: &&PendingStart| !effects.recorded.contains(&start.run.id);
        let runs: Vec<&NewRun> = self.starts.iter().filter(fresh).map(|start| &*start.run).collect();
        let catalog = self.packages.catalog();
        let loaded = runs.iter().all(|run| catalog.digests.contains(&run.digest));
        let free = if loaded { self.eager_claim_limit(claimed, effects) } else { 0 };
        let recorded = NewRun::insert(tx, &runs, claim, free).await?;
        effects.existing = recorded.taken;
        for start in &self.starts {
            if effects.existing.contains_key(&start.run.id) || effects.recorded.contains(&start.run.id) {
                continue;
            }
            effects.touched.insert(start.run.id);
            let run = CachedRun::started(&start.run, Arc::clone(&start.def));
            run.ready(start.run.id).for_each(|key| self.ready.push(start.def.queue, key));
            self.runs.insert(start.run.id, run);
            if start.def.tasks.is_empty() {
                let (run, state) = (start.run.id, RunState::Succeeded);
                RunRow::finish(tx, &[EndedRun { run, state, error: None, skipped_tasks: 0 }], claim.now)
                    .await?;
                effects.finished.push((start.run.id, RunState::Succeeded));
            }
        }
        for key in &recorded.claimed {
            if let Some(run) = self.runs.get(key.run) {
                self.ready.remove(run.def.queue, *key);
            }
        }
        Ok(recorded.claimed.into_iter().map(|key| claim.lease(key, 1, 0)).collect())
    }

    async fn cancel_runs(&mut self, tx: &mut Tx, now: i64, effects: &mut Effects) -> Result<(), StoreError> {
        for (run, requested) in RunRow::to_cancel(tx, now).await? {
            let end = if requested {
                RunEnd { run, state: RunState::Cancelled, error: None, kind: EventKind::Cancelled }
            } else {
                let error = Some("the run took longer than its run_timeout_ms".to_owned());
                RunEnd { run, state: RunState::Failed, error, kind: EventKind::TimedOut }
            };
            self.end_early(tx, end, now, effects).await?;
        }
        self.timers.scan_cancelled = false;
        self.timers.last_cancel_scan = self.clock.uptime();
        Ok(())
    }

    /// Ends a run whose tasks are not all terminal.
    pub(super) async fn end_early(
        &mut self,
        tx: &mut Tx,
        end: RunEnd,
        now: i64,
        effects: &mut Effects,
    ) -> Result<(), StoreError> {
        effects.touched.insert(end.run);
        if let Some(run) = self.runs.get_mut(end.run) {
            run.over = true;
        }
        let running = end.record(tx, now).await?;
        if end.waits_for(&running) {
            effects.cancelling.push(end.run);
        } else {
            effects.finished.push((end.run, end.state));
        }
        effects.cancelled.extend(running);
        Ok(())
    }

    /// Keeps outcomes whose definitions are not loaded, and lets go of those whose runs were cancelled meanwhile.
    fn park(&mut self, parked: Vec<(HeldLease, AttemptOutcome)>, cancelled: &[TaskKey]) {
        self.parked.extend(parked);
        for (mut held, outcome) in self.parked.extract_if(.., |(held, _)| cancelled.contains(&held.lease.key))
        {
            held.cancelled = true;
            self.ended.push((held, outcome));
        }
        if self.stopping.is_some() {
            self.give_up_parked();
        }
    }

    /// Puts the tasks of parked outcomes back: their definitions do not come back in this process, and the next one
    /// executes them again.
    pub(super) fn give_up_parked(&mut self) {
        let given_up = |(held, _)| (held, AttemptOutcome::Cancelled);
        self.ended.extend(std::mem::take(&mut self.parked).into_iter().map(given_up));
    }

    /// Keeps the memory of open runs within its limit.
    fn shrink_cache(&mut self) {
        if !self.runs.is_over(self.max_cached_bytes) {
            return;
        }
        let busy: HashSet<RunId> = self.leases.iter().map(|held| held.lease.key.run).collect();
        self.runs.shrink(self.max_cached_bytes, |run| busy.contains(&run));
    }

    /// Answers starts, reports progress, and hands the claimed attempts over.
    pub(super) fn apply(&mut self, effects: Effects) {
        self.log(&effects);
        self.ended.clear();
        self.ended.extend(effects.ended);
        self.park(effects.parked, &effects.cancelled);
        for start in self.starts.drain(..) {
            let existing = effects.existing.get(&start.run.id);
            let started = Started { run: *existing.unwrap_or(&start.run.id), existing: existing.is_some() };
            let _ = start.reply.send(Ok(started));
        }
        for event in effects.progress {
            // Without a listener there is nobody to report to.
            let _ = self.progress.send(event);
        }
        for (lease, digest) in self.leases.cancel(&effects.cancelled) {
            self.packages.cancel(&digest, lease);
        }
        effects.cancelling.into_iter().for_each(|run| self.runs.let_go(run));
        for (run, state) in effects.finished {
            self.runs.forget(run, Some(state));
        }
        let mut attempts = Vec::with_capacity(effects.attempts.len());
        for (held, attempt) in effects.attempts {
            self.slots.take();
            self.leases.insert(attempt.lease, held);
            attempts.push(attempt);
        }
        self.shrink_cache();
        self.dispatch(attempts);
    }
}
