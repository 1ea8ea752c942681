//! Hosts, from start to end.

use crate::error::Error;
use crate::ids::HostId;
use crate::open::{Store, Tx};
use crate::row::read_rows;
use serde::Serialize;
use sqlx::FromRow;

/// A host as recorded.
#[derive(Debug, Clone, PartialEq, Eq, FromRow, Serialize)]
pub struct HostRow {
    /// Its id.
    pub id: String,
    /// The name of its machine.
    pub name: String,
    /// The number of its process there.
    pub pid: i64,
    /// When it started.
    #[serde(serialize_with = "crate::iso::time")]
    pub started_at: i64,
    /// When it was there last.
    #[serde(serialize_with = "crate::iso::time")]
    pub seen_at: i64,
    /// When it ended; none while it runs, or died and no other host came after it.
    #[serde(serialize_with = "crate::iso::maybe")]
    pub stopped_at: Option<i64>,
    /// 1 when it ended without saying so.
    pub died: i64,
}

impl HostRow {
    /// A host that was seen within so many milliseconds runs: it says so every five seconds.
    const SEEN_MS: i64 = 15_000;

    /// Up to `limit` hosts, the one that was seen last first.
    ///
    /// # Errors
    /// [`Error`] of the database, [`Error::BadRow`].
    pub async fn newest(store: &Store, limit: i64) -> Result<Vec<Self>, Error> {
        let sql = "SELECT id, name, pid, started_at, seen_at, stopped_at, died FROM hosts \
                   ORDER BY seen_at DESC LIMIT $1";
        let rows = sqlx::query(sql).bind(limit).fetch_all(store.reader()).await;
        read_rows("hosts", "id", &rows.map_err(|e| Error::of("list hosts", e))?)
    }

    /// The hosts that run, as far as can be told at `now` milliseconds since 1970, the one that was seen last first.
    ///
    /// # Errors
    /// [`Error`] of the database, [`Error::BadRow`].
    pub async fn running(store: &Store, now: i64) -> Result<Vec<Self>, Error> {
        let sql = "SELECT id, name, pid, started_at, seen_at, stopped_at, died FROM hosts \
                   WHERE stopped_at IS NULL AND seen_at >= $1 ORDER BY seen_at DESC";
        let seen = now.saturating_sub(Self::SEEN_MS);
        let rows = sqlx::query(sql).bind(seen).fetch_all(store.reader()).await;
        read_rows("hosts", "id", &rows.map_err(|e| Error::of("look for a host", e))?)
    }

    /// True when it runs, as far as can be told at `now` milliseconds since 1970.
    pub fn is_alive(&self, now: i64) -> bool {
        self.stopped_at.is_none() && self.seen_at >= now.saturating_sub(Self::SEEN_MS)
    }
}

impl Store {
    /// The latest time at which a host was there; 0 when there was none.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn last_seen(tx: &mut Tx) -> Result<i64, Error> {
        sqlx::query_scalar("SELECT COALESCE(MAX(seen_at), 0) FROM hosts")
            .fetch_one(&mut **tx)
            .await
            .map_err(|e| Error::of("look for the host before", e))
    }

    /// Records that a host started; older hosts of this database are marked stopped, and none was seen later than now.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn register_host(tx: &mut Tx, id: HostId, name: &str, pid: u32, now: i64) -> Result<(), Error> {
        let failed = |e| Error::of("register the host", e);
        sqlx::query("UPDATE hosts SET stopped_at = seen_at, died = 1 WHERE stopped_at IS NULL")
            .execute(&mut **tx)
            .await
            .map_err(failed)?;
        sqlx::query("UPDATE hosts SET seen_at = $1 WHERE seen_at > $1")
            .bind(now)
            .execute(&mut **tx)
            .await
            .map_err(failed)?;
        sqlx::query("INSERT INTO hosts (id, name, pid, started_at, seen_at) VALUES ($1, $2, $3, $4, $4)")
            .bind(id.to_string())
            .bind(name)
            .bind(i64::from(pid))
            .bind(now)
            .execute(&mut **tx)
            .await
            .map_err(failed)?;
        Ok(())
    }

    /// Records that a host is there, or has stopped.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn heartbeat(tx: &mut Tx, id: HostId, stopped: bool, now: i64) -> Result<(), Error> {
        sqlx::query("UPDATE hosts SET seen_at = $1, stopped_at = $2 WHERE id = $3")
            .bind(now)
            .bind(stopped.then_some(now))
            .bind(id.to_string())
            .execute(&mut **tx)
            .await
            .map_err(|e| Error::of("heartbeat", e))?;
        Ok(())
    }
}
