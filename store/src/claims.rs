//! Claims: tasks are taken with a token, and only that token ends them.

use crate::batch::{BatchStatement, Column::Int, Column::Text, MAX_ROWS, Param};
use crate::error::Error;
use crate::ids::{FencingToken, HostId, RunId};
use crate::keys::TaskKey;
use crate::lease::{Claim, Lease, Losses};
use crate::open::Tx;
use crate::row::get;
use crate::tasks::{TaskState, key_of};
use sqlx::AssertSqlSafe;
use sqlx::any::AnyRow;

/// The end of a claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskUpdate {
    /// Which task.
    pub key: TaskKey,
    /// The token it was claimed with.
    pub token: FencingToken,
    /// Where it goes: a terminal state, or `Ready` for another attempt.
    pub state: TaskState,
    /// Its losses from now on.
    pub losses: Losses,
    /// 1 when the attempt is taken back, as if it had never begun.
    pub attempt_reverted: i64,
    /// For `Ready`: not before this time, 0 for at once.
    pub due_at: i64,
    /// Why it failed or was skipped.
    pub error: Option<String>,
    /// Its changes of the context, as JSON.
    pub patch: Option<String>,
}

/// The end of a claim as a success: by far most of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Success {
    /// Which task.
    pub key: TaskKey,
    /// The token it was claimed with.
    pub token: FencingToken,
    /// Its changes of the context, as JSON.
    pub patch: Option<String>,
}

/// The meaning of a terminal task to one dependant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Resolution {
    /// Dependencies that became terminal.
    pub resolved: i64,
    /// Those of them that taint.
    pub upstream_failed: i64,
}

static TAKE: BatchStatement = BatchStatement::new(
    "UPDATE tasks SET state = 'running', attempt = attempt + 1, token = $1, host_id = $2, started_at = $3 \
     FROM (VALUES ",
    &[Text, Int],
    ") AS v WHERE tasks.run_id = v.column1 AND tasks.idx = v.column2 AND tasks.state = 'ready' \
     AND tasks.due_at = 0",
);

static TAKE_READ: BatchStatement = BatchStatement::new(
    "UPDATE tasks SET state = 'running', attempt = attempt + 1, token = $1, host_id = $2, started_at = $3 \
     FROM (VALUES ",
    &[Text, Int],
    ") AS v WHERE tasks.run_id = v.column1 AND tasks.idx = v.column2 AND tasks.state = 'ready' \
     AND tasks.due_at = 0 RETURNING tasks.run_id, tasks.idx, attempt, lost, lost_together, lost_alone, \
     upstream_failed",
);

static TAKE_RESOLVED: BatchStatement = BatchStatement::new(
    "UPDATE tasks SET state = 'running', attempt = attempt + 1, token = $1, host_id = $2, started_at = $3, \
     waiting = 0, upstream_failed = tasks.upstream_failed + v.column4 FROM (VALUES ",
    &[Text, Int, Int, Int],
    ") AS v WHERE tasks.run_id = v.column1 AND tasks.idx = v.column2 AND tasks.state = 'waiting' \
     AND tasks.waiting = v.column3",
);

static SUCCEED: BatchStatement = BatchStatement::new(
    "UPDATE tasks SET state = 'succeeded', finished_at = $1, error = NULL FROM (VALUES ",
    &[Text, Int, Int],
    ") AS v WHERE tasks.run_id = v.column1 AND tasks.idx = v.column2 AND tasks.token = v.column3 \
     AND tasks.state = 'running'",
);

static SUCCEED_PATCHED: BatchStatement = BatchStatement::new(
    "UPDATE tasks SET state = 'succeeded', finished_at = $1, error = NULL, patch = v.column4 FROM (VALUES ",
    &[Text, Int, Int, Text],
    ") AS v WHERE tasks.run_id = v.column1 AND tasks.idx = v.column2 AND tasks.token = v.column3 \
     AND tasks.state = 'running'",
);

static RECORD_SUCCESS: BatchStatement = BatchStatement::new(
    "INSERT INTO attempts (run_id, idx, attempt, host_id, started_at, finished_at, outcome) \
     SELECT t.run_id, t.idx, t.attempt, t.host_id, t.started_at, CAST($1 AS BIGINT), 'succeeded' FROM (VALUES ",
    &[Text, Int, Int],
    ") AS v JOIN tasks t ON t.run_id = v.column1 AND t.idx = v.column2 AND t.token = v.column3 \
     WHERE t.state = 'running' ON CONFLICT DO NOTHING",
);

static APPLY: BatchStatement = BatchStatement::new(
    "WITH v(run_id, idx, token, state, lost, lost_together, lost_alone, attempt_reverted, due_at, finished_at, error, patch) AS (VALUES ",
    &[Text, Int, Int, Text, Int, Int, Int, Int, Int, Int, Text, Text],
    ") UPDATE tasks SET state = v.state, lost = v.lost, lost_together = v.lost_together, \
     lost_alone = v.lost_alone, \
     attempt = tasks.attempt - v.attempt_reverted, due_at = v.due_at, finished_at = v.finished_at, \
     error = v.error, patch = v.patch FROM v WHERE tasks.run_id = v.run_id AND tasks.idx = v.idx \
     AND tasks.token = v.token AND tasks.state = 'running' RETURNING tasks.run_id, tasks.idx, tasks.token",
);

static RESOLVE: BatchStatement = BatchStatement::new(
    "UPDATE tasks SET waiting = waiting - v.column3, upstream_failed = tasks.upstream_failed + v.column4, \
     state = CASE WHEN waiting = v.column3 THEN 'ready' ELSE state END FROM (VALUES ",
    &[Text, Int, Int, Int],
    ") AS v WHERE tasks.run_id = v.column1 AND tasks.idx = v.column2 AND tasks.state = 'waiting'",
);

/// Claims as the database has them. A row that does not read does not keep the others from being read.
#[derive(Debug, Default)]
pub struct RecordedClaims {
    /// Those that count.
    pub leases: Vec<Lease>,
    /// Those of hosts that stopped on purpose and did not wait for them.
    pub left_behind: Vec<Lease>,
    /// Those of runs that are being cancelled: their attempts are to stop.
    pub cancelled: Vec<Lease>,
    /// Why a row does not read, with its run, when that does.
    pub unreadable: Vec<(Option<RunId>, Error)>,
}

// In no order: with one, SQLite reads the whole table in that order instead of the few that run.
const RECORDED: &str = "SELECT tasks.run_id, idx, token, host_id, attempt, lost, lost_together, lost_alone, \
     upstream_failed, tasks.started_at AS began, \
     CASE WHEN hosts.stopped_at IS NULL THEN 0 ELSE 1 END AS stopped, \
     CASE WHEN runs.state = 'cancelling' THEN 1 ELSE 0 END AS cancelled \
     FROM tasks LEFT JOIN hosts ON hosts.id = tasks.host_id LEFT JOIN runs ON runs.id = tasks.run_id \
     WHERE tasks.state = 'running'";

/// The claims of a host.
pub(crate) fn claims_of_sql() -> String {
    format!("{RECORDED} AND tasks.host_id = $1")
}

/// The claims of all other hosts.
pub(crate) fn stale_claims_sql() -> String {
    format!("{RECORDED} AND tasks.host_id <> $1")
}

impl RecordedClaims {
    /// Claims of a host.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn of(tx: &mut Tx, host: HostId) -> Result<Self, Error> {
        Self::read(tx, claims_of_sql(), host).await
    }

    /// Claims of hosts other than `host`, all of which are dead: one host at a time opens a database. To be asked
    /// before `host` is registered: that marks the others as stopped.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn stale(tx: &mut Tx, host: HostId) -> Result<Self, Error> {
        Self::read(tx, stale_claims_sql(), host).await
    }

    async fn read(tx: &mut Tx, sql: String, host: HostId) -> Result<Self, Error> {
        let query = sqlx::query(AssertSqlSafe(sql)).bind(host.to_string());
        let rows = query.fetch_all(&mut **tx).await.map_err(|e| Error::of("look for claims", e))?;
        let mut claims = Self::default();
        for row in &rows {
            match claims.list_of(row) {
                Ok((list, lease)) => list.push(lease),
                Err(error) => claims.unreadable.push((key_of(row).ok().map(|key| key.run), error)),
            }
        }
        Ok(claims)
    }

    /// The list that a row belongs to, and its lease.
    fn list_of(&mut self, row: &AnyRow) -> Result<(&mut Vec<Lease>, Lease), Error> {
        let is = |column| get::<i64>(row, column).map(|value| value != 0);
        let lease = recorded_lease(row)?;
        let list = match (is("cancelled")?, is("stopped")?) {
            (true, _) => &mut self.cancelled,
            (false, true) => &mut self.left_behind,
            (false, false) => &mut self.leases,
        };
        Ok((list, lease))
    }
}

/// The lease in a row.
fn recorded_lease(row: &AnyRow) -> Result<Lease, Error> {
    let losses = Losses {
        total: get(row, "lost")?,
        together: get(row, "lost_together")?,
        alone: get(row, "lost_alone")?,
    };
    Ok(Lease {
        key: key_of(row)?,
        token: FencingToken::new(get(row, "token")?),
        host: HostId::parse(&get::<String>(row, "host_id")?)?,
        attempt: get(row, "attempt")?,
        losses,
        upstream_failed: get(row, "upstream_failed")?,
        started_at: get(row, "began")?,
    })
}

impl Claim {
    fn scalars(self) -> [Param; 3] {
        [self.token.get().into(), self.host.to_string().into(), self.now.into()]
    }

    /// Takes tasks that are known to be ready. Returns how many it took: fewer when one of them is not.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn take(self, tx: &mut Tx, keys: &[TaskKey]) -> Result<u64, Error> {
        let mut taken = 0;
        for chunk in keys.chunks(MAX_ROWS) {
            let rows = chunk.iter().flat_map(|key| key.params());
            let query = TAKE.query_with(tx, self.scalars(), rows.collect());
            let done = query.execute(&mut **tx).await.map_err(|e| Error::of("take tasks", e))?;
            taken += done.rows_affected();
        }
        Ok(taken)
    }

    /// Takes tasks that wait for exactly what these resolutions bring. Returns how many it took: fewer when one of
    /// them waits for something else.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn take_resolved(self, tx: &mut Tx, tasks: &[(TaskKey, Resolution)]) -> Result<u64, Error> {
        let mut taken = 0;
        for chunk in tasks.chunks(MAX_ROWS) {
            let rows = chunk.iter().flat_map(|(key, resolution)| resolution.params(*key));
            let query = TAKE_RESOLVED.query_with(tx, self.scalars(), rows.collect());
            let done = query.execute(&mut **tx).await.map_err(|e| Error::of("take resolved tasks", e))?;
            taken += done.rows_affected();
        }
        Ok(taken)
    }
}

impl Lease {
    /// Takes those of the tasks that are claimable, and reads what the database knows of them.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn claim(tx: &mut Tx, claim: Claim, keys: &[TaskKey]) -> Result<Vec<Self>, Error> {
        let mut leases = Vec::with_capacity(keys.len());
        for chunk in keys.chunks(MAX_ROWS) {
            let rows = chunk.iter().flat_map(|key| key.params()).collect();
            let query = TAKE_READ.query_with(tx, claim.scalars(), rows);
            for row in query.fetch_all(&mut **tx).await.map_err(|e| Error::of("claim tasks", e))? {
                let losses = Losses {
                    total: get(&row, "lost")?,
                    together: get(&row, "lost_together")?,
                    alone: get(&row, "lost_alone")?,
                };
                let lease = claim.lease(key_of(&row)?, get(&row, "attempt")?, get(&row, "upstream_failed")?);
                leases.push(Self { losses, ..lease });
            }
        }
        Ok(leases)
    }
}

impl Success {
    /// Ends claims as successes and records their attempts. Returns how many of them were still held: when it is
    /// fewer than were given, nobody can tell which, and the transaction is to be undone.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn commit(tx: &mut Tx, successes: &[Self], now: i64) -> Result<u64, Error> {
        let (patched, plain): (Vec<&Self>, Vec<&Self>) = successes.iter().partition(|s| s.patch.is_some());
        let mut held = 0;
        for chunk in successes.chunks(MAX_ROWS) {
            let rows = chunk.iter().flat_map(Self::params).collect();
            let query = RECORD_SUCCESS.query_with(tx, [now.into()], rows);
            query.execute(&mut **tx).await.map_err(|e| Error::of("record successful attempts", e))?;
        }
        for chunk in plain.chunks(MAX_ROWS) {
            let rows = chunk.iter().flat_map(|s| s.params()).collect();
            let query = SUCCEED.query_with(tx, [now.into()], rows);
            held +=
                query.execute(&mut **tx).await.map_err(|e| Error::of("commit successes", e))?.rows_affected();
        }
        for chunk in patched.chunks(MAX_ROWS) {
            let rows =
                chunk.iter().flat_map(|s| s.params().into_iter().chain([s.patch.clone().into()])).collect();
            let query = SUCCEED_PATCHED.query_with(tx, [now.into()], rows);
            let done =
                query.execute(&mut **tx).await.map_err(|e| Error::of("commit patched successes", e))?;
            held += done.rows_affected();
        }
        Ok(held)
    }

    fn params(&self) -> [Param; 3] {
        let [run, idx] = self.key.params();
        [run, idx, self.token.get().into()]
    }
}

impl TaskUpdate {
    /// Ends claims. Returns those that were still held, with their tokens; the others are fenced off.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn apply(
        tx: &mut Tx,
        updates: &[Self],
        now: i64,
    ) -> Result<Vec<(TaskKey, FencingToken)>, Error> {
        let mut applied = Vec::with_capacity(updates.len());
        for chunk in updates.chunks(MAX_ROWS) {
            let rows = chunk.iter().flat_map(|u| {
                let finished = u.state.is_terminal().then_some(now);
                [
                    u.key.run.to_string().into(),
                    u.key.idx.into(),
                    u.token.get().into(),
                    u.state.as_str().into(),
                    u.losses.total.into(),
                    u.losses.together.into(),
                    u.losses.alone.into(),
                    u.attempt_reverted.into(),
                    u.due_at.into(),
                    finished.into(),
                    u.error.clone().into(),
                    u.patch.clone().into(),
                ]
            });
            let query = APPLY.query(tx, rows.collect());
            let rows = query.fetch_all(&mut **tx).await.map_err(|e| Error::of("commit outcomes", e))?;
            for row in rows {
                applied.push((key_of(&row)?, FencingToken::new(get(&row, "token")?)));
            }
        }
        Ok(applied)
    }
}

impl Resolution {
    fn params(self, key: TaskKey) -> [Param; 4] {
        let [run, idx] = key.params();
        [run, idx, self.resolved.into(), self.upstream_failed.into()]
    }

    /// Tells dependants that dependencies became terminal; those that wait for nothing more become ready. Returns
    /// how many it told: fewer when one of them does not wait any more.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn apply(tx: &mut Tx, dependants: &[(TaskKey, Self)]) -> Result<u64, Error> {
        let mut told = 0;
        for chunk in dependants.chunks(MAX_ROWS) {
            let rows = chunk.iter().flat_map(|(key, resolution)| resolution.params(*key)).collect();
            let query = RESOLVE.query(tx, rows);
            let done = query.execute(&mut **tx).await.map_err(|e| Error::of("resolve dependants", e))?;
            told += done.rows_affected();
        }
        Ok(told)
    }
}
