//! One transaction: starts, cancels, outcomes, claims; and what follows once it is on disk.

use super::cache::RunCache;
use super::{Actor, CANCEL_LOOK, HEARTBEAT, Held};
use crate::engine::{ProgressEvent, Started, now_ms};
use crate::packages::{AttemptOutcome, Lease};
use longshore_store::{
    Claim, Claimed, Error as StoreError, EventRow, GenerationRow, HostId, NewRun, RunId, RunRow, RunState,
    Store, TaskKey, TaskRow, TaskState, Tx,
};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use tokio::time::Instant;

/// A task that moved.
pub(super) struct Change {
    pub(super) key: TaskKey,
    pub(super) attempt: i64,
    pub(super) state: TaskState,
    pub(super) message: Option<String>,
}

/// What follows from a transaction once it is on disk.
#[derive(Default)]
pub(super) struct Effects {
    /// Runs whose memory is wrong if the transaction fails.
    pub(super) touched: HashSet<RunId>,
    pub(super) changes: Vec<Change>,
    pub(super) finished: Vec<(RunId, RunState)>,
    pub(super) leases: Vec<(Held, Lease)>,
    /// Tasks that are taken, and not yet decided.
    pub(super) claimed: Vec<Claimed>,
    /// Attempts that ended before they began.
    pub(super) ended: Vec<(Held, AttemptOutcome)>,
    /// Tasks that were running when their run was cancelled.
    cancelled: Vec<TaskKey>,
    /// For each pending start whose dedup key another run has, that run.
    existing: HashMap<RunId, RunId>,
}

/// The end of a run whose tasks are not all terminal.
pub(super) struct RunEnd<'e> {
    pub(super) run: RunId,
    pub(super) state: RunState,
    pub(super) error: Option<&'e str>,
    /// The word of its event.
    pub(super) kind: &'static str,
}

/// A transaction that was undone.
pub(super) struct Failed {
    pub(super) why: Undone,
    /// Runs whose memory is wrong now.
    pub(super) touched: HashSet<RunId>,
}

/// Why a transaction is undone.
#[derive(Debug)]
pub(super) enum Undone {
    /// The database failed.
    Store(StoreError),
    /// What this host remembers is not what is recorded: somebody else ended a claim, a task or a run.
    Surprised,
}

impl From<StoreError> for Undone {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// Registers a host and returns what hosts before it left running, as attempts that were lost.
pub(super) async fn take_over(
    store: &Store,
    host: HostId,
    name: &str,
    now: i64,
) -> Result<Vec<(Held, AttemptOutcome)>, StoreError> {
    let mut tx = store.begin().await?;
    Store::register_host(&mut tx, host, name, std::process::id(), now).await?;
    let lost = GenerationRow::mark_lost(&mut tx, host, now).await?;
    let orphans = TaskRow::orphans(&mut tx, host).await?;
    if lost > 0 || !orphans.is_empty() {
        let message =
            format!("took over {} running tasks and {lost} generations of a host that died", orphans.len());
        EventRow::append(&mut tx, &format!("host/{host}"), "took_over", &message, now).await?;
    }
    store.commit(tx).await?;
    Ok(orphans
        .into_iter()
        .map(|task| (orphan(task, now), AttemptOutcome::Lost("its host died".into())))
        .collect())
}

fn orphan(task: TaskRow, now: i64) -> Held {
    Held {
        key: task.key,
        token: task.token,
        attempt: task.attempt,
        lost: task.lost,
        digest: String::new(),
        host: task.host.unwrap_or_default(),
        started_at: task.started_at.unwrap_or(now),
        has_slot: false,
        cancelled: false,
    }
}

/// Records that the host stopped on purpose.
pub(super) async fn sign_off(store: &Store, host: HostId) -> Result<(), StoreError> {
    let mut tx = store.begin().await?;
    Store::heartbeat(&mut tx, host, true, now_ms()).await?;
    store.commit(tx).await
}

impl Actor {
    /// Everything that is pending, in one transaction.
    pub(super) async fn transact(&mut self) -> Result<Effects, Failed> {
        let mut effects = Effects::default();
        match self.try_transact(&mut effects).await {
            Ok(()) => Ok(effects),
            Err(why) => Err(Failed { why, touched: effects.touched }),
        }
    }

    async fn try_transact(&mut self, effects: &mut Effects) -> Result<(), Undone> {
        let now = now_ms();
        self.next_token += 1;
        let claim = Claim { host: self.host, token: self.next_token, now };
        self.may_be_ready |= self.next_due.is_some_and(|due| due <= now);
        self.grant_slots();
        let mut tx = self.store.begin().await?;
        if let Err(undone) = self.write_pending(&mut tx, claim, effects).await {
            // Waited for: what is tried next must not meet the locks of this one. A connection that is gone has none.
            let _ = self.store.roll_back(tx).await;
            return Err(undone);
        }
        fail::fail_point!("engine.before_commit");
        self.store.commit(tx).await?;
        fail::fail_point!("engine.after_commit");
        Ok(())
    }

    async fn write_pending(
        &mut self,
        tx: &mut Tx,
        claim: Claim,
        effects: &mut Effects,
    ) -> Result<(), Undone> {
        if self.last_heartbeat.elapsed() >= HEARTBEAT {
            Store::heartbeat(tx, self.host, false, claim.now).await?;
            self.last_heartbeat = Instant::now();
            self.look_for_cancelled = true;
            // Whatever became ready without this host: by a clock that was set back, by another host.
            self.may_be_ready = true;
        }
        if self.look_for_cancelled || self.last_cancel_look.elapsed() >= CANCEL_LOOK {
            self.cancel_runs(tx, claim.now, effects).await?;
        }
        self.commit_outcomes(tx, claim, effects).await?;
        self.record_starts(tx, claim, effects).await?;
        self.claim(tx, claim, effects).await
    }

    async fn record_starts(
        &mut self,
        tx: &mut Tx,
        claim: Claim,
        effects: &mut Effects,
    ) -> Result<(), Undone> {
        if self.starts.is_empty() {
            return Ok(());
        }
        let runs: Vec<&NewRun> = self.starts.iter().map(|start| &*start.run).collect();
        let catalog = self.packages.catalog();
        let loaded = runs.iter().all(|run| catalog.digests.contains(&run.digest));
        let free = if loaded { self.may_take(effects) } else { 0 };
        let recorded = NewRun::insert(tx, &runs, claim, free).await?;
        effects.existing = recorded.taken;
        for start in self.starts.iter().filter(|start| !effects.existing.contains_key(&start.run.id)) {
            effects.touched.insert(start.run.id);
            let run = RunCache::started(&start.run, Arc::clone(&start.def));
            if !self.may_be_ready {
                self.ready.extend(run.ready(start.run.id).map(|key| (claim.now, key)));
            }
            self.runs.insert(start.run.id, run);
            if start.def.tasks.is_empty() {
                RunRow::finish(tx, &[(start.run.id, RunState::Succeeded, None)], claim.now).await?;
                effects.finished.push((start.run.id, RunState::Succeeded));
            }
        }
        for key in recorded.claimed {
            self.ready.remove(&(claim.now, key));
            effects.claimed.push(Claimed { key, attempt: 1, lost: 0, tainted: 0 });
        }
        Ok(())
    }

    async fn cancel_runs(&mut self, tx: &mut Tx, now: i64, effects: &mut Effects) -> Result<(), StoreError> {
        for (run, asked) in RunRow::to_cancel(tx, now).await? {
            let end = if asked {
                RunEnd { run, state: RunState::Cancelled, error: None, kind: "cancelled" }
            } else {
                let error = Some("the run took longer than its run_timeout_ms");
                RunEnd { run, state: RunState::Failed, error, kind: "timed_out" }
            };
            self.end_early(tx, end, now, effects).await?;
        }
        self.look_for_cancelled = false;
        self.last_cancel_look = Instant::now();
        Ok(())
    }

    /// Ends a run whose tasks are not all terminal.
    pub(super) async fn end_early(
        &mut self,
        tx: &mut Tx,
        end: RunEnd<'_>,
        now: i64,
        effects: &mut Effects,
    ) -> Result<(), StoreError> {
        let RunEnd { run, state, error, kind } = end;
        effects.touched.insert(run);
        if let Some(run) = self.runs.get_mut(&run) {
            run.over = true;
        }
        effects.cancelled.extend(TaskRow::cancel_all(tx, run, now).await?);
        RunRow::finish(tx, &[(run, state, error.map(str::to_owned))], now).await?;
        EventRow::append(tx, &format!("run/{run}"), kind, error.unwrap_or("on request"), now).await?;
        effects.finished.push((run, state));
        Ok(())
    }

    /// Tells everybody, and hands the claimed attempts over.
    pub(super) fn after_commit(&mut self, effects: Effects) {
        self.ended.clear();
        self.ended.extend(effects.ended);
        for start in self.starts.drain(..) {
            let existing = effects.existing.get(&start.run.id);
            let started = Started { run: *existing.unwrap_or(&start.run.id), existing: existing.is_some() };
            let _ = start.reply.send(Ok(started));
        }
        for change in effects.changes {
            // Nobody may be listening, which is fine.
            let _ = self.progress.send(ProgressEvent {
                run: change.key.run,
                idx: change.key.idx as usize,
                attempt: change.attempt,
                state: change.state,
                message: change.message,
            });
        }
        self.cancel_attempts(&effects.cancelled);
        for (run, state) in effects.finished {
            self.forget(run, Some(state));
        }
        let mut leases = Vec::with_capacity(effects.leases.len());
        for (held, lease) in effects.leases {
            self.held_slots += 1;
            self.leases.insert(lease.id, held);
            leases.push(lease);
        }
        self.dispatch(leases);
    }

    fn cancel_attempts(&mut self, keys: &[TaskKey]) {
        if keys.is_empty() {
            return;
        }
        let keys: HashSet<&TaskKey> = keys.iter().collect();
        for (lease, held) in self.leases.iter_mut().filter(|(_, held)| keys.contains(&held.key)) {
            held.cancelled = true;
            self.packages.cancel(&held.digest, *lease);
        }
    }
}
