//! Ended runs and old records that are not kept any more.

use crate::batch::{in_json, json_of};
use crate::error::Error;
use crate::ids::RunId;
use crate::open::{Store, Tx};
use crate::row::get;
use crate::runs::RunState;
use longshore_workflow::names::TenantId;
use sqlx::any::AnyRow;
use sqlx::{AssertSqlSafe, Row};

/// A run as far as it matters to whether it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunAge {
    /// The run.
    pub id: RunId,
    /// Its tenant.
    pub tenant: TenantId,
    /// Its workflow.
    pub workflow: String,
    /// The run's state.
    pub state: RunState,
    /// The time of its end.
    pub finished_at: Option<i64>,
}

/// Runs from the newest to the oldest.
#[derive(Debug, Default)]
pub struct RunPage {
    /// Those that read.
    pub runs: Vec<RunAge>,
    /// The id of the last one, to go on after; none when there are no more.
    pub last: Option<String>,
    /// Why others do not read.
    pub unreadable: Vec<Error>,
}

impl RunPage {
    /// Up to `limit` runs after the last one of another page.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn after(store: &Store, last: Option<&str>, limit: i64) -> Result<Self, Error> {
        let sql = "SELECT id, tenant, workflow, state, finished_at FROM runs WHERE id < $1 ORDER BY id DESC LIMIT $2";
        // No id is greater: they are written in hexadecimal.
        let query = sqlx::query(sql).bind(last.unwrap_or("g").to_owned()).bind(limit);
        let rows = query.fetch_all(store.reader()).await.map_err(|e| Error::of("look for old runs", e))?;
        let mut page = Self::default();
        for row in &rows {
            let id: String = get(row, "id")?;
            match RunAge::read(row) {
                Ok(run) => page.runs.push(run),
                Err(error) => page.unreadable.push(Error::undecodable("runs", id.clone(), error)),
            }
            page.last = Some(id);
        }
        Ok(page)
    }
}

impl RunAge {
    fn read(row: &AnyRow) -> Result<Self, sqlx::Error> {
        let id =
            RunId::parse(&row.try_get::<String, _>("id")?).map_err(|e| sqlx::Error::Decode(Box::new(e)))?;
        Ok(Self {
            id,
            tenant: row.try_get::<String, _>("tenant")?.into(),
            workflow: row.try_get("workflow")?,
            state: row.try_get("state")?,
            finished_at: row.try_get("finished_at")?,
        })
    }

    /// Deletes runs that have ended, with their tasks, attempts and events. Returns how many there were.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn delete(tx: &mut Tx, runs: &[RunId]) -> Result<u64, Error> {
        if runs.is_empty() {
            return Ok(0);
        }
        let among = in_json(tx, 1);
        // The runs first: what is open is nobody's to delete, whoever asks.
        let ended = format!("DELETE FROM runs WHERE id {among} AND finished_at IS NOT NULL RETURNING id");
        let failed = |e| Error::of("delete old runs", e);
        let query = sqlx::query(AssertSqlSafe(ended)).bind(json_of(runs));
        let rows = query.fetch_all(&mut **tx).await.map_err(failed)?;
        let deleted: Vec<String> = rows.iter().map(|row| get(row, "id")).collect::<Result<_, _>>()?;
        for table in ["attempts", "tasks"] {
            let sql = format!("DELETE FROM {table} WHERE run_id {among}");
            let query = sqlx::query(AssertSqlSafe(sql)).bind(json_of(&deleted));
            query.execute(&mut **tx).await.map_err(failed)?;
        }
        let subjects: Vec<String> = deleted.iter().map(|id| format!("run/{id}")).collect();
        let sql = format!("DELETE FROM events WHERE subject {among}");
        let query = sqlx::query(AssertSqlSafe(sql)).bind(json_of(&subjects));
        query.execute(&mut **tx).await.map_err(failed)?;
        Ok(deleted.len() as u64)
    }
}

/// The tables of which only the age counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Log {
    /// Events.
    Events,
    /// Dead letters of reactors.
    DeadLetters,
}

impl Log {
    /// Deletes up to `limit` of the rows from before a time, the oldest first. Returns how many there were.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn delete_before(self, tx: &mut Tx, time: i64, limit: i64) -> Result<u64, Error> {
        let table = match self {
            Self::Events => "events",
            Self::DeadLetters => "dead_letters",
        };
        // The limit is in the text: PostgreSQL plans for a tenth of the table where it does not know it.
        let sql = format!(
            "DELETE FROM {table} WHERE id IN (SELECT id FROM {table} WHERE id < $1 ORDER BY id LIMIT {limit})"
        );
        let query = sqlx::query(AssertSqlSafe(sql)).bind(first_id_at(time));
        let done = query.execute(&mut **tx).await.map_err(|e| Error::of("delete what is old", e))?;
        Ok(done.rows_affected())
    }
}

/// The smallest id of a time: ids begin with it, in milliseconds.
fn first_id_at(time: i64) -> String {
    let ms = u64::try_from(time).unwrap_or(0) & 0xffff_ffff_ffff;
    format!("{:08x}-{:04x}", ms >> 16, ms & 0xffff)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_a_time_come_after_the_first_one_of_it_and_before_that_of_the_next() {
        let before = first_id_at(RunId::new().time_ms() - 1);
        let id = RunId::new();
        let after = first_id_at(id.time_ms() + 1);
        assert!(before < id.to_string() && id.to_string() < after, "{before} {id} {after}");
    }
}
