//! Generations: digests loaded by hosts.

use crate::batch::{Column::Int, Column::Text, MAX_ROWS, Many};
use crate::error::Error;
use crate::ids::{GenerationId, HostId};
use crate::open::{Store, Tx};
use crate::words::{read_rows, words};
use serde::Serialize;
use sqlx::{AssertSqlSafe, FromRow};

words! {
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
    pub digest: &'a str,
    /// The package's name.
    pub package: &'a str,
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
    pub digest: String,
    /// The package's name.
    pub package: String,
    /// The package's version.
    pub version: String,
    /// Where it is.
    pub state: GenerationState,
    /// How many of the six load steps are done.
    pub step: i64,
    /// When loading began.
    pub loaded_at: i64,
    /// When it was unloaded.
    pub unloaded_at: Option<i64>,
    /// Whether its memory was given back: `unmapped`, or `pinned` with bytes.
    pub released: Option<String>,
}

const COLUMNS: &str = "id, host_id, digest, package, version, state, step, loaded_at, unloaded_at, released";

static INSERT: Many = Many::new(
    "INSERT INTO generations (id, host_id, digest, package, version, state, step, loaded_at) \
     SELECT * FROM (VALUES ",
    &[Text, Text, Text, Text, Text, Text, Int, Int],
    ") AS v WHERE v.column1 IS NOT NULL",
);

static SET_STATE: Many = Many::new(
    "WITH v(id, state, step) AS (VALUES ",
    &[Text, Text, Int],
    ") UPDATE generations SET state = v.state, step = v.step FROM v WHERE generations.id = v.id \
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
                    g.digest.into(),
                    g.package.into(),
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
    /// As many as are looked through for the newest of each package.
    pub const MANY: i64 = 10_000;

    /// Records how far loading or unloading got, of generations that are not closed.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn set_state(
        tx: &mut Tx,
        generations: &[(GenerationId, GenerationState, i64)],
    ) -> Result<(), Error> {
        for chunk in generations.chunks(MAX_ROWS) {
            let rows = chunk
                .iter()
                .flat_map(|(id, state, step)| [id.to_string().into(), state.as_str().into(), (*step).into()]);
            let query = SET_STATE.query(tx, rows.collect());
            query.execute(&mut **tx).await.map_err(|e| Error::of("record load steps", e))?;
        }
        Ok(())
    }

    /// Records the end of a generation.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn set_unloaded(tx: &mut Tx, id: GenerationId, released: &str, now: i64) -> Result<(), Error> {
        sqlx::query(
            "UPDATE generations SET state = 'unloaded', step = 0, unloaded_at = $1, released = $2 WHERE id = $3",
        )
        .bind(now)
        .bind(released)
        .bind(id.to_string())
        .execute(&mut **tx)
        .await
        .map_err(|e| Error::of("record an unload", e))?;
        Ok(())
    }

    /// Marks what dead hosts had loaded as lost. Returns how many there were.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn mark_lost(tx: &mut Tx, host: HostId, now: i64) -> Result<u64, Error> {
        let done = sqlx::query(
            "UPDATE generations SET state = 'lost', step = 0, unloaded_at = $1 \
             WHERE state IN ('loading', 'active', 'draining') AND host_id <> $2",
        )
        .bind(now)
        .bind(host.to_string())
        .execute(&mut **tx)
        .await
        .map_err(|e| Error::of("mark lost generations", e))?;
        Ok(done.rows_affected())
    }

    /// Generations of a package, newest first; of all packages when `package` is empty.
    ///
    /// # Errors
    /// [`Error`] of the database, [`Error::BadRow`].
    pub async fn newest(store: &Store, package: &str, limit: i64) -> Result<Vec<Self>, Error> {
        let sql = format!(
            "SELECT {COLUMNS} FROM generations WHERE $1 = '' OR package = $1 ORDER BY id DESC LIMIT $2"
        );
        let query = sqlx::query(AssertSqlSafe(sql)).bind(package).bind(limit);
        let rows = query.fetch_all(store.reader()).await.map_err(|e| Error::of("list generations", e))?;
        read_rows("generations", "id", &rows)
    }
}
