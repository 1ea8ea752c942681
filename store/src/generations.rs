//! Generations: digests loaded by hosts.

use crate::batch::{BatchStatement, Column::Int, Column::Text, MAX_ROWS};
use crate::error::Error;
use crate::ids::{GenerationId, HostId};
use crate::open::{Store, Tx};
use crate::row::read_rows;
use crate::text_enum::text_enum;
use longshore_workflow::names::{Digest, PackageName};
use serde::Serialize;
use sqlx::{AssertSqlSafe, FromRow};

text_enum! {
    /// Where a generation is.
    GenerationState {
        /// It is open and about to be published.
        Loading = "loading",
        /// New runs start on it.
        Active = "active",
        /// It only finishes what it has.
        Draining = "draining",
        /// It was closed.
        Unloaded = "unloaded",
        /// Its host died.
        Lost = "lost",
    }
}

/// A generation to record.
#[derive(Debug, Clone, Copy)]
pub struct NewGeneration<'a> {
    /// Its id.
    pub id: GenerationId,
    /// The host that loads it.
    pub host: HostId,
    /// The digest.
    pub digest: &'a Digest,
    /// The package's name.
    pub package: &'a PackageName,
    /// The package's version.
    pub version: &'a str,
}

/// A generation as recorded.
#[derive(Debug, Clone, PartialEq, Eq, FromRow, Serialize)]
pub struct GenerationRow {
    /// Its id.
    pub id: String,
    /// The host that loaded it.
    pub host_id: String,
    /// The digest.
    #[sqlx(try_from = "String")]
    pub digest: Digest,
    /// The package's name.
    #[sqlx(try_from = "String")]
    pub package: PackageName,
    /// The package's version.
    pub version: String,
    /// Where it is.
    pub state: GenerationState,
    /// The number of the six load steps that are done.
    pub step: i64,
    /// When loading began.
    #[serde(serialize_with = "crate::iso::time")]
    pub loaded_at: i64,
    /// When it was unloaded.
    #[serde(serialize_with = "crate::iso::maybe")]
    pub unloaded_at: Option<i64>,
    /// Result of the unload: `unmapped`, or `still mapped` with bytes.
    pub unload_result: Option<String>,
    /// When it began to only finish what it has.
    #[serde(serialize_with = "crate::iso::maybe")]
    pub drained_at: Option<i64>,
}

const COLUMNS: &str =
    "id, host_id, digest, package, version, state, step, loaded_at, unloaded_at, unload_result, drained_at";

static INSERT: BatchStatement = BatchStatement::new(
    "INSERT INTO generations (id, host_id, digest, package, version, state, step, loaded_at) \
     SELECT * FROM (VALUES ",
    &[Text, Text, Text, Text, Text, Text, Int, Int],
    // A commit whose end nobody knows is repeated.
    ") AS v WHERE v.column1 IS NOT NULL ON CONFLICT (id) DO NOTHING",
);

static SET_STATE: BatchStatement = BatchStatement::new(
    "WITH v(id, state, step, at) AS (VALUES ",
    &[Text, Text, Int, Int],
    ") UPDATE generations SET state = v.state, step = v.step, drained_at = CASE WHEN v.state = 'draining' \
     THEN COALESCE(drained_at, v.at) END FROM v WHERE generations.id = v.id \
     AND generations.state IN ('loading', 'active', 'draining')",
);

impl NewGeneration<'_> {
    /// Records that loading begins.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn insert(tx: &mut Tx, generations: &[Self], now: i64) -> Result<(), Error> {
        for chunk in generations.chunks(MAX_ROWS) {
            let rows = chunk.iter().flat_map(|g| {
                [
                    g.id.to_string().into(),
                    g.host.to_string().into(),
                    g.digest.as_str().into(),
                    g.package.as_str().into(),
                    g.version.into(),
                    GenerationState::Loading.as_str().into(),
                    0.into(),
                    now.into(),
                ]
            });
            let query = INSERT.query(tx, rows.collect());
            query.execute(&mut **tx).await.map_err(|e| Error::of("record generations", e))?;
        }
        Ok(())
    }
}

impl GenerationRow {
    /// Rows that are read to find the newest generation of each package.
    pub const SCAN_LIMIT: i64 = 10_000;

    /// Records how far loading or unloading got, of generations that are not closed. Those that drain do so since `at`.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn set_state(
        tx: &mut Tx,
        generations: &[(GenerationId, GenerationState, i64)],
        at: i64,
    ) -> Result<(), Error> {
        for chunk in generations.chunks(MAX_ROWS) {
            let rows = chunk.iter().flat_map(|(id, state, step)| {
                [id.to_string().into(), state.as_str().into(), (*step).into(), at.into()]
            });
            let query = SET_STATE.query(tx, rows.collect());
            query.execute(&mut **tx).await.map_err(|e| Error::of("record load steps", e))?;
        }
        Ok(())
    }

    /// Records the end of a generation.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn set_unloaded(tx: &mut Tx, id: GenerationId, result: &str, now: i64) -> Result<(), Error> {
        sqlx::query(
            "UPDATE generations SET state = 'unloaded', step = 0, unloaded_at = $1, unload_result = $2 WHERE id = $3",
        )
        .bind(now)
        .bind(result)
        .bind(id.to_string())
        .execute(&mut **tx)
        .await
        .map_err(|e| Error::of("record an unload", e))?;
        Ok(())
    }

    /// Marks what dead hosts had loaded as lost when they were seen last. Returns how many there were.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn mark_lost(tx: &mut Tx, host: HostId, now: i64) -> Result<u64, Error> {
        let done = sqlx::query(
            "UPDATE generations SET state = 'lost', step = 0, unloaded_at = COALESCE((SELECT seen_at FROM hosts \
             WHERE hosts.id = generations.host_id), $1) WHERE state IN ('loading', 'active', 'draining') AND host_id <> $2",
        )
        .bind(now)
        .bind(host.to_string())
        .execute(&mut **tx)
        .await
        .map_err(|e| Error::of("mark lost generations", e))?;
        Ok(done.rows_affected())
    }

    /// Generations of a package, newest first; of all packages without one.
    ///
    /// # Errors
    /// [`Error`] of the database, [`Error::BadRow`].
    pub async fn newest(
        store: &Store,
        package: Option<&PackageName>,
        limit: i64,
    ) -> Result<Vec<Self>, Error> {
        let condition = if package.is_some() { "WHERE package = $2 " } else { "" };
        let sql = format!("SELECT {COLUMNS} FROM generations {condition}ORDER BY id DESC LIMIT $1");
        let mut query = sqlx::query(AssertSqlSafe(sql)).bind(limit);
        if let Some(package) = package {
            query = query.bind(package.as_str());
        }
        let rows = query.fetch_all(store.reader()).await.map_err(|e| Error::of("list generations", e))?;
        read_rows("generations", "id", &rows)
    }
}
