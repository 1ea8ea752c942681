//! Dead letters: what reactors could not take, and what their firings could not start.

use crate::batch::{BatchStatement, Column::Int, Column::Text, MAX_ROWS};
use crate::error::Error;
use crate::ids::DeadLetterId;
use crate::open::{Store, Tx};
use crate::row::read_rows;
use crate::text::clip;
use serde::Serialize;
use sqlx::{AssertSqlSafe, FromRow};

/// Longest payload of a dead letter, in bytes. One that is cut cannot be sent again.
const MAX_PAYLOAD: usize = 64 * 1024;

/// Longest of its other texts, in bytes.
const MAX_TEXT: usize = 4 * 1024;

/// Dead letters that are kept of a reactor: a sample, not a copy of a broken stream.
const DEAD_LETTERS_KEPT: i64 = 1000;

/// An event that could not be taken, or the start of a workflow that was refused.
#[derive(Debug, Clone, PartialEq, Eq, FromRow, Serialize)]
pub struct DeadLetter {
    /// Its id.
    pub id: DeadLetterId,
    /// The reactor.
    pub reactor: String,
    /// The source of an event, the trigger of a start.
    pub source: String,
    /// Where in the stream, or empty.
    pub position: String,
    /// The path of the field.
    pub field: String,
    /// The fault.
    pub message: String,
    /// The event as JSON, or the params of the start; cut when it is long.
    pub payload: String,
    /// 1 when it can be sent again: it came from outside, and its payload was not cut.
    pub resendable: i64,
    /// The tenant of the workflow that was to start; none for an event.
    pub tenant: Option<String>,
    /// The workflow.
    pub workflow: Option<String>,
    /// The dedup key of the start.
    pub dedup_key: Option<String>,
    /// When.
    #[serde(serialize_with = "crate::iso::time")]
    pub at: i64,
}

const COLUMNS: &str = "id, reactor, source, position, field, message, payload, resendable, tenant, workflow, \
     dedup_key, at";

static INSERT: BatchStatement = BatchStatement::new(
    "INSERT INTO dead_letters (id, reactor, source, position, field, message, payload, resendable, tenant, workflow, dedup_key, at) \
     SELECT * FROM (VALUES ",
    &[Text, Text, Text, Text, Text, Text, Text, Int, Text, Text, Text, Int],
    // The same ones again, after a commit whose answer was lost.
    ") AS v WHERE v.column1 IS NOT NULL ON CONFLICT DO NOTHING",
);

impl DeadLetter {
    /// Records dead letters, and forgets the oldest of their reactor above a bound.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn insert(tx: &mut Tx, reactor: &str, letters: &[Self]) -> Result<(), Error> {
        for chunk in letters.chunks(MAX_ROWS) {
            let rows = chunk.iter().flat_map(|letter| {
                // All of it is a stranger's text.
                let text = |text: &String| clip(text.clone(), MAX_TEXT).into();
                [
                    letter.id.to_string().into(),
                    letter.reactor.clone().into(),
                    text(&letter.source),
                    text(&letter.position),
                    text(&letter.field),
                    text(&letter.message),
                    clip(letter.payload.clone(), MAX_PAYLOAD).into(),
                    i64::from(letter.resendable == 1 && letter.payload.len() <= MAX_PAYLOAD).into(),
                    letter.tenant.clone().into(),
                    letter.workflow.clone().into(),
                    letter.dedup_key.clone().into(),
                    letter.at.into(),
                ]
            });
            let query = INSERT.query(tx, rows.collect());
            query.execute(&mut **tx).await.map_err(|e| Error::of("record dead letters", e))?;
        }
        sqlx::query(
            "DELETE FROM dead_letters WHERE reactor = $1 AND id < (SELECT MIN(id) FROM \
             (SELECT id FROM dead_letters WHERE reactor = $1 ORDER BY id DESC LIMIT $2) AS kept)",
        )
        .bind(reactor)
        .bind(DEAD_LETTERS_KEPT)
        .execute(&mut **tx)
        .await
        .map_err(|e| Error::of("forget dead letters", e))?;
        Ok(())
    }

    /// The newest dead letters of a reactor, newest first.
    ///
    /// # Errors
    /// [`Error`] of the database, [`Error::BadRow`].
    pub async fn newest(store: &Store, reactor: &str, limit: i64) -> Result<Vec<Self>, Error> {
        let sql = format!("SELECT {COLUMNS} FROM dead_letters WHERE reactor = $1 ORDER BY id DESC LIMIT $2");
        let query = sqlx::query(AssertSqlSafe(sql)).bind(reactor).bind(limit);
        let rows = query.fetch_all(store.reader()).await.map_err(|e| Error::of("list dead letters", e))?;
        read_rows("dead_letters", "id", &rows)
    }

    /// One dead letter of a reactor.
    ///
    /// # Errors
    /// [`Error`] of the database, [`Error::BadRow`].
    pub async fn find(store: &Store, reactor: &str, id: DeadLetterId) -> Result<Option<Self>, Error> {
        let sql = format!("SELECT {COLUMNS} FROM dead_letters WHERE id = $1 AND reactor = $2");
        let query = sqlx::query(AssertSqlSafe(sql)).bind(id.to_string()).bind(reactor);
        let rows = query.fetch_all(store.reader()).await.map_err(|e| Error::of("find a dead letter", e))?;
        Ok(read_rows("dead_letters", "id", &rows)?.pop())
    }

    /// Forgets one that was sent again.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn forget(tx: &mut Tx, id: DeadLetterId) -> Result<(), Error> {
        let done = sqlx::query("DELETE FROM dead_letters WHERE id = $1")
            .bind(id.to_string())
            .execute(&mut **tx)
            .await;
        done.map(drop).map_err(|e| Error::of("forget a dead letter", e))
    }
}
