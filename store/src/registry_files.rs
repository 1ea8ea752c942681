//! The files of a package registry in this database: small ones whole, archives in chunks.

use crate::error::Error;
use crate::open::{Store, Tx};
use crate::row::get;

/// The size of a chunk of an archive, but for the last.
pub const ARCHIVE_CHUNK: usize = 1 << 20;

/// A small file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegistryDocument {
    /// Counts its changes.
    pub revision: i64,
    /// Its bytes; none of a file that is larger than was asked for.
    pub body: Option<Vec<u8>>,
}

/// The files of the registry.
#[derive(Debug)]
pub struct RegistryFiles;

impl RegistryFiles {
    /// A small file, whose bytes are left out when there are more than so many; none when it is not there.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn document(store: &Store, path: &str, limit: i64) -> Result<Option<RegistryDocument>, Error> {
        let sql = "SELECT revision, CASE WHEN LENGTH(body) <= $1 THEN body END AS body FROM registry_documents WHERE path = $2";
        let row = sqlx::query(sql).bind(limit).bind(path).fetch_optional(store.reader()).await;
        let row = row.map_err(|e| Error::of("read a file of the registry", e))?;
        row.map(|row| Ok(RegistryDocument { revision: get(&row, "revision")?, body: get(&row, "body")? }))
            .transpose()
    }

    /// Writes a small file if it still has this revision, or is still not there. False when it does not.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn put_document(
        store: &Store,
        path: &str,
        body: &[u8],
        before: Option<i64>,
    ) -> Result<bool, Error> {
        let failed = |e| Error::of("write a file of the registry", e);
        let mut tx = store.begin().await?;
        let query = match before {
            None => sqlx::query(
                "INSERT INTO registry_documents (path, revision, body) VALUES ($1, 1, $2) ON CONFLICT DO NOTHING",
            )
            .bind(path)
            .bind(body),
            Some(before) => sqlx::query(
                "UPDATE registry_documents SET body = $1, revision = revision + 1 WHERE path = $2 AND revision = $3",
            )
            .bind(body)
            .bind(path)
            .bind(before),
        };
        let done = query.execute(&mut *tx).await.map_err(failed)?;
        store.commit(tx).await?;
        Ok(done.rows_affected() == 1)
    }

    /// The size of an archive that is whole; none when there is none.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn archive_bytes(store: &Store, path: &str) -> Result<Option<i64>, Error> {
        let sql = "SELECT bytes FROM registry_archives WHERE path = $1";
        let row = sqlx::query(sql).bind(path).fetch_optional(store.reader()).await;
        row.map_err(|e| Error::of("find an archive of the registry", e))?
            .map(|row| get(&row, "bytes"))
            .transpose()
    }

    /// One chunk of an archive; none beyond its end.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn chunk(store: &Store, path: &str, seq: i64) -> Result<Option<Vec<u8>>, Error> {
        let sql = "SELECT bytes FROM registry_chunks WHERE path = $1 AND seq = $2";
        let row = sqlx::query(sql).bind(path).bind(seq).fetch_optional(store.reader()).await;
        row.map_err(|e| Error::of("read an archive of the registry", e))?
            .map(|row| get(&row, "bytes"))
            .transpose()
    }

    /// Writes one chunk, in a transaction of its own: nobody waits for a whole archive. It takes the place of what an upload
    /// that died left.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn put_chunk(store: &Store, path: &str, seq: i64, bytes: &[u8]) -> Result<(), Error> {
        let sql = "INSERT INTO registry_chunks (path, seq, bytes) VALUES ($1, $2, $3) \
                   ON CONFLICT (path, seq) DO UPDATE SET bytes = excluded.bytes";
        let mut tx: Tx = store.begin().await?;
        let query = sqlx::query(sql).bind(path).bind(seq).bind(bytes);
        query.execute(&mut *tx).await.map_err(|e| Error::of("write an archive of the registry", e))?;
        store.commit(tx).await
    }

    /// Marks an archive whole.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn finish_archive(store: &Store, path: &str, bytes: i64) -> Result<(), Error> {
        let sql = "INSERT INTO registry_archives (path, bytes) VALUES ($1, $2) \
                   ON CONFLICT (path) DO UPDATE SET bytes = excluded.bytes";
        let mut tx: Tx = store.begin().await?;
        let query = sqlx::query(sql).bind(path).bind(bytes);
        query.execute(&mut *tx).await.map_err(|e| Error::of("finish an archive of the registry", e))?;
        store.commit(tx).await
    }
}
