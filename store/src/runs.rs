//! Runs.

use crate::batch::{MAX_ROWS, Rows, placeholders};
use crate::error::Error;
use crate::ids::RunId;
use crate::open::{Store, Tx};
use crate::tasks::NewTask;
use serde::{Deserialize, Serialize};
use sqlx::any::AnyRow;
use sqlx::{AssertSqlSafe, FromRow, Row};
use std::collections::HashMap;

/// Where a run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunState {
    /// Some task is not terminal.
    Running,
    /// No task failed, or every failure was taken up.
    Succeeded,
    /// A failure was not taken up.
    Failed,
    /// Stopped on request.
    Cancelled,
}

impl RunState {
    /// The word in the database, in JSON and on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// Whether nothing more will happen to it.
    pub fn is_terminal(self) -> bool {
        self != Self::Running
    }

    fn parse(text: &str) -> Option<Self> {
        [Self::Running, Self::Succeeded, Self::Failed, Self::Cancelled]
            .into_iter()
            .find(|s| s.as_str() == text)
    }
}

/// A run to start.
#[derive(Debug, Clone)]
pub struct NewRun {
    /// Its id.
    pub id: RunId,
    /// The workflow's tenant.
    pub tenant: String,
    /// The workflow.
    pub workflow: String,
    /// The package.
    pub package: String,
    /// The package's version.
    pub version: String,
    /// The digest it is pinned to.
    pub digest: String,
    /// What started it: `manual`, `cron:NAME`, `poll:NAME`.
    pub origin: String,
    /// At most one run ever has this key.
    pub dedup_key: Option<String>,
    /// The context it starts with, as a JSON object.
    pub input: String,
    /// When it is cancelled if it still runs.
    pub deadline_at: Option<i64>,
    /// Its tasks, in topological order.
    pub tasks: Vec<NewTask>,
}

/// A run as recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunRow {
    /// Its id.
    pub id: RunId,
    /// The workflow's tenant.
    pub tenant: String,
    /// The workflow.
    pub workflow: String,
    /// The package.
    pub package: String,
    /// The package's version.
    pub version: String,
    /// The digest it is pinned to.
    pub digest: String,
    /// Where it is.
    pub state: RunState,
    /// What started it.
    pub origin: String,
    /// The context it started with.
    pub input: String,
    /// Why it failed.
    pub error: Option<String>,
    /// When somebody asked to cancel it.
    pub cancel_requested_at: Option<i64>,
    /// When it is cancelled if it still runs.
    pub deadline_at: Option<i64>,
    /// When it was started.
    pub created_at: i64,
    /// When it ended.
    pub finished_at: Option<i64>,
}

/// What is left to do in a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunCounts {
    /// Tasks that are not terminal.
    pub open: i64,
    /// Tasks that failed.
    pub failed: i64,
}

#[derive(FromRow)]
struct RawRun {
    id: String,
    tenant: String,
    workflow: String,
    package: String,
    version: String,
    digest: String,
    state: String,
    origin: String,
    input: String,
    error: Option<String>,
    cancel_requested_at: Option<i64>,
    deadline_at: Option<i64>,
    created_at: i64,
    finished_at: Option<i64>,
}

impl TryFrom<RawRun> for RunRow {
    type Error = Error;

    fn try_from(raw: RawRun) -> Result<Self, Error> {
        let bad = |column, value: &str| Error::BadRow {
            table: "runs",
            key: raw.id.clone(),
            column,
            value: value.to_owned(),
        };
        Ok(Self {
            id: RunId::parse(&raw.id).map_err(|_| bad("id", &raw.id))?,
            state: RunState::parse(&raw.state).ok_or_else(|| bad("state", &raw.state))?,
            tenant: raw.tenant,
            workflow: raw.workflow,
            package: raw.package,
            version: raw.version,
            digest: raw.digest,
            origin: raw.origin,
            input: raw.input,
            error: raw.error,
            cancel_requested_at: raw.cancel_requested_at,
            deadline_at: raw.deadline_at,
            created_at: raw.created_at,
            finished_at: raw.finished_at,
        })
    }
}

const COLUMNS: &str = "id, tenant, workflow, package, version, digest, state, origin, input, error, \
     cancel_requested_at, deadline_at, created_at, finished_at";

impl NewRun {
    /// Records runs and their tasks. A run whose dedup key is taken is left out: the map gives, for each such
    /// run, the id that has the key.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn insert(tx: &mut Tx, runs: &[Self], now: i64) -> Result<HashMap<RunId, RunId>, Error> {
        let existing = Self::existing(tx, runs).await?;
        let mut fresh: Vec<&Self> = Vec::new();
        let mut taken = HashMap::new();
        for run in runs {
            // Two runs of one batch may carry the same key: the first one has it.
            let earlier = fresh.iter().find(|f| f.dedup_key.is_some() && f.dedup_key == run.dedup_key);
            let owner = run.dedup_key.as_ref().and_then(|key| existing.get(key).copied());
            match owner.or_else(|| earlier.map(|f| f.id)) {
                Some(id) => {
                    taken.insert(run.id, id);
                }
                None => fresh.push(run),
            }
        }
        for chunk in fresh.chunks(MAX_ROWS) {
            let rows = Rows::exact(chunk.iter().map(|run| run.params(now)).collect());
            let sql = format!(
                "INSERT INTO runs (id, tenant, workflow, package, version, digest, state, origin, dedup_key, \
                 input, open_tasks, failed_tasks, deadline_at, created_at) VALUES {}",
                rows.values
            );
            rows.query(tx, sql).execute(&mut **tx).await.map_err(|e| Error::of("start runs", e))?;
        }
        let tasks: Vec<(RunId, &NewTask)> =
            fresh.iter().flat_map(|run| run.tasks.iter().map(|task| (run.id, task))).collect();
        NewTask::insert(tx, &tasks, now).await?;
        Ok(taken)
    }

    fn params(&self, now: i64) -> Vec<crate::batch::Param> {
        vec![
            self.id.to_string().into(),
            self.tenant.clone().into(),
            self.workflow.clone().into(),
            self.package.clone().into(),
            self.version.clone().into(),
            self.digest.clone().into(),
            RunState::Running.as_str().into(),
            self.origin.clone().into(),
            self.dedup_key.clone().into(),
            self.input.clone().into(),
            (self.tasks.len() as i64).into(),
            0_i64.into(),
            self.deadline_at.into(),
            now.into(),
        ]
    }

    async fn existing(tx: &mut Tx, runs: &[Self]) -> Result<HashMap<String, RunId>, Error> {
        let keys: Vec<&String> = runs.iter().filter_map(|run| run.dedup_key.as_ref()).collect();
        let mut existing = HashMap::new();
        for chunk in keys.chunks(MAX_ROWS) {
            let sql = format!(
                "SELECT dedup_key, id FROM runs WHERE dedup_key IN ({})",
                placeholders(1, chunk.len())
            );
            let query =
                chunk.iter().fold(sqlx::query(AssertSqlSafe(sql)), |query, key| query.bind((*key).clone()));
            for row in query.fetch_all(&mut **tx).await.map_err(|e| Error::of("look up dedup keys", e))? {
                existing.insert(get(&row, "dedup_key")?, RunId::parse(&get::<String>(&row, "id")?)?);
            }
        }
        Ok(existing)
    }
}

/// A column of a row of a query of ours.
pub(crate) fn get<'r, T>(row: &'r AnyRow, column: &'static str) -> Result<T, Error>
where
    T: sqlx::Decode<'r, sqlx::Any> + sqlx::Type<sqlx::Any>,
{
    row.try_get(column).map_err(|e| Error::of("read a column", e))
}

impl RunRow {
    /// Takes terminal tasks off the runs' counts and returns what is left. A run that has nothing left and no
    /// failure has succeeded with that.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn count_down(
        tx: &mut Tx,
        closed: &HashMap<RunId, RunCounts>,
        now: i64,
    ) -> Result<HashMap<RunId, RunCounts>, Error> {
        let mut left = HashMap::new();
        let all: Vec<_> = closed.iter().collect();
        for chunk in all.chunks(MAX_ROWS) {
            let rows = chunk
                .iter()
                .map(|(id, n)| vec![id.to_string().into(), n.open.into(), n.failed.into(), now.into()])
                .collect();
            let rows = Rows::padded(rows);
            let sql = format!(
                "WITH v(id, closed, failed, at) AS (VALUES {}) \
                 UPDATE runs SET open_tasks = open_tasks - v.closed, failed_tasks = failed_tasks + v.failed, \
                 state = CASE WHEN open_tasks = v.closed AND failed_tasks + v.failed = 0 AND state = 'running' \
                 THEN 'succeeded' ELSE state END, \
                 finished_at = CASE WHEN open_tasks = v.closed AND failed_tasks + v.failed = 0 \
                 AND state = 'running' THEN v.at ELSE finished_at END \
                 FROM v WHERE runs.id = v.id RETURNING runs.id, open_tasks, failed_tasks",
                rows.values
            );
            let rows = rows
                .query(tx, sql)
                .fetch_all(&mut **tx)
                .await
                .map_err(|e| Error::of("count down runs", e))?;
            for row in rows {
                let id = RunId::parse(&get::<String>(&row, "id")?)?;
                left.insert(
                    id,
                    RunCounts { open: get(&row, "open_tasks")?, failed: get(&row, "failed_tasks")? },
                );
            }
        }
        Ok(left)
    }

    /// Ends running runs. Runs that ended before are not touched.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn finish(
        tx: &mut Tx,
        runs: &[(RunId, RunState, Option<String>)],
        now: i64,
    ) -> Result<(), Error> {
        for chunk in runs.chunks(MAX_ROWS) {
            let rows = chunk
                .iter()
                .map(|(id, state, error)| {
                    vec![id.to_string().into(), state.as_str().into(), error.clone().into(), now.into()]
                })
                .collect();
            let rows = Rows::padded(rows);
            let sql = format!(
                "WITH v(id, state, error, at) AS (VALUES {}) \
                 UPDATE runs SET state = v.state, error = v.error, finished_at = v.at \
                 FROM v WHERE runs.id = v.id AND runs.state = 'running'",
                rows.values
            );
            rows.query(tx, sql).execute(&mut **tx).await.map_err(|e| Error::of("finish runs", e))?;
        }
        Ok(())
    }

    /// Records that somebody asked to cancel a run. False when it is not running.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn request_cancel(store: &Store, id: RunId, now: i64) -> Result<bool, Error> {
        let mut tx = store.begin().await?;
        let done = sqlx::query(
            "UPDATE runs SET cancel_requested_at = $1 \
             WHERE id = $2 AND state = 'running' AND cancel_requested_at IS NULL",
        )
        .bind(now)
        .bind(id.to_string())
        .execute(&mut *tx)
        .await
        .map_err(|e| Error::of("request cancel", e))?;
        store.commit(tx).await?;
        Ok(done.rows_affected() == 1)
    }

    /// Running runs that are to be cancelled: asked for, or past their deadline.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn to_cancel(tx: &mut Tx, now: i64) -> Result<Vec<(RunId, bool)>, Error> {
        let rows = sqlx::query(
            "SELECT id, cancel_requested_at FROM runs WHERE finished_at IS NULL \
             AND (cancel_requested_at IS NOT NULL OR deadline_at <= $1) ORDER BY id LIMIT 1000",
        )
        .bind(now)
        .fetch_all(&mut **tx)
        .await
        .map_err(|e| Error::of("look for cancelled runs", e))?;
        rows.iter()
            .map(|row| {
                let asked: Option<i64> = get(row, "cancel_requested_at")?;
                Ok((RunId::parse(&get::<String>(row, "id")?)?, asked.is_some()))
            })
            .collect()
    }

    /// Runs by id, inside a transaction.
    ///
    /// # Errors
    /// [`Error`] of the database, [`Error::BadRow`].
    pub async fn load(tx: &mut Tx, ids: &[RunId]) -> Result<Vec<Self>, Error> {
        let mut runs = Vec::with_capacity(ids.len());
        for chunk in ids.chunks(MAX_ROWS) {
            let sql = format!("SELECT {COLUMNS} FROM runs WHERE id IN ({})", placeholders(1, chunk.len()));
            let query = sqlx::query_as::<_, RawRun>(AssertSqlSafe(sql));
            let query = chunk.iter().fold(query, |query, id| query.bind(id.to_string()));
            let rows = query.fetch_all(&mut **tx).await.map_err(|e| Error::of("load runs", e))?;
            for row in rows {
                runs.push(row.try_into()?);
            }
        }
        Ok(runs)
    }

    /// One run.
    ///
    /// # Errors
    /// [`Error`] of the database, [`Error::BadRow`].
    pub async fn find(store: &Store, id: RunId) -> Result<Option<Self>, Error> {
        let sql = format!("SELECT {COLUMNS} FROM runs WHERE id = $1");
        let row = sqlx::query_as::<_, RawRun>(AssertSqlSafe(sql))
            .bind(id.to_string())
            .fetch_optional(store.reader())
            .await
            .map_err(|e| Error::of("find a run", e))?;
        row.map(Self::try_from).transpose()
    }

    /// The newest runs, newest first.
    ///
    /// # Errors
    /// [`Error`] of the database, [`Error::BadRow`].
    pub async fn newest(store: &Store, state: Option<RunState>, limit: i64) -> Result<Vec<Self>, Error> {
        let sql = format!("SELECT {COLUMNS} FROM runs WHERE $1 = '' OR state = $1 ORDER BY id DESC LIMIT $2");
        let rows = sqlx::query_as::<_, RawRun>(AssertSqlSafe(sql))
            .bind(state.map_or("", RunState::as_str))
            .bind(limit)
            .fetch_all(store.reader())
            .await
            .map_err(|e| Error::of("list runs", e))?;
        rows.into_iter().map(Self::try_from).collect()
    }

    /// Whether an unfinished run of this origin exists.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn origin_is_busy(store: &Store, origin: &str) -> Result<bool, Error> {
        let row = sqlx::query("SELECT id FROM runs WHERE finished_at IS NULL AND origin = $1 LIMIT 1")
            .bind(origin)
            .fetch_optional(store.reader())
            .await
            .map_err(|e| Error::of("look for overlapping runs", e))?;
        Ok(row.is_some())
    }

    /// How many unfinished runs are pinned to a digest.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn pinned_to(store: &Store, digest: &str) -> Result<i64, Error> {
        sqlx::query_scalar("SELECT COUNT(*) FROM runs WHERE finished_at IS NULL AND digest = $1")
            .bind(digest)
            .fetch_one(store.reader())
            .await
            .map_err(|e| Error::of("count pinned runs", e))
    }
}
