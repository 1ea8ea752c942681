//! Conditions (what is so now) and events (what happened).

use crate::error::Error;
use crate::open::{Store, Tx};
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

/// A condition to set.
#[derive(Debug, Clone, Copy)]
pub struct NewCondition<'a> {
    /// About what.
    pub subject: &'a str,
    /// `Accepted`, `Loaded`, `Ready`, `Draining`, `Quarantined`, ..
    pub kind: &'a str,
    /// `true`, `false` or `unknown`.
    pub status: &'a str,
    /// A stable code or one word.
    pub reason: &'a str,
    /// For people.
    pub message: &'a str,
    /// The digest this was observed of.
    pub digest: &'a str,
}

/// A condition as recorded.
#[derive(Debug, Clone, PartialEq, Eq, FromRow, Serialize)]
pub struct ConditionRow {
    /// About what.
    pub subject: String,
    /// `Accepted`, `Loaded`, `Ready`, ..
    #[sqlx(rename = "type")]
    #[serde(rename = "type")]
    pub kind: String,
    /// `true`, `false` or `unknown`.
    pub status: String,
    /// A stable code or one word.
    pub reason: String,
    /// For people.
    pub message: String,
    /// The digest this was observed of.
    pub digest: String,
    /// Since when the status is what it is.
    pub since: i64,
}

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
        sqlx::query("INSERT INTO events (id, at, subject, kind, message) VALUES ($1, $2, $3, $4, $5)")
            .bind(Uuid::now_v7().to_string())
            .bind(now)
            .bind(subject)
            .bind(kind)
            .bind(cut(message))
            .execute(&mut **tx)
            .await
            .map_err(|e| Error::of("append an event", e))?;
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
    /// Sets the condition; its `since` changes only with its status.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn set(&self, tx: &mut Tx, now: i64) -> Result<(), Error> {
        sqlx::query(
            "INSERT INTO conditions (subject, type, status, reason, message, digest, since) \
             VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (subject, type) DO UPDATE SET \
             since = CASE WHEN conditions.status = excluded.status THEN conditions.since ELSE excluded.since END, \
             status = excluded.status, reason = excluded.reason, message = excluded.message, \
             digest = excluded.digest",
        )
        .bind(self.subject)
        .bind(self.kind)
        .bind(self.status)
        .bind(self.reason)
        .bind(cut(self.message))
        .bind(self.digest)
        .bind(now)
        .execute(&mut **tx)
        .await
        .map_err(|e| Error::of("set a condition", e))?;
        Ok(())
    }
}

impl ConditionRow {
    /// All conditions, by subject.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn all(store: &Store) -> Result<Vec<Self>, Error> {
        sqlx::query_as(
            "SELECT subject, type, status, reason, message, digest, since FROM conditions ORDER BY subject, type",
        )
        .fetch_all(store.reader())
        .await
        .map_err(|e| Error::of("list conditions", e))
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
