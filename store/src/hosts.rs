//! Hosts, from start to end.

use crate::error::Error;
use crate::ids::HostId;
use crate::open::{Store, Tx};

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

    /// True when a host was there since a time and has not stopped.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn has_host_since(&self, time: i64) -> Result<bool, Error> {
        let sql = "SELECT COUNT(*) FROM hosts WHERE stopped_at IS NULL AND seen_at >= $1";
        let hosts: i64 = sqlx::query_scalar(sql)
            .bind(time)
            .fetch_one(self.reader())
            .await
            .map_err(|e| Error::of("look for a host", e))?;
        Ok(hosts > 0)
    }

    /// Records that a host started; older hosts of this database are marked stopped, and none was seen later than now.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn register_host(tx: &mut Tx, id: HostId, name: &str, pid: u32, now: i64) -> Result<(), Error> {
        let failed = |e| Error::of("register the host", e);
        sqlx::query("UPDATE hosts SET stopped_at = seen_at WHERE stopped_at IS NULL")
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
