//! Conditions (what is so now) and events (what happened).

use crate::batch::{Column::Int, Column::Text, MAX_ROWS, Many};
use crate::error::Error;
use crate::open::{Store, Tx};
use crate::words::{read_rows, words};
use serde::Serialize;
use sqlx::FromRow;
use uuid::Uuid;

/// Longest message of an event or a condition, in bytes.
const MAX_MESSAGE: usize = 8 * 1024;

/// An event as recorded.
#[derive(Debug, Clone, PartialEq, Eq, FromRow, Serialize)]
pub struct EventRow {
    /// When.
    pub at: i64,
    /// About what: `package/NAME`, `run/ID`, `schedule/NAME`, `host/ID`.
    pub subject: String,
    /// One word.
    pub kind: String,
    /// For people.
    pub message: String,
}

words! {
    /// What can be so of a package or a file.
    ConditionKind {
        /// Its checks passed.
        Accepted = "Accepted",
        /// It is loaded here.
        Loaded = "Loaded",
        /// New runs start on it.
        Ready = "Ready",
        /// It loads, and somebody should look at it.
        Warned = "Warned",
        /// A probe failed; it is not loaded.
        Quarantined = "Quarantined",
    }
}

words! {
    /// Whether a condition holds.
    ConditionStatus {
        /// It holds.
        True = "true",
        /// It does not.
        False = "false",
    }
}

/// A condition to set.
#[derive(Debug, Clone)]
pub struct NewCondition<'a> {
    /// About what.
    pub subject: &'a str,
    /// What.
    pub kind: ConditionKind,
    /// Whether it holds.
    pub status: ConditionStatus,
    /// A stable code or one word.
    pub reason: &'a str,
    /// For people.
    pub message: String,
    /// The digest this was observed of.
    pub digest: &'a str,
}

/// A condition as recorded.
#[derive(Debug, Clone, PartialEq, Eq, FromRow, Serialize)]
pub struct ConditionRow {
    /// About what.
    pub subject: String,
    /// What.
    #[sqlx(rename = "type")]
    #[serde(rename = "type")]
    pub kind: ConditionKind,
    /// Whether it holds.
    pub status: ConditionStatus,
    /// A stable code or one word.
    pub reason: String,
    /// For people.
    pub message: String,
    /// The digest this was observed of.
    pub digest: String,
    /// Since when the status is what it is.
    pub since: i64,
}

/// An event to append.
#[derive(Debug, Clone)]
pub struct NewEvent<'a> {
    /// About what.
    pub subject: &'a str,
    /// One word.
    pub kind: &'a str,
    /// For people.
    pub message: &'a str,
}

static APPEND: Many = Many::new(
    "INSERT INTO events (id, at, subject, kind, message) SELECT * FROM (VALUES ",
    &[Text, Int, Text, Text, Text],
    ") AS v WHERE v.column1 IS NOT NULL",
);

static SET: Many = Many::new(
    "INSERT INTO conditions (subject, type, status, reason, message, digest, since) SELECT * FROM (VALUES ",
    &[Text, Text, Text, Text, Text, Text, Int],
    ") AS v WHERE v.column1 IS NOT NULL ON CONFLICT (subject, type) DO UPDATE SET \
     since = CASE WHEN conditions.status = excluded.status THEN conditions.since ELSE excluded.since END, \
     status = excluded.status, reason = excluded.reason, message = excluded.message, \
     digest = excluded.digest",
);

fn cut(message: &str) -> String {
    message[..message.floor_char_boundary(MAX_MESSAGE)].to_owned()
}

impl EventRow {
    /// Appends an event.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn append(
        tx: &mut Tx,
        subject: &str,
        kind: &str,
        message: &str,
        now: i64,
    ) -> Result<(), Error> {
        Self::append_all(tx, &[NewEvent { subject, kind, message }], now).await
    }

    /// Appends events in their order.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn append_all(tx: &mut Tx, events: &[NewEvent<'_>], now: i64) -> Result<(), Error> {
        for chunk in events.chunks(MAX_ROWS) {
            let rows = chunk.iter().flat_map(|e| {
                let id = Uuid::now_v7().to_string();
                [id.into(), now.into(), e.subject.into(), e.kind.into(), cut(e.message).into()]
            });
            let query = APPEND.query(tx, rows.collect());
            query.execute(&mut **tx).await.map_err(|e| Error::of("append events", e))?;
        }
        Ok(())
    }

    /// The newest events, newest first; of one subject, or of all when `subject` is empty.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn newest(store: &Store, subject: &str, limit: i64) -> Result<Vec<Self>, Error> {
        sqlx::query_as(
            "SELECT at, subject, kind, message FROM events WHERE $1 = '' OR subject = $1 \
             ORDER BY id DESC LIMIT $2",
        )
        .bind(subject)
        .bind(limit)
        .fetch_all(store.reader())
        .await
        .map_err(|e| Error::of("list events", e))
    }
}

impl NewCondition<'_> {
    /// Sets conditions, one of a kind for each subject; `since` changes only with the status.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn set(tx: &mut Tx, conditions: &[Self], now: i64) -> Result<(), Error> {
        for chunk in conditions.chunks(MAX_ROWS) {
            let rows = chunk.iter().flat_map(|c| {
                [
                    c.subject.into(),
                    c.kind.as_str().into(),
                    c.status.as_str().into(),
                    c.reason.into(),
                    cut(&c.message).into(),
                    c.digest.into(),
                    now.into(),
                ]
            });
            let query = SET.query(tx, rows.collect());
            query.execute(&mut **tx).await.map_err(|e| Error::of("set conditions", e))?;
        }
        Ok(())
    }
}

impl ConditionRow {
    /// All conditions, by subject.
    ///
    /// # Errors
    /// [`Error`] of the database, [`Error::BadRow`].
    pub async fn all(store: &Store) -> Result<Vec<Self>, Error> {
        let sql = "SELECT subject, type, status, reason, message, digest, since FROM conditions ORDER BY subject, type";
        let rows = sqlx::query(sql).fetch_all(store.reader()).await;
        read_rows("conditions", "subject", &rows.map_err(|e| Error::of("list conditions", e))?)
    }

    /// Forgets the conditions of a subject.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn clear(tx: &mut Tx, subject: &str) -> Result<(), Error> {
        sqlx::query("DELETE FROM conditions WHERE subject = $1")
            .bind(subject)
            .execute(&mut **tx)
            .await
            .map_err(|e| Error::of("clear conditions", e))?;
        Ok(())
    }
}
