//! Packages, artifacts and entries.

use crate::batch::{Column::Int, Column::Text, MAX_ROWS, Many, in_json, json_of};
use crate::error::Error;
use crate::open::{Store, Tx};
use crate::words::{read_rows, words};
use serde::Serialize;
use sqlx::{AssertSqlSafe, FromRow};

words! {
    /// What is wanted of a package.
    PackageState {
        /// It is to be loaded.
        Desired = "desired",
        /// It is to be gone.
        Removed = "removed",
    }
}

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
    /// What is wanted of it.
    pub state: PackageState,
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
    /// The library's file name in the private place.
    pub library: &'a str,
    /// SHA-256 of the library, in hex.
    pub library_sha256: &'a str,
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
    /// The library's file name in the private place; none in rows of older programs.
    pub library: Option<String>,
    /// SHA-256 of the library, in hex; none in rows of older programs.
    pub library_sha256: Option<String>,
    /// The manifest's text.
    pub manifest: String,
    /// What the probe said: `passed`, or the reason it did not.
    pub probe: Option<String>,
    /// When it was probed.
    pub probed_at: Option<i64>,
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

static PUT_PACKAGES: Many = Many::new(
    "INSERT INTO packages (name, version, digest, source, state, actor, reason, updated_at) \
     SELECT * FROM (VALUES ",
    &[Text, Text, Text, Text, Text, Text, Text, Int],
    ") AS v WHERE v.column1 IS NOT NULL ON CONFLICT (name) DO UPDATE SET \
     version = excluded.version, digest = excluded.digest, source = excluded.source, \
     state = excluded.state, actor = excluded.actor, reason = excluded.reason, \
     updated_at = excluded.updated_at",
);

static INSERT_ARTIFACTS: Many = Many::new(
    "INSERT INTO artifacts (digest, name, version, target, bytes, library, library_sha256, manifest, added_at) \
     SELECT * FROM (VALUES ",
    &[Text, Text, Text, Text, Int, Text, Text, Text, Int],
    ") AS v WHERE v.column1 IS NOT NULL ON CONFLICT (digest) DO UPDATE SET \
     library = excluded.library, library_sha256 = excluded.library_sha256",
);

static INSERT_ENTRIES: Many = Many::new(
    "INSERT INTO entries (digest, kind, name, detail) SELECT * FROM (VALUES ",
    &[Text, Text, Text, Text],
    ") AS v WHERE v.column1 IS NOT NULL ON CONFLICT DO NOTHING",
);

impl PackageRow {
    /// Records what is desired, one row a name.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn put(tx: &mut Tx, packages: &[Self]) -> Result<(), Error> {
        for chunk in packages.chunks(MAX_ROWS) {
            let rows = chunk.iter().flat_map(|p| {
                [
                    p.name.clone().into(),
                    p.version.clone().into(),
                    p.digest.clone().into(),
                    p.source.clone().into(),
                    p.state.as_str().into(),
                    p.actor.clone().into(),
                    p.reason.clone().into(),
                    p.updated_at.into(),
                ]
            });
            let query = PUT_PACKAGES.query(tx, rows.collect());
            query.execute(&mut **tx).await.map_err(|e| Error::of("record packages", e))?;
        }
        Ok(())
    }

    /// All packages, by name.
    ///
    /// # Errors
    /// [`Error`] of the database, [`Error::BadRow`].
    pub async fn all(store: &Store) -> Result<Vec<Self>, Error> {
        let sql = "SELECT name, version, digest, source, state, actor, reason, updated_at FROM packages ORDER BY name";
        let rows = sqlx::query(sql).fetch_all(store.reader()).await;
        read_rows("packages", "name", &rows.map_err(|e| Error::of("list packages", e))?)
    }
}

impl NewArtifact<'_> {
    /// Records digests; one that is known stays as it is.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn insert(tx: &mut Tx, artifacts: &[Self], now: i64) -> Result<(), Error> {
        for chunk in artifacts.chunks(MAX_ROWS) {
            let rows = chunk.iter().flat_map(|a| {
                [
                    a.digest.into(),
                    a.name.into(),
                    a.version.into(),
                    a.target.into(),
                    a.bytes.into(),
                    a.library.into(),
                    a.library_sha256.into(),
                    a.manifest.into(),
                    now.into(),
                ]
            });
            let query = INSERT_ARTIFACTS.query(tx, rows.collect());
            query.execute(&mut **tx).await.map_err(|e| Error::of("record artifacts", e))?;
        }
        Ok(())
    }
}

impl ArtifactRow {
    /// One artifact.
    ///
    /// # Errors
    /// [`Error`] of the database, [`Error::BadRow`].
    pub async fn find(store: &Store, digest: &str) -> Result<Option<Self>, Error> {
        let sql = "SELECT digest, name, version, target, bytes, library, library_sha256, manifest, probe, probed_at \
                   FROM artifacts WHERE digest = $1";
        let rows = sqlx::query(sql).bind(digest).fetch_all(store.reader()).await;
        Ok(read_rows("artifacts", "digest", &rows.map_err(|e| Error::of("find an artifact", e))?)?.pop())
    }

    /// Every digest of a package, the one that was taken in last first.
    ///
    /// # Errors
    /// [`Error`] of the database, [`Error::BadRow`].
    pub async fn of_package(store: &Store, package: &str) -> Result<Vec<Self>, Error> {
        let sql = "SELECT digest, name, version, target, bytes, library, library_sha256, manifest, probe, probed_at \
                   FROM artifacts WHERE name = $1 ORDER BY added_at DESC, digest";
        let rows = sqlx::query(sql).bind(package).fetch_all(store.reader()).await;
        read_rows("artifacts", "digest", &rows.map_err(|e| Error::of("list artifacts", e))?)
    }

    /// Digests of a package that have a private copy, beyond the newest ones, at most so many.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn older_copies(
        store: &Store,
        package: &str,
        newest: i64,
        at_most: i64,
    ) -> Result<Vec<String>, Error> {
        let sql = "SELECT digest FROM artifacts WHERE name = $1 AND library IS NOT NULL \
                   ORDER BY added_at DESC, digest LIMIT $2 OFFSET $3";
        let query = sqlx::query_scalar(sql).bind(package).bind(at_most).bind(newest);
        query.fetch_all(store.reader()).await.map_err(|e| Error::of("list older copies", e))
    }

    /// Records that the private copies of digests are gone.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn forget_copies(tx: &mut Tx, digests: &[String]) -> Result<(), Error> {
        let sql = format!(
            "UPDATE artifacts SET library = NULL, library_sha256 = NULL WHERE digest {}",
            in_json(tx, 1)
        );
        let query = sqlx::query(AssertSqlSafe(sql)).bind(json_of(digests));
        query.execute(&mut **tx).await.map_err(|e| Error::of("forget copies", e))?;
        Ok(())
    }

    /// Records that a digest was taken in again: it counts as the newest.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn renew(tx: &mut Tx, digest: &str, now: i64) -> Result<(), Error> {
        let query =
            sqlx::query("UPDATE artifacts SET added_at = $1 WHERE digest = $2").bind(now).bind(digest);
        query.execute(&mut **tx).await.map_err(|e| Error::of("renew an artifact", e))?;
        Ok(())
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
    /// Records the entries of digests; those that are known stay as they are.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn insert(tx: &mut Tx, entries: &[(&str, Self)]) -> Result<(), Error> {
        for chunk in entries.chunks(MAX_ROWS) {
            let rows = chunk.iter().flat_map(|(digest, e)| {
                [(*digest).into(), e.kind.clone().into(), e.name.clone().into(), e.detail.clone().into()]
            });
            let query = INSERT_ENTRIES.query(tx, rows.collect());
            query.execute(&mut **tx).await.map_err(|e| Error::of("record entries", e))?;
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
