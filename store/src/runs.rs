//! Runs.

use crate::batch::{BatchStatement, Column::Int, Column::Text, MAX_ROWS, Param, in_json, json_of};
use crate::error::Error;
use crate::events::{EventKind, EventRow, Subject};
use crate::ids::{QueueId, RunId, first_id_of};
use crate::keys::TaskKey;
use crate::lease::Claim;
use crate::open::{Store, Tx};
use crate::row::{get, read_rows};
use crate::tasks::NewTask;
use crate::text_enum::text_enum;
use longshore_workflow::names::{Digest, PackageName, TenantId};
use sqlx::any::AnyRow;
use sqlx::{AssertSqlSafe, FromRow};
use std::collections::{BTreeMap, HashMap, HashSet};

text_enum! {
    /// Where a run is.
    RunState {
        /// Some task is not terminal.
        Running = "running",
        /// No task failed, or every failure was taken up.
        Succeeded = "succeeded",
        /// A failure was not taken up.
        Failed = "failed",
        /// To be cancelled, or out of time: attempts of it have not stopped yet.
        Cancelling = "cancelling",
        /// Stopped on request.
        Cancelled = "cancelled",
    }
}

impl RunState {
    /// True when nothing more will happen to it.
    pub fn is_terminal(self) -> bool {
        !matches!(self, Self::Running | Self::Cancelling)
    }
}

/// A run to start.
#[derive(Debug, Clone)]
pub struct NewRun {
    /// Its id.
    pub id: RunId,
    /// The workflow's tenant.
    pub tenant: TenantId,
    /// The workflow.
    pub workflow: String,
    /// The package.
    pub package: PackageName,
    /// The package's version.
    pub version: String,
    /// The digest it is pinned to.
    pub digest: Digest,
    /// Its origin: `manual`, `cron:NAME`, `poll:NAME`.
    pub origin: String,
    /// At most one run has this key, for as long as it is kept.
    pub dedup_key: Option<String>,
    /// The context it starts with, as a JSON object.
    pub input: String,
    /// When it is cancelled if it still runs.
    pub deadline_at: Option<i64>,
    /// Its tasks, in topological order.
    pub tasks: Vec<NewTask>,
}

/// The results of starts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recorded {
    /// For each run whose dedup key was taken, the run that has it.
    pub taken: HashMap<RunId, RunId>,
    /// The tasks that were claimed with it.
    pub claimed: Vec<TaskKey>,
}

/// A run as recorded.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct RunRow {
    /// Its id.
    pub id: RunId,
    /// The workflow's tenant.
    #[sqlx(try_from = "String")]
    pub tenant: TenantId,
    /// The workflow.
    pub workflow: String,
    /// The package.
    #[sqlx(try_from = "String")]
    pub package: PackageName,
    /// The package's version.
    pub version: String,
    /// The digest it is pinned to.
    #[sqlx(try_from = "String")]
    pub digest: Digest,
    /// Where it is.
    pub state: RunState,
    /// Its origin.
    pub origin: String,
    /// The context it started with.
    pub input: String,
    /// Why it failed.
    pub error: Option<String>,
    /// Its tasks that were skipped because something above them failed: also a run that succeeded may have some.
    pub skipped_tasks: i64,
    /// When somebody asked to cancel it.
    pub cancel_requested_at: Option<i64>,
    /// When it is cancelled if it still runs.
    pub deadline_at: Option<i64>,
    /// When it was started.
    pub created_at: i64,
    /// When it ended.
    pub finished_at: Option<i64>,
}

/// The end of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndedRun {
    /// The run.
    pub run: RunId,
    /// Its end state.
    pub state: RunState,
    /// Why it failed.
    pub error: Option<String>,
    /// Its tasks that were skipped because something above them failed.
    pub skipped_tasks: i64,
}

/// The rest of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunCounts {
    /// Tasks that are not terminal.
    pub open: i64,
    /// Tasks that failed.
    pub failed: i64,
}

const COLUMNS: &str = "id, tenant, workflow, package, version, digest, state, origin, input, error, \
     skipped_tasks, cancel_requested_at, deadline_at, created_at, finished_at";

/// Runs that were asked to stop, then those past their deadline: one index for each.
const TO_CANCEL: &str = "SELECT * FROM (SELECT id, cancel_requested_at FROM runs \
     WHERE finished_at IS NULL AND cancel_requested_at IS NOT NULL AND state = 'running' \
     ORDER BY id LIMIT 1000) AS requested \
     UNION ALL SELECT * FROM (SELECT id, cancel_requested_at FROM runs WHERE finished_at IS NULL \
     AND deadline_at IS NOT NULL AND deadline_at <= $1 AND cancel_requested_at IS NULL AND state = 'running' \
     ORDER BY deadline_at LIMIT 1000) AS late";

/// Which runs are listed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RunFilter {
    /// In this state.
    pub state: Option<RunState>,
    /// Of this workflow, in any tenant.
    pub workflow: Option<String>,
    /// Started at this time or later, in milliseconds since 1970.
    pub since: Option<i64>,
}

impl From<Option<RunState>> for RunFilter {
    fn from(state: Option<RunState>) -> Self {
        Self { state, ..Self::default() }
    }
}

impl RunFilter {
    /// A text for each state: the indexes are partial, and a parameter would hide them.
    fn sql(&self) -> String {
        let state = match self.state {
            None => "",
            Some(RunState::Running) => "AND finished_at IS NULL AND state = 'running'",
            Some(RunState::Cancelling) => "AND finished_at IS NULL AND state = 'cancelling'",
            Some(RunState::Succeeded) => "AND state = 'succeeded'",
            Some(RunState::Failed) => "AND state = 'failed'",
            Some(RunState::Cancelled) => "AND state = 'cancelled'",
        };
        let workflow = if self.workflow.is_some() { "AND workflow = $3" } else { "" };
        format!("SELECT {COLUMNS} FROM runs WHERE id >= $2 {state} {workflow} ORDER BY id DESC LIMIT $1")
    }
}

/// The runs whose dedup keys are among some.
fn dedup_sql(among: &str) -> String {
    format!("SELECT dedup_key, id FROM runs WHERE dedup_key {among}")
}

static INSERT: BatchStatement = BatchStatement::new(
    "INSERT INTO runs (id, tenant, workflow, package, version, digest, state, origin, dedup_key, input, \
     open_tasks, failed_tasks, deadline_at, created_at) SELECT * FROM (VALUES ",
    &[Text, Text, Text, Text, Text, Text, Text, Text, Text, Text, Int, Int, Int, Int],
    ") AS v WHERE v.column1 IS NOT NULL",
);

static COUNT_DOWN: BatchStatement = BatchStatement::new(
    "WITH v(id, closed, failed, at) AS (VALUES ",
    &[Text, Int, Int, Int],
    ") UPDATE runs SET open_tasks = open_tasks - v.closed, failed_tasks = failed_tasks + v.failed, \
     state = CASE WHEN open_tasks = v.closed AND failed_tasks + v.failed = 0 AND state = 'running' \
     THEN 'succeeded' ELSE state END, \
     finished_at = CASE WHEN open_tasks = v.closed AND failed_tasks + v.failed = 0 \
     AND state = 'running' THEN v.at ELSE finished_at END \
     FROM v WHERE runs.id = v.id RETURNING runs.id, open_tasks, failed_tasks",
);

static FINISH: BatchStatement = BatchStatement::new(
    "WITH v(id, state, error, skipped, at) AS (VALUES ",
    &[Text, Text, Text, Int, Int],
    ") UPDATE runs SET state = v.state, error = v.error, skipped_tasks = v.skipped, finished_at = v.at \
     FROM v WHERE runs.id = v.id AND runs.state IN ('running', 'cancelling')",
);

impl NewRun {
    /// Records runs and their tasks. A run whose dedup key is taken is left out. Tasks that wait for nothing are
    /// claimed with it, at most `free` of them.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn insert(tx: &mut Tx, runs: &[&Self], claim: Claim, free: usize) -> Result<Recorded, Error> {
        let existing = Self::existing(tx, runs).await?;
        let mut fresh: Vec<&Self> = Vec::with_capacity(runs.len());
        let mut taken = HashMap::new();
        // Two runs of one batch may carry the same key: the first one has it.
        let mut keys: HashMap<&str, RunId> = existing.iter().map(|(key, id)| (key.as_str(), *id)).collect();
        for run in runs {
            let Some(key) = run.dedup_key.as_deref() else {
                fresh.push(run);
                continue;
            };
            match keys.get(key) {
                Some(owner) => {
                    taken.insert(run.id, *owner);
                }
                None => {
                    keys.insert(key, run.id);
                    fresh.push(run);
                }
            }
        }
        for chunk in fresh.chunks(MAX_ROWS) {
            let query = INSERT.query(tx, chunk.iter().flat_map(|run| run.params(claim.now)).collect());
            query.execute(&mut **tx).await.map_err(|e| Error::of("start runs", e))?;
        }
        let mut tasks: Vec<(RunId, QueueId, &NewTask)> = Vec::new();
        for run in &fresh {
            let queue = QueueId::of(&run.digest, &run.tenant, &run.workflow);
            tasks.extend(run.tasks.iter().map(|task| (run.id, queue, task)));
        }
        let claimed = NewTask::insert(tx, &tasks, claim, free).await?;
        Ok(Recorded { taken, claimed })
    }

    fn params(&self, now: i64) -> [Param; 14] {
        [
            self.id.to_string().into(),
            self.tenant.as_str().into(),
            self.workflow.clone().into(),
            self.package.as_str().into(),
            self.version.clone().into(),
            self.digest.as_str().into(),
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

    async fn existing(tx: &mut Tx, runs: &[&Self]) -> Result<HashMap<String, RunId>, Error> {
        let keys: Vec<&String> = runs.iter().filter_map(|run| run.dedup_key.as_ref()).collect();
        let mut existing = HashMap::new();
        if keys.is_empty() {
            return Ok(existing);
        }
        let sql = dedup_sql(&in_json(tx, 1));
        let query = sqlx::query(AssertSqlSafe(sql)).bind(json_of(keys));
        for row in query.fetch_all(&mut **tx).await.map_err(|e| Error::of("look up dedup keys", e))? {
            existing.insert(get(&row, "dedup_key")?, RunId::parse(&get::<String>(&row, "id")?)?);
        }
        Ok(existing)
    }
}

impl RunRow {
    /// Takes terminal tasks off the runs' counts and returns what is left. A run that has nothing left and no
    /// failure has succeeded with that.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn count_down(
        tx: &mut Tx,
        closed: &BTreeMap<RunId, RunCounts>,
        now: i64,
    ) -> Result<HashMap<RunId, RunCounts>, Error> {
        let mut left = HashMap::new();
        let all: Vec<_> = closed.iter().collect();
        for chunk in all.chunks(MAX_ROWS) {
            let rows = chunk
                .iter()
                .flat_map(|(id, n)| [id.to_string().into(), n.open.into(), n.failed.into(), now.into()]);
            let query = COUNT_DOWN.query(tx, rows.collect());
            let rows = query.fetch_all(&mut **tx).await.map_err(|e| Error::of("count down runs", e))?;
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
    pub async fn finish(tx: &mut Tx, ends: &[EndedRun], now: i64) -> Result<(), Error> {
        for chunk in ends.chunks(MAX_ROWS) {
            let rows = chunk.iter().flat_map(|EndedRun { run, state, error, skipped_tasks }| {
                let (run, state) = (run.to_string().into(), state.as_str().into());
                [run, state, error.clone().into(), (*skipped_tasks).into(), now.into()]
            });
            let query = FINISH.query(tx, rows.collect());
            query.execute(&mut **tx).await.map_err(|e| Error::of("finish runs", e))?;
        }
        Ok(())
    }

    /// Records that a running run is to end, and that so many attempts of it have not stopped yet. With an error it will
    /// have failed, without one it will be cancelled.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn begin_cancel(tx: &mut Tx, run: RunId, open: i64, error: Option<&str>) -> Result<(), Error> {
        sqlx::query(
            "UPDATE runs SET state = 'cancelling', open_tasks = $1, error = $2 WHERE id = $3 AND state = 'running'",
        )
        .bind(open)
        .bind(error)
        .bind(run.to_string())
        .execute(&mut **tx)
        .await
        .map_err(|e| Error::of("cancel a run", e))?;
        Ok(())
    }

    /// Ends those of the runs that are being cancelled, and returns them with their ends.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn finish_cancelling(
        tx: &mut Tx,
        runs: &[RunId],
        now: i64,
    ) -> Result<Vec<(RunId, RunState)>, Error> {
        if runs.is_empty() {
            return Ok(Vec::new());
        }
        let sql = format!(
            "UPDATE runs SET state = CASE WHEN error IS NULL THEN 'cancelled' ELSE 'failed' END, finished_at = $1 \
             WHERE state = 'cancelling' AND id {} RETURNING id, state",
            in_json(tx, 2)
        );
        let query = sqlx::query(AssertSqlSafe(sql)).bind(now).bind(json_of(runs));
        let rows = query.fetch_all(&mut **tx).await.map_err(|e| Error::of("finish cancelled runs", e))?;
        rows.iter().map(|row| Ok((RunId::parse(&get::<String>(row, "id")?)?, get(row, "state")?))).collect()
    }

    /// Records that somebody asked to cancel a run: who, and why. False when it is not running.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn request_cancel(
        store: &Store,
        id: RunId,
        by: Option<(&str, &str)>,
        now: i64,
    ) -> Result<bool, Error> {
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
        let requested = done.rows_affected() == 1;
        if requested && let Some((actor, reason)) = by {
            let message = format!("to cancel it, by {actor}: {reason}");
            EventRow::append(&mut tx, Subject::Run(id), EventKind::Requested, &message, now).await?;
        }
        store.commit(tx).await?;
        Ok(requested)
    }

    /// Running runs that are to be cancelled: asked for, or past their deadline.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn to_cancel(tx: &mut Tx, now: i64) -> Result<Vec<(RunId, bool)>, Error> {
        let rows = sqlx::query(TO_CANCEL)
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

    /// Those of the ids that are runs.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn existing(tx: &mut Tx, ids: &[RunId]) -> Result<HashSet<RunId>, Error> {
        let sql = format!("SELECT id FROM runs WHERE id {}", in_json(tx, 1));
        let query = sqlx::query(AssertSqlSafe(sql)).bind(json_of(ids));
        let rows = query.fetch_all(&mut **tx).await.map_err(|e| Error::of("look up runs", e))?;
        rows.iter().map(|row| RunId::parse(&get::<String>(row, "id")?)).collect()
    }

    /// Runs by id, inside a transaction. A row that does not read is an error of its own, so that it does not
    /// keep the others from being read.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn load(tx: &mut Tx, ids: &[RunId]) -> Result<Vec<(RunId, Result<Self, Error>)>, Error> {
        let sql = format!("SELECT {COLUMNS} FROM runs WHERE id {}", in_json(tx, 1));
        let query = sqlx::query(AssertSqlSafe(sql)).bind(json_of(ids));
        let rows = query.fetch_all(&mut **tx).await.map_err(|e| Error::of("load runs", e))?;
        let run = |row: &AnyRow| {
            let id = RunId::parse(&get::<String>(row, "id")?)?;
            Ok((id, Self::from_row(row).map_err(|e| Error::undecodable("runs", id.to_string(), e))))
        };
        rows.iter().map(run).collect()
    }

    /// One run.
    ///
    /// # Errors
    /// [`Error`] of the database, [`Error::BadRow`].
    pub async fn find(store: &Store, id: RunId) -> Result<Option<Self>, Error> {
        let sql = format!("SELECT {COLUMNS} FROM runs WHERE id = $1");
        let rows = sqlx::query(AssertSqlSafe(sql)).bind(id.to_string()).fetch_all(store.reader()).await;
        let rows = rows.map_err(|e| Error::of("find a run", e))?;
        Ok(read_rows("runs", "id", &rows)?.pop())
    }

    /// Up to `limit` runs, the newest first.
    ///
    /// # Errors
    /// [`Error`] of the database, [`Error::BadRow`].
    pub async fn newest(store: &Store, filter: impl Into<RunFilter>, limit: i64) -> Result<Vec<Self>, Error> {
        let filter = filter.into();
        let since = filter.since.map(first_id_of).unwrap_or_default();
        let mut query = sqlx::query(AssertSqlSafe(filter.sql())).bind(limit).bind(since);
        if let Some(workflow) = &filter.workflow {
            query = query.bind(workflow.clone());
        }
        let rows = query.fetch_all(store.reader()).await.map_err(|e| Error::of("list runs", e))?;
        read_rows("runs", "id", &rows)
    }

    /// The first runs whose ids begin with a text, at most `limit`.
    ///
    /// # Errors
    /// [`Error`] of the database, [`Error::BadRow`].
    pub async fn by_prefix(store: &Store, prefix: &str, limit: i64) -> Result<Vec<RunId>, Error> {
        // No digit of an id is greater.
        let end = format!("{prefix}g");
        let query = sqlx::query("SELECT id FROM runs WHERE id >= $1 AND id < $2 ORDER BY id LIMIT $3");
        let rows = query.bind(prefix).bind(end).bind(limit).fetch_all(store.reader()).await;
        let rows = rows.map_err(|e| Error::of("find runs", e))?;
        rows.iter().map(|row| RunId::parse(&get::<String>(row, "id")?)).collect()
    }

    /// True when a run has this dedup key.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn has_key(store: &Store, key: &str) -> Result<bool, Error> {
        let query = sqlx::query("SELECT id FROM runs WHERE dedup_key = $1").bind(key);
        let row =
            query.fetch_optional(store.reader()).await.map_err(|e| Error::of("look up a dedup key", e))?;
        Ok(row.is_some())
    }

    /// True when an unfinished run of this trigger exists.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn origin_is_busy(store: &Store, origin: &str) -> Result<bool, Error> {
        let row = sqlx::query(
            "SELECT id FROM runs WHERE finished_at IS NULL AND origin <> 'manual' AND origin = $1 LIMIT 1",
        )
        .bind(origin)
        .fetch_optional(store.reader())
        .await
        .map_err(|e| Error::of("look for overlapping runs", e))?;
        Ok(row.is_some())
    }

    /// Pins the unfinished runs of a workflow (tenant and name) that are pinned to a digest to another one. Returns
    /// how many there were.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn migrate(
        tx: &mut Tx,
        from: &Digest,
        workflow: (&TenantId, &str),
        to: &Digest,
        version: &str,
    ) -> Result<u64, Error> {
        let (old, new) = (QueueId::of(from, workflow.0, workflow.1), QueueId::of(to, workflow.0, workflow.1));
        sqlx::query(
            "UPDATE tasks SET queue = $1 WHERE queue = $2 AND state IN ('waiting', 'ready', 'running') \
             AND run_id IN (SELECT id FROM runs WHERE digest = $3 AND finished_at IS NULL)",
        )
        .bind(new.get())
        .bind(old.get())
        .bind(from.as_str())
        .execute(&mut **tx)
        .await
        .map_err(|e| Error::of("migrate tasks", e))?;
        let done = sqlx::query(
            "UPDATE runs SET digest = $1, version = $2 \
             WHERE digest = $3 AND tenant = $4 AND workflow = $5 AND finished_at IS NULL",
        )
        .bind(to.as_str())
        .bind(version)
        .bind(from.as_str())
        .bind(workflow.0.as_str())
        .bind(workflow.1)
        .execute(&mut **tx)
        .await
        .map_err(|e| Error::of("migrate runs", e))?;
        Ok(done.rows_affected())
    }

    /// Makes the deadlines of unfinished runs so many milliseconds earlier.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn bring_forward(tx: &mut Tx, ms: i64) -> Result<(), Error> {
        let sql = "UPDATE runs SET deadline_at = deadline_at - $1 \
                   WHERE finished_at IS NULL AND deadline_at IS NOT NULL";
        let done = sqlx::query(sql).bind(ms).execute(&mut **tx).await;
        done.map(drop).map_err(|e| Error::of("bring deadlines forward", e))
    }

    /// Asks to cancel every unfinished run of a digest. Returns how many were not asked before.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn request_cancel_of(tx: &mut Tx, digest: &Digest, now: i64) -> Result<u64, Error> {
        let done = sqlx::query(
            "UPDATE runs SET cancel_requested_at = $1 \
             WHERE digest = $2 AND finished_at IS NULL AND cancel_requested_at IS NULL",
        )
        .bind(now)
        .bind(digest.as_str())
        .execute(&mut **tx)
        .await
        .map_err(|e| Error::of("request cancel of a digest", e))?;
        Ok(done.rows_affected())
    }

    /// The ends of runs of a digest that were started since a time: their number, and that of those that failed.
    ///
    /// # Errors
    /// [`Error`] of the database, [`Error::BadRow`].
    pub async fn ended_of(store: &Store, digest: &Digest, since: i64) -> Result<(u64, u64), Error> {
        let sql = "SELECT COUNT(*) AS ended, COUNT(CASE WHEN state = 'failed' THEN 1 END) AS failed \
                   FROM runs WHERE id >= $1 AND digest = $2 AND finished_at IS NOT NULL";
        // Ids begin with their time: only what was started since is looked at.
        let first = format!("{:08x}-{:04x}-7000-8000-000000000000", since >> 16, since & 0xffff);
        let row = sqlx::query(sql).bind(first).bind(digest.as_str()).fetch_one(store.reader()).await;
        let row = row.map_err(|e| Error::of("count ended runs", e))?;
        let number = |column| get::<i64>(&row, column).map(|n| u64::try_from(n).unwrap_or(0));
        Ok((number("ended")?, number("failed")?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::open::Access;
    use crate::overrides::PASS_INPUTS;
    use crate::{claims, tasks};
    use sqlx::Row;

    /// The steps of a statement's plan on SQLite.
    async fn plan(store: &Store, sql: &str) -> Vec<String> {
        let explain = format!("EXPLAIN QUERY PLAN {sql}");
        let rows = sqlx::query(AssertSqlSafe(explain)).fetch_all(store.reader()).await.expect("a plan");
        rows.iter().map(|row| row.get::<String, _>("detail")).collect()
    }

    #[tokio::test]
    async fn lists_and_scans_go_by_an_index_and_sort_nothing() {
        let folder = tempfile::tempdir().expect("folder");
        let store = Store::open_file(&folder.path().join("test.db"), Access::Owner).await.expect("opens");
        let newest = |state| RunFilter::from(Some(state)).sql();
        let expected = [
            (newest(RunState::Failed), "SEARCH runs USING INDEX runs_failed (id>?)"),
            (newest(RunState::Cancelled), "SEARCH runs USING INDEX runs_cancelled (id>?)"),
            (newest(RunState::Running), "SEARCH runs USING INDEX runs_open (id>?)"),
            (newest(RunState::Cancelling), "SEARCH runs USING INDEX runs_open (id>?)"),
            (PASS_INPUTS.to_owned(), "SCAN runs USING COVERING INDEX runs_open"),
            (
                dedup_sql("IN (SELECT value FROM json_each($1))"),
                "SEARCH runs USING COVERING INDEX runs_dedup (dedup_key=?)",
            ),
            (TO_CANCEL.to_owned(), "SCAN runs USING INDEX runs_to_cancel"),
            (TO_CANCEL.to_owned(), "SEARCH runs USING INDEX runs_to_end (deadline_at>? AND deadline_at<?)"),
            (claims::stale_claims_sql(), "SCAN tasks USING INDEX tasks_running"),
            (claims::claims_of_sql(), "SEARCH tasks USING INDEX tasks_running (host_id=?)"),
            (tasks::NEXT_DUE.to_owned(), "SEARCH tasks USING COVERING INDEX tasks_delayed (due_at>?)"),
            (
                tasks::CLAIMABLE.to_owned(),
                "SEARCH tasks USING COVERING INDEX tasks_claimable (queue=? AND run_id>?)",
            ),
        ];
        for (sql, step) in expected {
            let plan = plan(&store, &sql).await;
            assert!(plan.iter().any(|line| line == step), "{sql}: {plan:#?}");
            let sorts = plan.iter().any(|line| line.contains("TEMP B-TREE"));
            assert!(!sorts || sql == PASS_INPUTS, "{sql}: {plan:#?}");
            let whole = |line: &String| line == "SCAN runs" || line == "SCAN tasks";
            assert!(!plan.iter().any(whole), "{sql}: {plan:#?}");
        }
    }
}
