//! Effects of a transaction that follow once it is on disk, and aborted transactions.

use super::lease_table::HeldLease;
use crate::model::attempt::{Attempt, AttemptOutcome};
use longshore_store::{
    EndedRun, Error as StoreError, EventKind, EventRow, RunId, RunRow, RunState, Subject, TaskKey, TaskRow,
    TaskState, Tx,
};
use std::collections::{HashMap, HashSet};

/// Pause before a task is claimed again that could not begin.
pub(super) const PUT_BACK_MS: i64 = 1000;

/// A task of a run changed its state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProgressEvent {
    /// The run.
    pub run: RunId,
    /// The task's place in the definition.
    pub idx: usize,
    /// The attempt it is in or was in.
    pub attempt: i64,
    /// The new state.
    pub state: TaskState,
    /// Why, when it failed, was skipped, or is tried again.
    pub message: Option<String>,
}

impl ProgressEvent {
    pub(super) fn new(key: TaskKey, attempt: i64, state: TaskState, message: Option<String>) -> Self {
        Self { run: key.run, idx: key.idx as usize, attempt, state, message }
    }
}

/// Effects of a transaction that follow once it is on disk.
#[derive(Default)]
pub(super) struct Effects {
    /// Runs whose memory is wrong if the transaction is aborted.
    pub(super) touched: HashSet<RunId>,
    pub(super) progress: Vec<ProgressEvent>,
    /// Runs that ended.
    pub(super) finished: Vec<(RunId, RunState)>,
    /// Runs that are being cancelled: nothing of them is decided any more.
    pub(super) cancelling: Vec<RunId>,
    /// Attempts to hand over.
    pub(super) attempts: Vec<(HeldLease, Attempt)>,
    /// Attempts that ended before they began.
    pub(super) ended: Vec<(HeldLease, AttemptOutcome)>,
    /// Outcomes that wait until the definitions of their runs are loaded.
    pub(super) parked: Vec<(HeldLease, AttemptOutcome)>,
    /// Tasks that were running when their run was cancelled.
    pub(super) cancelled: Vec<TaskKey>,
    /// For each pending start whose dedup key another run has, that run.
    pub(super) existing: HashMap<RunId, RunId>,
    /// Pending starts that an earlier transaction recorded, whose end was not known.
    pub(super) recorded: HashSet<RunId>,
}

/// The end of a run whose tasks are not all terminal.
pub(super) struct RunEnd {
    pub(super) run: RunId,
    pub(super) state: RunState,
    pub(super) error: Option<String>,
    pub(super) kind: EventKind,
}

impl RunEnd {
    /// Records it. Returns the tasks that were running: a run waits for their attempts to stop, unless its rows do not
    /// read.
    pub(super) async fn record(&self, tx: &mut Tx, now: i64) -> Result<Vec<TaskKey>, StoreError> {
        let Self { run, state, error, kind } = self;
        let running = TaskRow::cancel_waiting(tx, *run, now).await?;
        if self.waits_for(&running) {
            RunRow::begin_cancel(tx, *run, running.len() as i64, error.as_deref()).await?;
        } else {
            TaskRow::cancel_running(tx, *run, now).await?;
            let end = EndedRun { run: *run, state: *state, error: error.clone(), skipped_tasks: 0 };
            RunRow::finish(tx, &[end], now).await?;
        }
        let message = error.as_deref().unwrap_or("on request");
        EventRow::append(tx, Subject::Run(*run), *kind, message, now).await?;
        Ok(running)
    }

    /// True when the run has not ended before these tasks have.
    pub(super) fn waits_for(&self, running: &[TaskKey]) -> bool {
        !running.is_empty() && self.kind != EventKind::Unreadable
    }

    /// The end of a run whose rows do not read.
    pub(super) fn unreadable(run: RunId, error: &StoreError) -> Self {
        let error = Some(format!("{} {error}", error.code()));
        Self { run, state: RunState::Failed, error, kind: EventKind::Unreadable }
    }
}

/// A transaction that was aborted.
pub(super) struct Aborted {
    pub(super) why: Abort,
    /// Runs whose memory is wrong now.
    pub(super) touched: HashSet<RunId>,
}

/// Why a transaction is aborted.
#[derive(Debug)]
pub(super) enum Abort {
    /// The database failed.
    Store(StoreError),
    /// The rows that changed are not those that memory says: somebody else ended a lease, a task or a run.
    StaleCache {
        /// Rows that should have changed.
        expected: u64,
        /// Rows that changed.
        actual: u64,
    },
}

impl From<StoreError> for Abort {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}
