//! Tasks of runs: what is claimed, committed, and propagated to dependants.

use crate::batch::{MAX_ROWS, Rows, placeholders};
use crate::error::Error;
use crate::ids::{HostId, RunId};
use crate::open::{Dialect, Store, Tx};
use crate::runs::get;
use serde::{Deserialize, Serialize};
use sqlx::{AssertSqlSafe, FromRow};
use std::collections::HashMap;

/// Where a task is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskState {
    /// Some dependency is not terminal.
    Waiting,
    /// To be claimed once it is due.
    Ready,
    /// Claimed by a host.
    Running,
    /// Done.
    Succeeded,
    /// Failed, its attempts spent.
    Failed,
    /// Its rule did not hold, or something above it failed and its rule is the default.
    Skipped,
    /// Its run was cancelled before it ended.
    Cancelled,
}

impl TaskState {
    const ALL: [Self; 7] = [
        Self::Waiting,
        Self::Ready,
        Self::Running,
        Self::Succeeded,
        Self::Failed,
        Self::Skipped,
        Self::Cancelled,
    ];

    /// The word in the database, in JSON and on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Ready => "ready",
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
            Self::Cancelled => "cancelled",
        }
    }

    /// Whether nothing more will happen to it.
    pub fn is_terminal(self) -> bool {
        !matches!(self, Self::Waiting | Self::Ready | Self::Running)
    }

    fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|s| s.as_str() == text)
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TaskKey {
    /// The run.
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
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskRow {
    /// Which.
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

#[derive(FromRow)]
struct RawTask {
    run_id: String,
    idx: i64,
    id: String,
    state: String,
    attempt: i64,
    lost: i64,
    token: i64,
    due_at: i64,
    host_id: Option<String>,
    started_at: Option<i64>,
    finished_at: Option<i64>,
    error: Option<String>,
    patch: Option<String>,
}

impl TryFrom<RawTask> for TaskRow {
    type Error = Error;

    fn try_from(raw: RawTask) -> Result<Self, Error> {
        let bad = |column, value: &str| Error::BadRow {
            table: "tasks",
            key: format!("{} {}", raw.run_id, raw.idx),
            column,
            value: value.to_owned(),
        };
        let run = RunId::parse(&raw.run_id).map_err(|_| bad("run_id", &raw.run_id))?;
        Ok(Self {
            key: TaskKey { run, idx: raw.idx },
            state: TaskState::parse(&raw.state).ok_or_else(|| bad("state", &raw.state))?,
            id: raw.id,
            attempt: raw.attempt,
            lost: raw.lost,
            token: raw.token,
            due_at: raw.due_at,
            host: raw.host_id,
            started_at: raw.started_at,
            finished_at: raw.finished_at,
            error: raw.error,
            patch: raw.patch,
        })
    }
}

const COLUMNS: &str =
    "run_id, idx, id, state, attempt, lost, token, due_at, host_id, started_at, finished_at, error, patch";

impl NewTask {
    pub(crate) async fn insert(tx: &mut Tx, tasks: &[(RunId, &Self)], now: i64) -> Result<(), Error> {
        for chunk in tasks.chunks(MAX_ROWS) {
            let rows = chunk.iter().map(|(run, task)| {
                let state = if task.waiting == 0 { TaskState::Ready } else { TaskState::Waiting };
                vec![
                    run.to_string().into(),
                    task.idx.into(),
                    task.id.clone().into(),
                    state.as_str().into(),
                    task.waiting.into(),
                    now.into(),
                ]
            });
            let rows = Rows::exact(rows.collect());
            let sql = format!(
                "INSERT INTO tasks (run_id, idx, id, state, waiting, tainted, attempt, lost, token, due_at) \
                 SELECT v.column1, v.column2, v.column3, v.column4, v.column5, 0, 0, 0, 0, v.column6 \
                 FROM (VALUES {}) AS v",
                rows.values
            );
            rows.query(tx, sql).execute(&mut **tx).await.map_err(|e| Error::of("record tasks", e))?;
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
             WHERE t.state = 'ready' AND t.due_at <= $3 AND r.digest IN ({}) \
             ORDER BY t.due_at, t.run_id, t.idx LIMIT $4{skip_locked}) \
             RETURNING run_id, idx, attempt, lost, tainted",
            placeholders(5, digests.len())
        );
        let query = sqlx::query(AssertSqlSafe(sql)).bind(token).bind(host.to_string()).bind(now).bind(limit);
        let query = digests.iter().fold(query, |query, digest| query.bind(digest.clone()));
        let rows = query.fetch_all(&mut **tx).await.map_err(|e| Error::of("claim tasks", e))?;
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
            let rows = chunk.iter().map(|u| {
                let finished = u.state.is_terminal().then_some(now);
                vec![
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
            let rows = Rows::padded(rows.collect());
            let sql = format!(
                "WITH v(run_id, idx, token, state, lost, unbegun, due_at, finished_at, error, patch) AS (VALUES {}) \
                 UPDATE tasks SET state = v.state, lost = tasks.lost + v.lost, \
                 attempt = tasks.attempt - v.unbegun, due_at = v.due_at, finished_at = v.finished_at, \
                 error = v.error, patch = v.patch FROM v WHERE tasks.run_id = v.run_id AND tasks.idx = v.idx \
                 AND tasks.token = v.token AND tasks.state = 'running' RETURNING tasks.run_id, tasks.idx",
                rows.values
            );
            let rows = rows
                .query(tx, sql)
                .fetch_all(&mut **tx)
                .await
                .map_err(|e| Error::of("commit outcomes", e))?;
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
            let rows = chunk.iter().map(|(key, r)| {
                vec![key.run.to_string().into(), key.idx.into(), r.resolved.into(), r.tainted.into()]
            });
            let rows = Rows::padded(rows.collect());
            let due = rows.len() + 1;
            let sql = format!(
                "WITH v(run_id, idx, resolved, tainted) AS (VALUES {}) \
                 UPDATE tasks SET waiting = waiting - v.resolved, tainted = tasks.tainted + v.tainted, \
                 state = CASE WHEN waiting = v.resolved THEN 'ready' ELSE state END, due_at = ${due} \
                 FROM v WHERE tasks.run_id = v.run_id AND tasks.idx = v.idx AND tasks.state = 'waiting'",
                rows.values
            );
            let query = rows.query(tx, sql).bind(now);
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
        let rows = sqlx::query_as::<_, RawTask>(AssertSqlSafe(sql))
            .bind(host.to_string())
            .fetch_all(&mut **tx)
            .await
            .map_err(|e| Error::of("look for orphaned tasks", e))?;
        rows.into_iter().map(Self::try_from).collect()
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

    /// All tasks of runs, in topological order, inside a transaction.
    ///
    /// # Errors
    /// [`Error`] of the database, [`Error::BadRow`].
    pub async fn of_runs(tx: &mut Tx, runs: &[RunId]) -> Result<Vec<Self>, Error> {
        let mut tasks = Vec::new();
        for chunk in runs.chunks(MAX_ROWS) {
            let sql = format!(
                "SELECT {COLUMNS} FROM tasks WHERE run_id IN ({}) ORDER BY run_id, idx",
                placeholders(1, chunk.len())
            );
            let query = sqlx::query_as::<_, RawTask>(AssertSqlSafe(sql));
            let query = chunk.iter().fold(query, |query, id| query.bind(id.to_string()));
            for row in query.fetch_all(&mut **tx).await.map_err(|e| Error::of("load tasks", e))? {
                tasks.push(row.try_into()?);
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
        let rows = sqlx::query_as::<_, RawTask>(AssertSqlSafe(sql))
            .bind(run.to_string())
            .fetch_all(store.reader())
            .await
            .map_err(|e| Error::of("load tasks", e))?;
        rows.into_iter().map(Self::try_from).collect()
    }
}
