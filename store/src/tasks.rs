//! Tasks of runs: what is claimed, committed, and propagated to dependants.

use crate::batch::{BatchStatement, Column::Int, Column::Text, MAX_ROWS, in_json, json_of};
use crate::error::Error;
use crate::ids::{FencingToken, HostId, QueueId, RunId};
use crate::keys::TaskKey;
use crate::lease::{Claim, Losses};
use crate::open::{Store, Tx};
use crate::row::{get, read_rows};
use crate::text_enum::text_enum;
use sqlx::any::AnyRow;
use sqlx::{AssertSqlSafe, FromRow};
use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap};

text_enum! {
    /// Where a task is.
    TaskState {
        /// Some dependency is not terminal.
        Waiting = "waiting",
        /// To be claimed once it is due.
        Ready = "ready",
        /// Claimed by a host.
        Running = "running",
        /// Done.
        Succeeded = "succeeded",
        /// Failed, its attempts spent.
        Failed = "failed",
        /// Its rule did not hold, or something above it failed and its rule is the default.
        Skipped = "skipped",
        /// Its run was cancelled before it ended.
        Cancelled = "cancelled",
    }
}

impl TaskState {
    /// True when nothing more will happen to it.
    pub fn is_terminal(self) -> bool {
        !matches!(self, Self::Waiting | Self::Ready | Self::Running)
    }
}

/// A task to record with its run.
#[derive(Debug, Clone)]
pub struct NewTask {
    /// Its place in the run's topological order.
    pub idx: i64,
    /// Its id.
    pub id: String,
    /// The number of dependencies it waits for.
    pub waiting: i64,
}

/// A task as recorded.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct TaskRow {
    /// Which.
    #[sqlx(flatten)]
    pub key: TaskKey,
    /// Its id.
    pub id: String,
    /// Where it is.
    pub state: TaskState,
    /// The number of dependencies it waits for.
    pub waiting: i64,
    /// Dependencies whose end keeps the default rule from holding.
    pub upstream_failed: i64,
    /// Attempts begun.
    pub attempt: i64,
    /// Attempts that ended because their host or process died.
    pub lost: i64,
    /// Those since an attempt last held up that had others beside them.
    pub lost_together: i64,
    /// Those since an attempt last held up that were alone.
    pub lost_alone: i64,
    /// The token of the current or last claim.
    pub token: FencingToken,
    /// When it is due.
    pub due_at: i64,
    /// The host of the current or last attempt.
    #[sqlx(rename = "host_id")]
    pub host: Option<HostId>,
    /// When the current or last attempt began.
    pub started_at: Option<i64>,
    /// When it ended.
    pub finished_at: Option<i64>,
    /// Why it failed or was skipped.
    pub error: Option<String>,
    /// Its changes of the context, as JSON.
    pub patch: Option<String>,
}

const COLUMNS: &str = "run_id, idx, id, state, waiting, upstream_failed, attempt, lost, lost_together, \
     lost_alone, token, due_at, host_id, started_at, finished_at, error, patch";

static INSERT: BatchStatement = BatchStatement::new(
    "INSERT INTO tasks (run_id, idx, id, queue, state, waiting, upstream_failed, attempt, lost, lost_together, \
     lost_alone, token, due_at) \
     SELECT v.column1, v.column2, v.column3, v.column4, v.column5, v.column6, 0, 0, 0, 0, 0, 0, 0 FROM (VALUES ",
    &[Text, Int, Text, Int, Text, Int],
    ") AS v WHERE v.column1 IS NOT NULL",
);

static INSERT_CLAIMED: BatchStatement = BatchStatement::new(
    "INSERT INTO tasks (run_id, idx, id, queue, state, waiting, upstream_failed, attempt, lost, lost_together, \
     lost_alone, token, host_id, due_at, started_at) \
     SELECT v.column1, v.column2, v.column3, v.column4, 'running', 0, 0, 1, 0, 0, 0, CAST($1 AS BIGINT), \
     CAST($2 AS TEXT), 0, CAST($3 AS BIGINT) FROM (VALUES ",
    &[Text, Int, Text, Int],
    ") AS v WHERE v.column1 IS NOT NULL",
);

impl NewTask {
    /// Records tasks. Those that wait for nothing are claimed with it, as many as there are free slots; their
    /// keys are returned.
    pub(crate) async fn insert(
        tx: &mut Tx,
        tasks: &[(RunId, QueueId, &Self)],
        claim: Claim,
        free: usize,
    ) -> Result<Vec<TaskKey>, Error> {
        let mut claimed = Vec::new();
        let mut others = Vec::with_capacity(tasks.len());
        for task in tasks {
            let takes = task.2.waiting == 0 && claimed.len() < free;
            if takes { &mut claimed } else { &mut others }.push(*task);
        }
        Self::insert_claimed(tx, &claimed, claim).await?;
        Self::insert_others(tx, &others).await?;
        Ok(claimed.iter().map(|(run, _, task)| TaskKey { run: *run, idx: task.idx }).collect())
    }

    async fn insert_claimed(
        tx: &mut Tx,
        tasks: &[(RunId, QueueId, &Self)],
        claim: Claim,
    ) -> Result<(), Error> {
        for chunk in tasks.chunks(MAX_ROWS) {
            let rows = chunk.iter().flat_map(|(run, queue, task)| {
                [run.to_string().into(), task.idx.into(), task.id.clone().into(), queue.get().into()]
            });
            let scalars = [claim.token.get().into(), claim.host.to_string().into(), claim.now.into()];
            let query = INSERT_CLAIMED.query_with(tx, scalars, rows.collect());
            query.execute(&mut **tx).await.map_err(|e| Error::of("record claimed tasks", e))?;
        }
        Ok(())
    }

    async fn insert_others(tx: &mut Tx, tasks: &[(RunId, QueueId, &Self)]) -> Result<(), Error> {
        for chunk in tasks.chunks(MAX_ROWS) {
            let rows = chunk.iter().flat_map(|(run, queue, task)| {
                let state = if task.waiting == 0 { TaskState::Ready } else { TaskState::Waiting };
                [
                    run.to_string().into(),
                    task.idx.into(),
                    task.id.clone().into(),
                    queue.get().into(),
                    state.as_str().into(),
                    task.waiting.into(),
                ]
            });
            let query = INSERT.query(tx, rows.collect());
            query.execute(&mut **tx).await.map_err(|e| Error::of("record tasks", e))?;
        }
        Ok(())
    }
}

/// The first time at which a task is due that was put back.
pub(crate) const NEXT_DUE: &str = "SELECT MIN(due_at) FROM tasks WHERE state = 'ready' AND due_at > 0";

/// The first claimable tasks of a queue.
pub(crate) const CLAIMABLE: &str = "SELECT run_id, idx FROM tasks \
     WHERE queue = $1 AND state = 'ready' AND due_at = 0 AND run_id >= $3 \
     ORDER BY queue, run_id, idx LIMIT $2";

/// The runs that a host goes on with.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum RunScope {
    /// All of them.
    #[default]
    All,
    /// This one and those that were started after it.
    Since(RunId),
    /// These and no others.
    Only(BTreeSet<RunId>),
}

impl RunScope {
    /// True when a run is in it.
    pub fn contains(&self, run: RunId) -> bool {
        match self {
            Self::All => true,
            Self::Since(first) => run >= *first,
            Self::Only(runs) => runs.contains(&run),
        }
    }
}

/// The key in a row.
pub(crate) fn key_of(row: &AnyRow) -> Result<TaskKey, Error> {
    Ok(TaskKey { run: RunId::parse(&get::<String>(row, "run_id")?)?, idx: get(row, "idx")? })
}

impl TaskRow {
    /// Its losses.
    pub fn losses(&self) -> Losses {
        Losses { total: self.lost, together: self.lost_together, alone: self.lost_alone }
    }

    /// Cancels the tasks of a run that have not begun. Returns those that are running.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn cancel_waiting(tx: &mut Tx, run: RunId, now: i64) -> Result<Vec<TaskKey>, Error> {
        let running = sqlx::query("SELECT idx FROM tasks WHERE run_id = $1 AND state = 'running'")
            .bind(run.to_string())
            .fetch_all(&mut **tx)
            .await
            .map_err(|e| Error::of("look for running tasks", e))?;
        let sql = "UPDATE tasks SET state = 'cancelled', finished_at = $1 \
                   WHERE run_id = $2 AND state IN ('waiting', 'ready')";
        let cancelled = sqlx::query(sql).bind(now).bind(run.to_string()).execute(&mut **tx).await;
        cancelled.map_err(|e| Error::of("cancel tasks", e))?;
        running.iter().map(|row| Ok(TaskKey { run, idx: get(row, "idx")? })).collect()
    }

    /// Cancels the running tasks of a run, whoever holds them: from now on their claims are fenced off.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn cancel_running(tx: &mut Tx, run: RunId, now: i64) -> Result<(), Error> {
        let sql =
            "UPDATE tasks SET state = 'cancelled', finished_at = $1 WHERE run_id = $2 AND state = 'running'";
        let done = sqlx::query(sql).bind(now).bind(run.to_string()).execute(&mut **tx).await;
        done.map(drop).map_err(|e| Error::of("cancel running tasks", e))
    }

    /// When the first of the tasks is due that were put back for later.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn next_due(tx: &mut Tx) -> Result<Option<i64>, Error> {
        sqlx::query_scalar(NEXT_DUE)
            .fetch_one(&mut **tx)
            .await
            .map_err(|e| Error::of("look for the next due task", e))
    }

    /// Makes tasks that were put back for later due so many milliseconds earlier.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn bring_forward(tx: &mut Tx, ms: i64) -> Result<(), Error> {
        let sql = "UPDATE tasks SET due_at = CASE WHEN due_at > $1 THEN due_at - $1 ELSE 1 END \
                   WHERE state = 'ready' AND due_at > 0";
        let done = sqlx::query(sql).bind(ms).execute(&mut **tx).await;
        done.map(drop).map_err(|e| Error::of("bring tasks forward", e))
    }

    /// Makes up to `limit` tasks claimable that were put back for later and are due. Returns them with their queues.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn release_due(tx: &mut Tx, now: i64, limit: i64) -> Result<Vec<(QueueId, TaskKey)>, Error> {
        let rows = sqlx::query(
            "UPDATE tasks SET due_at = 0 WHERE state = 'ready' AND (run_id, idx) IN (SELECT run_id, idx FROM tasks \
             WHERE state = 'ready' AND due_at > 0 AND due_at <= $1 ORDER BY due_at LIMIT $2) \
             RETURNING queue, run_id, idx",
        )
        .bind(now)
        .bind(limit)
        .fetch_all(&mut **tx)
        .await
        .map_err(|e| Error::of("release due tasks", e))?;
        rows.iter().map(|row| Ok((get(row, "queue")?, key_of(row)?))).collect()
    }

    /// The queues that have claimable tasks, one probe of the index for each.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn claimable_queues(tx: &mut Tx) -> Result<Vec<QueueId>, Error> {
        const NEXT: &str = "SELECT MIN(queue) FROM tasks WHERE state = 'ready' AND due_at = 0";
        let sql = format!(
            "WITH RECURSIVE found(queue) AS ({NEXT} UNION ALL \
             SELECT ({NEXT} AND queue > found.queue) FROM found WHERE found.queue IS NOT NULL) \
             SELECT queue FROM found WHERE queue IS NOT NULL"
        );
        let rows = sqlx::query_scalar(AssertSqlSafe(sql)).fetch_all(&mut **tx).await;
        rows.map_err(|e| Error::of("look for claimable tasks", e))
    }

    /// The first claimable tasks of a queue, oldest run first, of the runs in a scope.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn claimable(
        tx: &mut Tx,
        queue: QueueId,
        scope: &RunScope,
        limit: i64,
    ) -> Result<Vec<TaskKey>, Error> {
        let (sql, runs) = match scope {
            RunScope::All => (Cow::Borrowed(CLAIMABLE), String::new()),
            RunScope::Since(first) => (Cow::Borrowed(CLAIMABLE), first.to_string()),
            RunScope::Only(runs) => {
                let of_runs = format!("run_id {}", in_json(tx, 3));
                (Cow::Owned(CLAIMABLE.replace("run_id >= $3", &of_runs)), json_of(runs))
            }
        };
        let rows = sqlx::query(AssertSqlSafe(sql)).bind(queue.get()).bind(limit).bind(runs);
        let rows = rows.fetch_all(&mut **tx).await.map_err(|e| Error::of("look for claimable tasks", e))?;
        rows.iter().map(key_of).collect()
    }

    /// All tasks of runs, in topological order, inside a transaction. A run with a row that does not read has
    /// that error instead, so that it does not keep the others from being read.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn of_runs(
        tx: &mut Tx,
        runs: &[RunId],
    ) -> Result<HashMap<RunId, Result<Vec<Self>, Error>>, Error> {
        let sql = format!("SELECT {COLUMNS} FROM tasks WHERE run_id {} ORDER BY run_id, idx", in_json(tx, 1));
        let query = sqlx::query(AssertSqlSafe(sql)).bind(json_of(runs));
        let rows = query.fetch_all(&mut **tx).await.map_err(|e| Error::of("load tasks", e))?;
        let mut tasks: HashMap<RunId, Result<Vec<Self>, Error>> = HashMap::new();
        for row in &rows {
            let run = RunId::parse(&get::<String>(row, "run_id")?)?;
            let task = Self::from_row(row).map_err(|e| Error::undecodable("tasks", run.to_string(), e));
            let of_run = tasks.entry(run).or_insert_with(|| Ok(Vec::new()));
            match (task, &mut *of_run) {
                (Ok(task), Ok(list)) => list.push(task),
                (Err(error), Ok(_)) => *of_run = Err(error),
                (_, Err(_)) => {}
            }
        }
        Ok(tasks)
    }

    /// All tasks of one run, in topological order.
    ///
    /// # Errors
    /// [`Error`] of the database, [`Error::BadRow`].
    pub async fn of_run(store: &Store, run: RunId) -> Result<Vec<Self>, Error> {
        let sql = format!("SELECT {COLUMNS} FROM tasks WHERE run_id = $1 ORDER BY idx");
        let rows = sqlx::query(AssertSqlSafe(sql))
            .bind(run.to_string())
            .fetch_all(store.reader())
            .await
            .map_err(|e| Error::of("load tasks", e))?;
        read_rows("tasks", "run_id", &rows)
    }
}
