//! Verdicts of probes, and requests to forget failures.

use crate::error::Error;
use crate::events::{EventKind, EventRow, Subject};
use crate::open::{Store, Tx};
use crate::row::read_rows;
use crate::text_enum::text_enum;
use longshore_workflow::names::{Digest, PackageName};
use serde::Serialize;
use sqlx::FromRow;

text_enum! {
    /// The verdict of a probe.
    Verdict {
        /// The library opened and answered as its static record says.
        Sound = "sound",
        /// The library crashed, or answered otherwise: it is not loaded.
        Quarantined = "quarantined",
    }
}

/// The verdict of a probe as recorded. It holds for one environment: the host's build and the libraries beside it.
#[derive(Debug, Clone, PartialEq, Eq, FromRow, Serialize)]
pub struct VerdictRow {
    /// The digest.
    #[sqlx(try_from = "String")]
    pub digest: Digest,
    /// The environment that it holds for.
    pub environment: String,
    /// The package.
    #[sqlx(try_from = "String")]
    pub package: PackageName,
    /// The verdict.
    pub verdict: Verdict,
    /// The stable code of a refusal.
    pub code: Option<String>,
    /// The message of a refusal.
    pub message: Option<String>,
    /// When it was probed.
    #[serde(serialize_with = "crate::iso::time")]
    pub probed_at: i64,
}

impl VerdictRow {
    /// The verdict about a digest in an environment; none when no probe found one.
    ///
    /// # Errors
    /// [`Error`] of the database, [`Error::BadRow`].
    pub async fn find(store: &Store, digest: &Digest, environment: &str) -> Result<Option<Self>, Error> {
        let sql = "SELECT digest, environment, package, verdict, code, message, probed_at FROM verdicts \
                   WHERE digest = $1 AND environment = $2";
        let query = sqlx::query(sql).bind(digest.as_str()).bind(environment);
        let rows = query.fetch_all(store.reader()).await.map_err(|e| Error::of("find a verdict", e))?;
        Ok(read_rows("verdicts", "digest", &rows)?.pop())
    }

    /// The verdicts about all digests of a package, the newest first.
    ///
    /// # Errors
    /// [`Error`] of the database, [`Error::BadRow`].
    pub async fn of_package(store: &Store, package: &PackageName) -> Result<Vec<Self>, Error> {
        let sql = "SELECT digest, environment, package, verdict, code, message, probed_at FROM verdicts \
                   WHERE package = $1 ORDER BY probed_at DESC, digest";
        let rows = sqlx::query(sql).bind(package.as_str()).fetch_all(store.reader()).await;
        read_rows("verdicts", "digest", &rows.map_err(|e| Error::of("list verdicts", e))?)
    }

    /// Records the verdict, in the place of an earlier one for the same environment.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn put(&self, tx: &mut Tx) -> Result<(), Error> {
        let sql = "INSERT INTO verdicts (digest, environment, package, verdict, code, message, probed_at) \
                   VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (digest, environment) DO UPDATE SET \
                   verdict = excluded.verdict, code = excluded.code, message = excluded.message, \
                   probed_at = excluded.probed_at";
        sqlx::query(sql)
            .bind(self.digest.as_str())
            .bind(self.environment.as_str())
            .bind(self.package.as_str())
            .bind(self.verdict.as_str())
            .bind(self.code.as_deref())
            .bind(self.message.as_deref())
            .bind(self.probed_at)
            .execute(&mut **tx)
            .await
            .map_err(|e| Error::of("record a verdict", e))?;
        Ok(())
    }

    /// Asks hosts to try a package again at once: what probes found against it is forgotten, and so are its failures.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn request_retry(
        store: &Store,
        package: &PackageName,
        actor: &str,
        reason: &str,
        now: i64,
    ) -> Result<(), Error> {
        let failed = |e| Error::of("ask for a retry", e);
        let mut tx = store.begin().await?;
        sqlx::query("DELETE FROM verdicts WHERE package = $1 AND verdict <> 'sound'")
            .bind(package.as_str())
            .execute(&mut *tx)
            .await
            .map_err(failed)?;
        // Hosts compare it with the request they saw last, and not with their clocks.
        sqlx::query(
            "INSERT INTO retries (name, requested_at) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET \
             requested_at = CASE WHEN excluded.requested_at > retries.requested_at THEN excluded.requested_at \
             ELSE retries.requested_at + 1 END",
        )
        .bind(package.as_str())
        .bind(now)
        .execute(&mut *tx)
        .await
        .map_err(failed)?;
        let message = format!("asked to be tried again by {actor}: {reason}");
        EventRow::append(&mut tx, Subject::Package(package), EventKind::Override, &message, now).await?;
        store.commit(tx).await
    }
}
