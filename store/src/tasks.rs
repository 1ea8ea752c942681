//! Tasks of runs: what is claimed, committed, and propagated to dependants.

use crate::batch::{Column::Int, Column::Text, MAX_ROWS, Many, in_json, json_of};
use crate::error::Error;
use crate::ids::{HostId, RunId};
use crate::open::{Dialect, Store, Tx};
use crate::runs::get;
use crate::words::{read_rows, words};
use sqlx::{AssertSqlSafe, FromRow};
use std::collections::HashMap;

words! {
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
    /// Whether nothing more will happen to it.
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
    /// How many dependencies it waits for.
    pub waiting: i64,
}

/// Names a task of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, FromRow)]
pub struct TaskKey {
    /// The run.
    #[sqlx(rename = "run_id")]
    pub run: RunId,
    /// The task's place in the run's topological order.
    pub idx: i64,
}

/// A task that this host now holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claimed {
    /// Which.
    pub key: TaskKey,
    /// From 1.
    pub attempt: i64,
    /// Attempts before this one that ended because their host died.
    pub lost: i64,
    /// Dependencies whose end keeps the default rule from holding.
    pub tainted: i64,
}

/// The end of a claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskUpdate {
    /// Which task.
    pub key: TaskKey,
    /// The token it was claimed with.
    pub token: i64,
    /// Where it goes: a terminal state, or `Ready` for another attempt.
    pub state: TaskState,
    /// 1 when the attempt ended because whatever executed it is gone.
    pub lost: i64,
    /// 1 when the attempt is taken back, as if it had never begun.
    pub unbegun: i64,
    /// When it is due again, for `Ready`.
    pub due_at: i64,
    /// Why it failed or was skipped.
    pub error: Option<String>,
    /// What it changed in the context, as JSON.
    pub patch: Option<String>,
}

/// What a terminal task means to one dependant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Resolution {
    /// Dependencies that became terminal.
    pub resolved: i64,
    /// Those of them that taint.
    pub tainted: i64,
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
    /// Attempts begun.
    pub attempt: i64,
    /// Attempts that ended because their host died.
    pub lost: i64,
    /// The token of the current or last claim.
    pub token: i64,
    /// When it is due.
    pub due_at: i64,
    /// The host of the current or last attempt.
    #[sqlx(rename = "host_id")]
    pub host: Option<String>,
    /// When the current or last attempt began.
    pub started_at: Option<i64>,
    /// When it ended.
    pub finished_at: Option<i64>,
    /// Why it failed or was skipped.
    pub error: Option<String>,
    /// What it changed in the context, as JSON.
    pub patch: Option<String>,
}

const COLUMNS: &str =
    "run_id, idx, id, state, attempt, lost, token, due_at, host_id, started_at, finished_at, error, patch";

static INSERT: Many = Many::new(
    "INSERT INTO tasks (run_id, idx, id, state, waiting, tainted, attempt, lost, token, due_at) \
     SELECT v.column1, v.column2, v.column3, v.column4, v.column5, 0, 0, 0, 0, v.column6 FROM (VALUES ",
    &[Text, Int, Text, Text, Int, Int],
    ") AS v WHERE v.column1 IS NOT NULL",
);

static APPLY: Many = Many::new(
    "WITH v(run_id, idx, token, state, lost, unbegun, due_at, finished_at, error, patch) AS (VALUES ",
    &[Text, Int, Int, Text, Int, Int, Int, Int, Text, Text],
    ") UPDATE tasks SET state = v.state, lost = tasks.lost + v.lost, \
     attempt = tasks.attempt - v.unbegun, due_at = v.due_at, finished_at = v.finished_at, \
     error = v.error, patch = v.patch FROM v WHERE tasks.run_id = v.run_id AND tasks.idx = v.idx \
     AND tasks.token = v.token AND tasks.state = 'running' RETURNING tasks.run_id, tasks.idx",
);

static RESOLVE: Many = Many::new(
    "WITH v(run_id, idx, resolved, tainted, at) AS (VALUES ",
    &[Text, Int, Int, Int, Int],
    ") UPDATE tasks SET waiting = waiting - v.resolved, tainted = tasks.tainted + v.tainted, \
     state = CASE WHEN waiting = v.resolved THEN 'ready' ELSE state END, due_at = v.at \
     FROM v WHERE tasks.run_id = v.run_id AND tasks.idx = v.idx AND tasks.state = 'waiting'",
);

impl NewTask {
    pub(crate) async fn insert(tx: &mut Tx, tasks: &[(RunId, &Self)], now: i64) -> Result<(), Error> {
        for chunk in tasks.chunks(MAX_ROWS) {
            let rows = chunk.iter().flat_map(|(run, task)| {
                let state = if task.waiting == 0 { TaskState::Ready } else { TaskState::Waiting };
                [
                    run.to_string().into(),
                    task.idx.into(),
                    task.id.clone().into(),
                    state.as_str().into(),
                    task.waiting.into(),
                    now.into(),
                ]
            });
            let query = INSERT.query(tx, rows.collect());
            query.execute(&mut **tx).await.map_err(|e| Error::of("record tasks", e))?;
        }
        Ok(())
    }
}

impl Claimed {
    /// Takes up to `limit` due tasks whose runs are pinned to one of `digests`, oldest first.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn claim(
        tx: &mut Tx,
        dialect: Dialect,
        digests: &[String],
        host: HostId,
        token: i64,
        limit: i64,
        now: i64,
    ) -> Result<Vec<Self>, Error> {
        if digests.is_empty() || limit <= 0 {
            return Ok(Vec::new());
        }
        let skip_locked = if dialect == Dialect::Postgres { " FOR UPDATE OF t SKIP LOCKED" } else { "" };
        let sql = format!(
            "UPDATE tasks SET state = 'running', attempt = attempt + 1, token = $1, host_id = $2, started_at = $3 \
             WHERE (run_id, idx) IN (SELECT t.run_id, t.idx FROM tasks t JOIN runs r ON r.id = t.run_id \
             WHERE t.state = 'ready' AND t.due_at <= $3 AND r.digest {} \
             ORDER BY t.due_at, t.run_id, t.idx LIMIT $4{skip_locked}) \
             RETURNING run_id, idx, attempt, lost, tainted",
            in_json(tx, 5)
        );
        let query = sqlx::query(AssertSqlSafe(sql)).bind(token).bind(host.to_string()).bind(now).bind(limit);
        let rows = query
            .bind(json_of(digests))
            .fetch_all(&mut **tx)
            .await
            .map_err(|e| Error::of("claim tasks", e))?;
        let claimed = rows.iter().map(|row| {
            let run = RunId::parse(&get::<String>(row, "run_id")?)?;
            let key = TaskKey { run, idx: get(row, "idx")? };
            Ok(Self {
                key,
                attempt: get(row, "attempt")?,
                lost: get(row, "lost")?,
                tainted: get(row, "tainted")?,
            })
        });
        claimed.collect()
    }
}

impl TaskUpdate {
    /// Ends claims. Returns the tasks whose claim was still held; the others are fenced off.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn apply(tx: &mut Tx, updates: &[Self], now: i64) -> Result<Vec<TaskKey>, Error> {
        let mut applied = Vec::with_capacity(updates.len());
        for chunk in updates.chunks(MAX_ROWS) {
            let rows = chunk.iter().flat_map(|u| {
                let finished = u.state.is_terminal().then_some(now);
                [
                    u.key.run.to_string().into(),
                    u.key.idx.into(),
                    u.token.into(),
                    u.state.as_str().into(),
                    u.lost.into(),
                    u.unbegun.into(),
                    u.due_at.into(),
                    finished.into(),
                    u.error.clone().into(),
                    u.patch.clone().into(),
                ]
            });
            let query = APPLY.query(tx, rows.collect());
            let rows = query.fetch_all(&mut **tx).await.map_err(|e| Error::of("commit outcomes", e))?;
            for row in rows {
                let run = RunId::parse(&get::<String>(&row, "run_id")?)?;
                applied.push(TaskKey { run, idx: get(&row, "idx")? });
            }
        }
        Ok(applied)
    }
}

impl TaskRow {
    /// Tells dependants that dependencies became terminal; those that wait for nothing more become ready.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn resolve(
        tx: &mut Tx,
        dependants: &HashMap<TaskKey, Resolution>,
        now: i64,
    ) -> Result<(), Error> {
        let all: Vec<_> = dependants.iter().collect();
        for chunk in all.chunks(MAX_ROWS) {
            let rows = chunk.iter().flat_map(|(key, r)| {
                [key.run.to_string().into(), key.idx.into(), r.resolved.into(), r.tainted.into(), now.into()]
            });
            let query = RESOLVE.query(tx, rows.collect());
            query.execute(&mut **tx).await.map_err(|e| Error::of("resolve dependants", e))?;
        }
        Ok(())
    }

    /// Ends whatever is not terminal in a cancelled run. Returns the tasks that were running.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn cancel_all(tx: &mut Tx, run: RunId, now: i64) -> Result<Vec<TaskKey>, Error> {
        let running = sqlx::query("SELECT idx FROM tasks WHERE run_id = $1 AND state = 'running'")
            .bind(run.to_string())
            .fetch_all(&mut **tx)
            .await
            .map_err(|e| Error::of("look for running tasks", e))?;
        sqlx::query(
            "UPDATE tasks SET state = 'cancelled', finished_at = $1 \
             WHERE run_id = $2 AND state IN ('waiting', 'ready', 'running')",
        )
        .bind(now)
        .bind(run.to_string())
        .execute(&mut **tx)
        .await
        .map_err(|e| Error::of("cancel tasks", e))?;
        running.iter().map(|row| Ok(TaskKey { run, idx: get(row, "idx")? })).collect()
    }

    /// Tasks that hosts other than `host` hold: on SQLite those are dead.
    ///
    /// # Errors
    /// [`Error`] of the database, [`Error::BadRow`].
    pub async fn orphans(tx: &mut Tx, host: HostId) -> Result<Vec<Self>, Error> {
        let sql = format!(
            "SELECT {COLUMNS} FROM tasks WHERE state = 'running' AND host_id <> $1 ORDER BY run_id, idx"
        );
        let rows = sqlx::query(AssertSqlSafe(sql))
            .bind(host.to_string())
            .fetch_all(&mut **tx)
            .await
            .map_err(|e| Error::of("look for orphaned tasks", e))?;
        read_rows("tasks", "run_id", &rows)
    }

    /// When the next ready task that is not due yet will be.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn next_due(tx: &mut Tx, now: i64) -> Result<Option<i64>, Error> {
        sqlx::query_scalar("SELECT MIN(due_at) FROM tasks WHERE state = 'ready' AND due_at > $1")
            .bind(now)
            .fetch_one(&mut **tx)
            .await
            .map_err(|e| Error::of("look for the next due task", e))
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
