//! Reactors: their state, their inputs and outputs, their status.

use crate::batch::{BatchStatement, Column, Column::Blob, Column::Int, Column::Text, MAX_ROWS};
use crate::error::Error;
use crate::open::{Store, Tx};
use crate::row::{get, read_rows};
use longshore_workflow::names::{Digest, PackageName};
use serde::Serialize;
use sqlx::FromRow;

/// A reactor as it outlives its host.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct ReactorRow {
    /// The name.
    pub name: String,
    /// The last input of a sequential reactor whose outcome is recorded; it never goes back.
    pub cursor: i64,
    /// 1 when somebody paused it.
    pub paused: i64,
    /// Boundary values, accumulator states and counters.
    pub state: Vec<u8>,
}

/// An input of a sequential reactor.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct InputRow {
    /// Its number: one more than the one before.
    pub seq: i64,
    /// The source.
    pub source: String,
    /// The event.
    pub payload: Vec<u8>,
}

/// A terminal's value for an input.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct OutputRow {
    /// The input's number.
    pub seq: i64,
    /// The graph.
    pub graph: String,
    /// The terminal.
    pub terminal: String,
    /// Its value.
    pub value: Vec<u8>,
}

/// A host's report about a reactor.
#[derive(Debug, Clone, PartialEq, Eq, FromRow, Serialize)]
pub struct StatusRow {
    /// The name.
    pub name: String,
    /// The package.
    #[sqlx(try_from = "String")]
    pub package: PackageName,
    /// The digest.
    #[sqlx(try_from = "String")]
    pub digest: Digest,
    /// Everything else, as JSON.
    pub status: String,
    /// When.
    #[serde(serialize_with = "crate::iso::time")]
    pub updated_at: i64,
}

static PUT: BatchStatement = BatchStatement::new(
    "INSERT INTO reactors (name, cursor, paused, state, updated_at) SELECT * FROM (VALUES ",
    &[Text, Int, Int, Blob, Int],
    // A reactor that is `latest` for a while has no cursor: its inputs are numbered on from where they were.
    ") AS v WHERE v.column1 IS NOT NULL ON CONFLICT (name) DO UPDATE SET \
     cursor = CASE WHEN excluded.cursor > reactors.cursor THEN excluded.cursor ELSE reactors.cursor END, \
     paused = excluded.paused, state = excluded.state, updated_at = excluded.updated_at",
);

static INSERT_INPUTS: BatchStatement = BatchStatement::new(
    "INSERT INTO reactor_inputs (reactor, seq, source, payload) SELECT * FROM (VALUES ",
    &[Text, Int, Text, Blob],
    // The same ones again, after a commit whose answer was lost: nobody else writes them.
    ") AS v WHERE v.column1 IS NOT NULL ON CONFLICT DO NOTHING",
);

static INSERT_OUTPUTS: BatchStatement = BatchStatement::new(
    "INSERT INTO reactor_outputs (reactor, seq, graph, terminal, value, at) SELECT * FROM (VALUES ",
    &[Text, Int, Text, Text, Blob, Int],
    ") AS v WHERE v.column1 IS NOT NULL ON CONFLICT DO NOTHING",
);

const POSITIONS: &[Column] = &[Text, Text, Text];

static PUT_POSITIONS: BatchStatement = BatchStatement::new(
    "INSERT INTO reactor_positions (reactor, stream, position) SELECT * FROM (VALUES ",
    POSITIONS,
    ") AS v WHERE v.column1 IS NOT NULL ON CONFLICT (reactor, stream) DO UPDATE SET position = excluded.position",
);

static PUT_STATUS: BatchStatement = BatchStatement::new(
    "INSERT INTO reactor_status (name, package, digest, status, updated_at) SELECT * FROM (VALUES ",
    &[Text, Text, Text, Text, Int],
    ") AS v WHERE v.column1 IS NOT NULL ON CONFLICT (name) DO UPDATE SET package = excluded.package, \
     digest = excluded.digest, status = excluded.status, updated_at = excluded.updated_at",
);

impl ReactorRow {
    /// One reactor.
    ///
    /// # Errors
    /// [`Error`] of the database, [`Error::BadRow`].
    pub async fn find(store: &Store, name: &str) -> Result<Option<Self>, Error> {
        let sql = "SELECT name, cursor, paused, state FROM reactors WHERE name = $1";
        let rows = sqlx::query(sql).bind(name).fetch_all(store.reader()).await;
        Ok(read_rows("reactors", "name", &rows.map_err(|e| Error::of("find a reactor", e))?)?.pop())
    }

    /// The names that begin with a text.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn names(store: &Store, prefix: &str) -> Result<Vec<String>, Error> {
        let sql = "SELECT name FROM reactors WHERE SUBSTR(name, 1, $1) = $2 ORDER BY name";
        let query = sqlx::query(sql).bind(prefix.chars().count() as i32).bind(prefix);
        let rows = query.fetch_all(store.reader()).await.map_err(|e| Error::of("look for reactors", e))?;
        rows.iter().map(|row| get(row, "name")).collect()
    }

    /// Forgets everything about a reactor but its dead letters.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn forget(tx: &mut Tx, name: &str) -> Result<(), Error> {
        for sql in [
            "DELETE FROM reactors WHERE name = $1",
            "DELETE FROM reactor_inputs WHERE reactor = $1",
            "DELETE FROM reactor_outputs WHERE reactor = $1",
            "DELETE FROM reactor_positions WHERE reactor = $1",
        ] {
            let done = sqlx::query(sql).bind(name).execute(&mut **tx).await;
            done.map_err(|e| Error::of("forget a reactor", e))?;
        }
        Ok(())
    }

    /// Records whether somebody paused a reactor, and nothing else of it.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn set_paused(tx: &mut Tx, name: &str, paused: bool, now: i64) -> Result<(), Error> {
        sqlx::query(
            "INSERT INTO reactors (name, cursor, paused, state, updated_at) VALUES ($1, 0, $2, $3, $4) \
             ON CONFLICT (name) DO UPDATE SET paused = excluded.paused, updated_at = excluded.updated_at",
        )
        .bind(name)
        .bind(i64::from(paused))
        .bind(Vec::<u8>::new())
        .bind(now)
        .execute(&mut **tx)
        .await
        .map_err(|e| Error::of("pause a reactor", e))?;
        Ok(())
    }

    /// Records reactors.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn put(tx: &mut Tx, reactors: &[Self], now: i64) -> Result<(), Error> {
        for chunk in reactors.chunks(MAX_ROWS) {
            let rows = chunk.iter().flat_map(|r| {
                [r.name.clone().into(), r.cursor.into(), r.paused.into(), r.state.clone().into(), now.into()]
            });
            let query = PUT.query(tx, rows.collect());
            query.execute(&mut **tx).await.map_err(|e| Error::of("record reactors", e))?;
        }
        Ok(())
    }
}

impl InputRow {
    /// Records inputs of a reactor.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn insert(tx: &mut Tx, reactor: &str, inputs: &[Self]) -> Result<(), Error> {
        for chunk in inputs.chunks(MAX_ROWS) {
            let rows = chunk.iter().flat_map(|input| {
                [reactor.into(), input.seq.into(), input.source.clone().into(), input.payload.clone().into()]
            });
            let query = INSERT_INPUTS.query(tx, rows.collect());
            query.execute(&mut **tx).await.map_err(|e| Error::of("record inputs", e))?;
        }
        Ok(())
    }

    /// All inputs after a number, in order.
    ///
    /// # Errors
    /// [`Error`] of the database, [`Error::BadRow`].
    pub async fn after(store: &Store, reactor: &str, seq: i64) -> Result<Vec<Self>, Error> {
        let sql =
            "SELECT seq, source, payload FROM reactor_inputs WHERE reactor = $1 AND seq > $2 ORDER BY seq";
        let query = sqlx::query(sql).bind(reactor).bind(seq);
        let rows = query.fetch_all(store.reader()).await.map_err(|e| Error::of("load inputs", e))?;
        read_rows("reactor_inputs", "source", &rows)
    }

    /// Forgets inputs up to a number: their outcomes are recorded.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn forget(tx: &mut Tx, reactor: &str, up_to: i64) -> Result<(), Error> {
        sqlx::query("DELETE FROM reactor_inputs WHERE reactor = $1 AND seq <= $2")
            .bind(reactor)
            .bind(up_to)
            .execute(&mut **tx)
            .await
            .map_err(|e| Error::of("forget inputs", e))?;
        Ok(())
    }
}

impl OutputRow {
    /// Records outputs; one that is recorded stays as it is.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn insert(tx: &mut Tx, reactor: &str, outputs: &[Self], now: i64) -> Result<(), Error> {
        for chunk in outputs.chunks(MAX_ROWS) {
            let rows = chunk.iter().flat_map(|output| {
                [
                    reactor.into(),
                    output.seq.into(),
                    output.graph.clone().into(),
                    output.terminal.clone().into(),
                    output.value.clone().into(),
                    now.into(),
                ]
            });
            let query = INSERT_OUTPUTS.query(tx, rows.collect());
            query.execute(&mut **tx).await.map_err(|e| Error::of("record outputs", e))?;
        }
        Ok(())
    }

    /// Outputs of a reactor after an input, in order.
    ///
    /// # Errors
    /// [`Error`] of the database, [`Error::BadRow`].
    pub async fn after(store: &Store, reactor: &str, seq: i64, limit: i64) -> Result<Vec<Self>, Error> {
        let sql = "SELECT seq, graph, terminal, value FROM reactor_outputs WHERE reactor = $1 AND seq > $2 \
                   ORDER BY seq, graph, terminal LIMIT $3";
        let query = sqlx::query(sql).bind(reactor).bind(seq).bind(limit);
        let rows = query.fetch_all(store.reader()).await.map_err(|e| Error::of("load outputs", e))?;
        read_rows("reactor_outputs", "terminal", &rows)
    }

    /// Forgets outputs up to an input.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn forget(tx: &mut Tx, reactor: &str, up_to: i64) -> Result<(), Error> {
        sqlx::query("DELETE FROM reactor_outputs WHERE reactor = $1 AND seq <= $2")
            .bind(reactor)
            .bind(up_to)
            .execute(&mut **tx)
            .await
            .map_err(|e| Error::of("forget outputs", e))?;
        Ok(())
    }
}

/// The position of a stream in a reactor.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct PositionRow {
    /// The stream.
    pub stream: String,
    /// The position.
    pub position: String,
}

impl PositionRow {
    /// The positions of the streams of a reactor.
    ///
    /// # Errors
    /// [`Error`] of the database, [`Error::BadRow`].
    pub async fn of(store: &Store, reactor: &str) -> Result<Vec<Self>, Error> {
        let sql = "SELECT stream, position FROM reactor_positions WHERE reactor = $1 ORDER BY stream";
        let rows = sqlx::query(sql).bind(reactor).fetch_all(store.reader()).await;
        read_rows("reactor_positions", "stream", &rows.map_err(|e| Error::of("load positions", e))?)
    }

    /// Forgets the position of a stream.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn forget(tx: &mut Tx, reactor: &str, stream: &str) -> Result<(), Error> {
        sqlx::query("DELETE FROM reactor_positions WHERE reactor = $1 AND stream = $2")
            .bind(reactor)
            .bind(stream)
            .execute(&mut **tx)
            .await
            .map_err(|e| Error::of("forget a position", e))?;
        Ok(())
    }

    /// Records how far streams were read.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn put(tx: &mut Tx, reactor: &str, positions: &[Self]) -> Result<(), Error> {
        for chunk in positions.chunks(MAX_ROWS) {
            let rows = chunk
                .iter()
                .flat_map(|p| [reactor.into(), p.stream.clone().into(), p.position.clone().into()]);
            let query = PUT_POSITIONS.query(tx, rows.collect());
            query.execute(&mut **tx).await.map_err(|e| Error::of("record positions", e))?;
        }
        Ok(())
    }
}

impl StatusRow {
    /// Says what is so of reactors.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn put(tx: &mut Tx, rows: &[Self]) -> Result<(), Error> {
        for chunk in rows.chunks(MAX_ROWS) {
            let rows = chunk.iter().flat_map(|s| {
                [
                    s.name.clone().into(),
                    s.package.as_str().into(),
                    s.digest.as_str().into(),
                    s.status.clone().into(),
                    s.updated_at.into(),
                ]
            });
            let query = PUT_STATUS.query(tx, rows.collect());
            query.execute(&mut **tx).await.map_err(|e| Error::of("record what reactors do", e))?;
        }
        Ok(())
    }

    /// Forgets a reactor that is not there any more.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn forget(tx: &mut Tx, name: &str) -> Result<(), Error> {
        sqlx::query("DELETE FROM reactor_status WHERE name = $1")
            .bind(name)
            .execute(&mut **tx)
            .await
            .map_err(|e| Error::of("forget a reactor", e))?;
        Ok(())
    }

    /// All reactors, by name.
    ///
    /// # Errors
    /// [`Error`] of the database, [`Error::BadRow`].
    pub async fn all(store: &Store) -> Result<Vec<Self>, Error> {
        let sql = "SELECT name, package, digest, status, updated_at FROM reactor_status ORDER BY name";
        let rows = sqlx::query(sql).fetch_all(store.reader()).await;
        read_rows("reactor_status", "name", &rows.map_err(|e| Error::of("list reactors", e))?)
    }
}
