//! Hosts, packages, artifacts, generations and entries.

use crate::batch::{MAX_ROWS, Rows};
use crate::error::Error;
use crate::ids::{GenerationId, HostId};
use crate::open::{Store, Tx};
use serde::Serialize;
use sqlx::FromRow;

/// A package as desired.
#[derive(Debug, Clone, PartialEq, Eq, FromRow, Serialize)]
pub struct PackageRow {
    /// The name.
    pub name: String,
    /// The version.
    pub version: String,
    /// The digest.
    pub digest: String,
    /// Where it came from.
    pub source: String,
    /// `desired`, `removed` or `refused`.
    pub state: String,
    /// Who wanted it so.
    pub actor: String,
    /// Why.
    pub reason: String,
    /// When that was.
    pub updated_at: i64,
}

/// A digest that was taken in.
#[derive(Debug, Clone)]
pub struct NewArtifact<'a> {
    /// The digest.
    pub digest: &'a str,
    /// The package's name.
    pub name: &'a str,
    /// The package's version.
    pub version: &'a str,
    /// The target that was picked.
    pub target: &'a str,
    /// Size of the library.
    pub bytes: i64,
    /// The manifest's text.
    pub manifest: &'a str,
}

/// An artifact as recorded.
#[derive(Debug, Clone, PartialEq, Eq, FromRow, Serialize)]
pub struct ArtifactRow {
    /// The digest.
    pub digest: String,
    /// The package's name.
    pub name: String,
    /// The package's version.
    pub version: String,
    /// The target that was picked.
    pub target: String,
    /// Size of the library.
    pub bytes: i64,
    /// What the probe said: `passed`, or the reason it did not.
    pub probe: Option<String>,
    /// When it was probed.
    pub probed_at: Option<i64>,
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
    /// `loading`, `active`, `draining`, `unloaded` or `lost`.
    pub state: String,
    /// How many of the six load steps are done.
    pub step: i64,
    /// When loading began.
    pub loaded_at: i64,
    /// When it was unloaded.
    pub unloaded_at: Option<i64>,
    /// Whether its memory was given back: `unmapped`, or `pinned` with bytes.
    pub released: Option<String>,
}

/// An entry of a digest.
#[derive(Debug, Clone, PartialEq, Eq, FromRow, Serialize)]
pub struct EntryRow {
    /// `workflow`, `task`, `trigger`, `reactor` or `graph`.
    pub kind: String,
    /// The full name.
    pub name: String,
    /// Everything else, as JSON.
    pub detail: String,
}

const GENERATION: &str =
    "id, host_id, digest, package, version, state, step, loaded_at, unloaded_at, released";

impl Store {
    /// Records that a host started; older hosts of this file are marked stopped.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn register_host(tx: &mut Tx, id: HostId, name: &str, pid: u32, now: i64) -> Result<(), Error> {
        let failed = |e| Error::of("register the host", e);
        sqlx::query("UPDATE hosts SET stopped_at = seen_at WHERE stopped_at IS NULL")
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

impl PackageRow {
    /// Records what is desired.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn put(&self, tx: &mut Tx) -> Result<(), Error> {
        sqlx::query(
            "INSERT INTO packages (name, version, digest, source, state, actor, reason, updated_at) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (name) DO UPDATE SET \
             version = excluded.version, digest = excluded.digest, source = excluded.source, \
             state = excluded.state, actor = excluded.actor, reason = excluded.reason, \
             updated_at = excluded.updated_at",
        )
        .bind(self.name.clone())
        .bind(self.version.clone())
        .bind(self.digest.clone())
        .bind(self.source.clone())
        .bind(self.state.clone())
        .bind(self.actor.clone())
        .bind(self.reason.clone())
        .bind(self.updated_at)
        .execute(&mut **tx)
        .await
        .map_err(|e| Error::of("record a package", e))?;
        Ok(())
    }

    /// All packages, by name.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn all(store: &Store) -> Result<Vec<Self>, Error> {
        sqlx::query_as(
            "SELECT name, version, digest, source, state, actor, reason, updated_at FROM packages ORDER BY name",
        )
        .fetch_all(store.reader())
        .await
        .map_err(|e| Error::of("list packages", e))
    }
}

impl NewArtifact<'_> {
    /// Records a digest; one that is known stays as it is.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn insert(&self, tx: &mut Tx, now: i64) -> Result<(), Error> {
        sqlx::query(
            "INSERT INTO artifacts (digest, name, version, target, bytes, manifest, added_at) \
             VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (digest) DO NOTHING",
        )
        .bind(self.digest)
        .bind(self.name)
        .bind(self.version)
        .bind(self.target)
        .bind(self.bytes)
        .bind(self.manifest)
        .bind(now)
        .execute(&mut **tx)
        .await
        .map_err(|e| Error::of("record an artifact", e))?;
        Ok(())
    }
}

impl ArtifactRow {
    /// One artifact.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn find(store: &Store, digest: &str) -> Result<Option<Self>, Error> {
        sqlx::query_as(
            "SELECT digest, name, version, target, bytes, probe, probed_at FROM artifacts WHERE digest = $1",
        )
        .bind(digest)
        .fetch_optional(store.reader())
        .await
        .map_err(|e| Error::of("find an artifact", e))
    }

    /// Records what the probe of a digest said.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn set_probe(tx: &mut Tx, digest: &str, probe: &str, now: i64) -> Result<(), Error> {
        sqlx::query("UPDATE artifacts SET probe = $1, probed_at = $2 WHERE digest = $3")
            .bind(probe)
            .bind(now)
            .bind(digest)
            .execute(&mut **tx)
            .await
            .map_err(|e| Error::of("record a probe", e))?;
        Ok(())
    }
}

impl EntryRow {
    /// Records the entries of a digest; those that are known stay as they are.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn insert(tx: &mut Tx, digest: &str, entries: &[Self]) -> Result<(), Error> {
        for chunk in entries.chunks(MAX_ROWS) {
            let rows = chunk.iter().map(|e| {
                vec![digest.into(), e.kind.clone().into(), e.name.clone().into(), e.detail.clone().into()]
            });
            let rows = Rows::padded(rows.collect());
            let sql = format!(
                "INSERT INTO entries (digest, kind, name, detail) VALUES {} ON CONFLICT DO NOTHING",
                rows.values
            );
            rows.query(tx, sql).execute(&mut **tx).await.map_err(|e| Error::of("record entries", e))?;
        }
        Ok(())
    }

    /// The entries of a digest.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn of(store: &Store, digest: &str) -> Result<Vec<Self>, Error> {
        sqlx::query_as("SELECT kind, name, detail FROM entries WHERE digest = $1 ORDER BY kind, name")
            .bind(digest)
            .fetch_all(store.reader())
            .await
            .map_err(|e| Error::of("list entries", e))
    }
}

impl NewGeneration<'_> {
    /// Records that loading begins.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn insert(&self, tx: &mut Tx, now: i64) -> Result<(), Error> {
        sqlx::query(
            "INSERT INTO generations (id, host_id, digest, package, version, state, step, loaded_at) \
             VALUES ($1, $2, $3, $4, $5, 'loading', 0, $6)",
        )
        .bind(self.id.to_string())
        .bind(self.host.to_string())
        .bind(self.digest)
        .bind(self.package)
        .bind(self.version)
        .bind(now)
        .execute(&mut **tx)
        .await
        .map_err(|e| Error::of("record a generation", e))?;
        Ok(())
    }
}

impl GenerationRow {
    /// Records how far loading or unloading got.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn set_step(tx: &mut Tx, id: GenerationId, state: &str, step: i64) -> Result<(), Error> {
        sqlx::query("UPDATE generations SET state = $1, step = $2 WHERE id = $3")
            .bind(state)
            .bind(step)
            .bind(id.to_string())
            .execute(&mut **tx)
            .await
            .map_err(|e| Error::of("record a load step", e))?;
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
    /// [`Error`] of the database.
    pub async fn newest(store: &Store, package: &str, limit: i64) -> Result<Vec<Self>, Error> {
        let sql = format!(
            "SELECT {GENERATION} FROM generations WHERE $1 = '' OR package = $1 ORDER BY id DESC LIMIT $2"
        );
        sqlx::query_as(sqlx::AssertSqlSafe(sql))
            .bind(package)
            .bind(limit)
            .fetch_all(store.reader())
            .await
            .map_err(|e| Error::of("list generations", e))
    }
}
