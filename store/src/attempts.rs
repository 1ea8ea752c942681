//! Attempts: every execution of a task, as it ended.

use crate::batch::{BatchStatement, Column::Int, Column::Text, MAX_ROWS};
use crate::error::Error;
use crate::ids::{HostId, RunId};
use crate::keys::TaskKey;
use crate::open::{Store, Tx};
use crate::row::read_rows;
use crate::text_enum::text_enum;
use sqlx::FromRow;

text_enum! {
    /// The end of an attempt.
    AttemptResult {
        /// It returned.
        Succeeded = "succeeded",
        /// It returned an error, panicked, or ran out of time.
        Failed = "failed",
        /// Its run was cancelled before it ended.
        Cancelled = "cancelled",
        /// The host or process that executed it died.
        Lost = "lost",
    }
}

/// An attempt to record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewAttempt {
    /// The task.
    pub key: TaskKey,
    /// From 1.
    pub attempt: i64,
    /// The host it ran on.
    pub host: HostId,
    /// When it began.
    pub started_at: i64,
    /// When it ended.
    pub finished_at: i64,
    /// Its end.
    pub outcome: AttemptResult,
    /// Message, causes and backtrace as JSON.
    pub error: Option<String>,
}

/// An attempt as recorded.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct AttemptRow {
    /// The task's place in the run.
    pub idx: i64,
    /// From 1.
    pub attempt: i64,
    /// The host it ran on.
    #[sqlx(rename = "host_id")]
    pub host: HostId,
    /// When it began.
    pub started_at: i64,
    /// When it ended.
    pub finished_at: i64,
    /// Its end.
    pub outcome: AttemptResult,
    /// Message, causes and backtrace as JSON.
    pub error: Option<String>,
}

static INSERT: BatchStatement = BatchStatement::new(
    "INSERT INTO attempts (run_id, idx, attempt, host_id, started_at, finished_at, outcome, error) \
     SELECT * FROM (VALUES ",
    &[Text, Int, Int, Text, Int, Int, Text, Text],
    ") AS v WHERE v.column1 IS NOT NULL ON CONFLICT DO NOTHING",
);

impl NewAttempt {
    /// Records attempts.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn insert(tx: &mut Tx, attempts: &[Self]) -> Result<(), Error> {
        for chunk in attempts.chunks(MAX_ROWS) {
            let rows = chunk.iter().flat_map(|a| {
                [
                    a.key.run.to_string().into(),
                    a.key.idx.into(),
                    a.attempt.into(),
                    a.host.to_string().into(),
                    a.started_at.into(),
                    a.finished_at.into(),
                    a.outcome.as_str().into(),
                    a.error.clone().into(),
                ]
            });
            let query = INSERT.query(tx, rows.collect());
            query.execute(&mut **tx).await.map_err(|e| Error::of("record attempts", e))?;
        }
        Ok(())
    }
}

impl AttemptRow {
    /// All attempts of a run, in the order of its tasks.
    ///
    /// # Errors
    /// [`Error`] of the database, [`Error::BadRow`].
    pub async fn of_run(store: &Store, run: RunId) -> Result<Vec<Self>, Error> {
        let sql = "SELECT idx, attempt, host_id, started_at, finished_at, outcome, error FROM attempts \
                   WHERE run_id = $1 ORDER BY idx, attempt";
        let rows = sqlx::query(sql).bind(run.to_string()).fetch_all(store.reader()).await;
        read_rows("attempts", "host_id", &rows.map_err(|e| Error::of("load attempts", e))?)
    }
}
