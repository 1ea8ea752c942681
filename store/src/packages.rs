//! Packages, artifacts and entries.

use crate::batch::{BatchStatement, Column::Int, Column::Text, MAX_ROWS, in_json, json_of};
use crate::error::Error;
use crate::open::{Store, Tx};
use crate::row::{digest_of, get, read_rows};
use crate::text_enum::text_enum;
use longshore_workflow::names::{Digest, PackageName};
use serde::Serialize;
use sqlx::{AssertSqlSafe, FromRow};

text_enum! {
    /// The desired state of a package.
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
    #[sqlx(try_from = "String")]
    pub name: PackageName,
    /// The version.
    pub version: String,
    /// The digest.
    #[sqlx(try_from = "String")]
    pub digest: Digest,
    /// Where it came from.
    pub source: String,
    /// The desired state.
    pub state: PackageState,
    /// The actor whose decision it is.
    pub actor: String,
    /// Why.
    pub reason: String,
    /// When that was.
    #[serde(serialize_with = "crate::iso::time")]
    pub updated_at: i64,
}

/// A digest that was taken in.
#[derive(Debug, Clone)]
pub struct NewArtifact<'a> {
    /// The digest.
    pub digest: &'a Digest,
    /// The package's name.
    pub name: &'a PackageName,
    /// The package's version.
    pub version: &'a str,
    /// The target that was picked.
    pub target: &'a str,
    /// Size of the library.
    pub bytes: i64,
    /// The library's file name in the artifact cache.
    pub library: &'a str,
    /// SHA-256 of the library, in hex.
    pub library_sha256: &'a str,
    /// The manifest's text.
    pub manifest: &'a str,
    /// Its signatures, armored, one after the other; an empty text leaves the recorded ones.
    pub signatures: &'a str,
}

/// An artifact as recorded.
#[derive(Debug, Clone, PartialEq, Eq, FromRow, Serialize)]
pub struct ArtifactRow {
    /// The digest.
    #[sqlx(try_from = "String")]
    pub digest: Digest,
    /// The package's name.
    #[sqlx(try_from = "String")]
    pub name: PackageName,
    /// The package's version.
    pub version: String,
    /// The target that was picked.
    pub target: String,
    /// Size of the library.
    pub bytes: i64,
    /// The library's file name in the artifact cache; none once it is evicted.
    pub library: Option<String>,
    /// SHA-256 of the library, in hex; none once it is evicted.
    pub library_sha256: Option<String>,
    /// The manifest's text.
    pub manifest: String,
    /// Its signatures, armored, one after the other.
    pub signatures: String,
    /// Time of the first take-in, in milliseconds since 1970.
    #[serde(serialize_with = "crate::iso::time")]
    pub first_added_at: i64,
}

text_enum! {
    /// The kind of an entry.
    EntryKind {
        /// A workflow.
        Workflow = "workflow",
        /// A task of a workflow.
        Task = "task",
        /// A trigger.
        Trigger = "trigger",
        /// A reactor.
        Reactor = "reactor",
        /// A computation graph.
        Graph = "graph",
    }
}

/// An entry of a digest.
#[derive(Debug, Clone, PartialEq, Eq, FromRow, Serialize)]
pub struct EntryRow {
    /// Its kind.
    pub kind: EntryKind,
    /// The full name.
    pub name: String,
    /// Everything else, as JSON.
    pub detail: String,
}

static PUT_PACKAGES: BatchStatement = BatchStatement::new(
    "INSERT INTO packages (name, version, digest, source, state, actor, reason, updated_at) \
     SELECT * FROM (VALUES ",
    &[Text, Text, Text, Text, Text, Text, Text, Int],
    ") AS v WHERE v.column1 IS NOT NULL ON CONFLICT (name) DO UPDATE SET \
     version = excluded.version, digest = excluded.digest, source = excluded.source, \
     state = excluded.state, actor = excluded.actor, reason = excluded.reason, \
     updated_at = excluded.updated_at",
);

static INSERT_ARTIFACTS: BatchStatement = BatchStatement::new(
    "INSERT INTO artifacts (digest, name, version, target, bytes, library, library_sha256, manifest, signatures, \
     first_added_at, added_at) \
     SELECT * FROM (VALUES ",
    &[Text, Text, Text, Text, Int, Text, Text, Text, Text, Int, Int],
    ") AS v WHERE v.column1 IS NOT NULL ON CONFLICT (digest) DO UPDATE SET \
     library = excluded.library, library_sha256 = excluded.library_sha256, signatures = CASE excluded.signatures \
     WHEN '' THEN artifacts.signatures ELSE excluded.signatures END",
);

static INSERT_ENTRIES: BatchStatement = BatchStatement::new(
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
                    p.name.as_str().into(),
                    p.version.clone().into(),
                    p.digest.as_str().into(),
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

    /// The row of a package, when it has one.
    ///
    /// # Errors
    /// [`Error`] of the database, [`Error::BadRow`].
    pub async fn find(store: &Store, name: &PackageName) -> Result<Option<Self>, Error> {
        let sql = "SELECT name, version, digest, source, state, actor, reason, updated_at \
                   FROM packages WHERE name = $1";
        let rows = sqlx::query(sql).bind(name.as_str()).fetch_all(store.reader()).await;
        Ok(read_rows("packages", "name", &rows.map_err(|e| Error::of("find a package", e))?)?.pop())
    }

    /// Every package, by name.
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
                    a.digest.as_str().into(),
                    a.name.as_str().into(),
                    a.version.into(),
                    a.target.into(),
                    a.bytes.into(),
                    a.library.into(),
                    a.library_sha256.into(),
                    a.manifest.into(),
                    a.signatures.into(),
                    now.into(),
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
    pub async fn find(store: &Store, digest: &Digest) -> Result<Option<Self>, Error> {
        let sql = "SELECT digest, name, version, target, bytes, library, library_sha256, manifest, signatures, first_added_at \
                   FROM artifacts WHERE digest = $1";
        let rows = sqlx::query(sql).bind(digest.as_str()).fetch_all(store.reader()).await;
        Ok(read_rows("artifacts", "digest", &rows.map_err(|e| Error::of("find an artifact", e))?)?.pop())
    }

    /// Records the signatures of a digest.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn set_signatures(tx: &mut Tx, digest: &Digest, signatures: &str) -> Result<(), Error> {
        let query = sqlx::query("UPDATE artifacts SET signatures = $1 WHERE digest = $2");
        let query = query.bind(signatures).bind(digest.as_str());
        query.execute(&mut **tx).await.map_err(|e| Error::of("record signatures", e))?;
        Ok(())
    }

    /// Every digest of a package, the one that was taken in last first.
    ///
    /// # Errors
    /// [`Error`] of the database, [`Error::BadRow`].
    pub async fn of_package(store: &Store, package: &PackageName) -> Result<Vec<Self>, Error> {
        let sql = "SELECT digest, name, version, target, bytes, library, library_sha256, manifest, signatures, first_added_at \
                   FROM artifacts WHERE name = $1 ORDER BY added_at DESC, digest";
        let rows = sqlx::query(sql).bind(package.as_str()).fetch_all(store.reader()).await;
        read_rows("artifacts", "digest", &rows.map_err(|e| Error::of("list artifacts", e))?)
    }

    /// Digests of a package in the artifact cache beyond the `keep` newest ones, at most `limit`.
    ///
    /// # Errors
    /// [`Error`] of the database, [`Error::BadRow`].
    pub async fn cached_beyond(
        store: &Store,
        package: &PackageName,
        keep: i64,
        limit: i64,
    ) -> Result<Vec<Digest>, Error> {
        let sql = "SELECT digest FROM artifacts WHERE name = $1 AND library IS NOT NULL \
                   ORDER BY added_at DESC, digest LIMIT $2 OFFSET $3";
        let query = sqlx::query(sql).bind(package.as_str()).bind(limit).bind(keep);
        let rows =
            query.fetch_all(store.reader()).await.map_err(|e| Error::of("list cached artifacts", e))?;
        rows.iter().map(|row| digest_of(row, "artifacts")).collect()
    }

    /// Records that digests were evicted from the artifact cache, and forgets what probes found out about them.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn evicted(tx: &mut Tx, digests: &[Digest]) -> Result<(), Error> {
        let among = in_json(tx, 1);
        for change in ["UPDATE artifacts SET library = NULL, library_sha256 = NULL", "DELETE FROM verdicts"] {
            let query =
                sqlx::query(AssertSqlSafe(format!("{change} WHERE digest {among}"))).bind(json_of(digests));
            query.execute(&mut **tx).await.map_err(|e| Error::of("record evicted artifacts", e))?;
        }
        Ok(())
    }

    /// Records that a digest was taken in again: it counts as the newest.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn renew(tx: &mut Tx, digest: &Digest, now: i64) -> Result<(), Error> {
        let query = sqlx::query("UPDATE artifacts SET added_at = $1 WHERE digest = $2");
        let query = query.bind(now).bind(digest.as_str());
        query.execute(&mut **tx).await.map_err(|e| Error::of("renew an artifact", e))?;
        Ok(())
    }
}

impl EntryRow {
    /// Records the entries of digests; those that are known stay as they are.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn insert(tx: &mut Tx, entries: &[(&Digest, Self)]) -> Result<(), Error> {
        for chunk in entries.chunks(MAX_ROWS) {
            let rows = chunk.iter().flat_map(|(digest, e)| {
                [
                    digest.as_str().into(),
                    e.kind.as_str().into(),
                    e.name.clone().into(),
                    e.detail.clone().into(),
                ]
            });
            let query = INSERT_ENTRIES.query(tx, rows.collect());
            query.execute(&mut **tx).await.map_err(|e| Error::of("record entries", e))?;
        }
        Ok(())
    }

    /// The entries of a kind of every desired package, by package and name.
    ///
    /// # Errors
    /// [`Error`] of the database, [`Error::BadRow`].
    pub async fn desired(store: &Store, kind: EntryKind) -> Result<Vec<(PackageName, Self)>, Error> {
        let sql = "SELECT p.name AS package, e.kind, e.name, e.detail FROM packages p \
                   JOIN entries e ON e.digest = p.digest \
                   WHERE p.state = 'desired' AND e.kind = $1 ORDER BY p.name, e.name";
        let rows = sqlx::query(sql).bind(kind.as_str()).fetch_all(store.reader()).await;
        let rows = rows.map_err(|e| Error::of("list entries", e))?;
        let packages = rows.iter().map(|row| Ok(PackageName::from(get::<String>(row, "package")?)));
        let packages: Vec<PackageName> = packages.collect::<Result<_, Error>>()?;
        Ok(packages.into_iter().zip(read_rows("entries", "name", &rows)?).collect())
    }

    /// The entries of a digest.
    ///
    /// # Errors
    /// [`Error`] of the database, [`Error::BadRow`].
    pub async fn of(store: &Store, digest: &Digest) -> Result<Vec<Self>, Error> {
        let sql = "SELECT kind, name, detail FROM entries WHERE digest = $1 ORDER BY kind, name";
        let rows = sqlx::query(sql).bind(digest.as_str()).fetch_all(store.reader()).await;
        read_rows("entries", "name", &rows.map_err(|e| Error::of("list entries", e))?)
    }
}
