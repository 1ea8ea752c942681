//! The next fire of each cron trigger.

use crate::error::Error;
use crate::open::{Store, Tx};
use sqlx::FromRow;

/// A schedule as recorded.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct ScheduleRow {
    /// The trigger.
    pub name: String,
    /// The workflow it starts.
    pub workflow: String,
    /// Five to seven fields.
    pub expression: String,
    /// IANA name.
    pub timezone: String,
    /// When it fires next, none when it never will.
    pub next_at: Option<i64>,
}

impl ScheduleRow {
    /// All schedules, by name.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn all(store: &Store) -> Result<Vec<Self>, Error> {
        sqlx::query_as("SELECT name, workflow, expression, timezone, next_at FROM schedules ORDER BY name")
            .fetch_all(store.reader())
            .await
            .map_err(|e| Error::of("list schedules", e))
    }

    /// Forgets a schedule.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn delete(tx: &mut Tx, name: &str) -> Result<(), Error> {
        let done = sqlx::query("DELETE FROM schedules WHERE name = $1").bind(name).execute(&mut **tx).await;
        done.map(drop).map_err(|e| Error::of("forget a schedule", e))
    }

    /// Records a schedule and its next fire.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn put(&self, tx: &mut Tx, now: i64) -> Result<(), Error> {
        sqlx::query(
            "INSERT INTO schedules (name, workflow, expression, timezone, next_at, updated_at) \
             VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (name) DO UPDATE SET workflow = excluded.workflow, \
             expression = excluded.expression, timezone = excluded.timezone, next_at = excluded.next_at, \
             updated_at = excluded.updated_at",
        )
        .bind(self.name.clone())
        .bind(self.workflow.clone())
        .bind(self.expression.clone())
        .bind(self.timezone.clone())
        .bind(self.next_at)
        .bind(now)
        .execute(&mut **tx)
        .await
        .map_err(|e| Error::of("record a schedule", e))?;
        Ok(())
    }
}
