//! Packages that the host follows in registries.

use crate::error::Error;
use crate::events::{EventKind, EventRow, Subject};
use crate::open::Store;
use crate::row::{NullableDigest, read_rows};
use crate::text::clip;
use longshore_workflow::names::{Digest, PackageName};
use serde::Serialize;
use sqlx::FromRow;

/// Longest message of a failure, in bytes.
const MAX_MESSAGE: usize = 2048;

/// A package that the host follows: it asks the registry for a release, and stays at the one that it took in last.
#[derive(Debug, Clone, PartialEq, Eq, FromRow, Serialize)]
pub struct FollowedPackage {
    /// The package.
    #[sqlx(try_from = "String")]
    pub name: PackageName,
    /// The requirement without the name; empty for the highest version.
    pub requirement: String,
    /// The address of the registry.
    pub registry: String,
    /// Actor of the decision.
    pub actor: String,
    /// Reason of the decision.
    pub reason: String,
    /// Time of the decision, in milliseconds since 1970.
    #[serde(serialize_with = "crate::iso::time")]
    pub updated_at: i64,
    /// Version of the release that was taken in last, or empty.
    pub version: String,
    /// Digest of that release.
    #[sqlx(try_from = "NullableDigest")]
    pub digest: Option<Digest>,
    /// Time of the last answer or failure, in milliseconds since 1970.
    #[serde(serialize_with = "crate::iso::maybe")]
    pub checked_at: Option<i64>,
    /// Code of the last failure; none after an answer.
    pub code: Option<String>,
    /// Message of the last failure.
    pub message: Option<String>,
}

impl FollowedPackage {
    /// Every followed package, by name.
    ///
    /// # Errors
    /// [`Error`] of the database, [`Error::BadRow`].
    pub async fn all(store: &Store) -> Result<Vec<Self>, Error> {
        let sql = "SELECT name, requirement, registry, actor, reason, updated_at, version, digest, checked_at, code, \
                   message FROM followed_packages ORDER BY name";
        let rows = sqlx::query(sql).fetch_all(store.reader()).await;
        read_rows("followed_packages", "name", &rows.map_err(|e| Error::of("list followed packages", e))?)
    }

    /// Records that a package is followed, and the event. The release stays until the registry was asked.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn put(&self, store: &Store) -> Result<(), Error> {
        let sql = "INSERT INTO followed_packages (name, requirement, registry, actor, reason, updated_at, version) \
                   VALUES ($1, $2, $3, $4, $5, $6, '') ON CONFLICT (name) DO UPDATE SET requirement = excluded.requirement, \
                   registry = excluded.registry, actor = excluded.actor, reason = excluded.reason, \
                   updated_at = excluded.updated_at, checked_at = NULL, code = NULL, message = NULL";
        let mut tx = store.begin().await?;
        let query = sqlx::query(sql)
            .bind(self.name.as_str())
            .bind(self.requirement.as_str())
            .bind(self.registry.as_str());
        let query = query.bind(self.actor.as_str()).bind(self.reason.as_str()).bind(self.updated_at);
        query.execute(&mut *tx).await.map_err(|e| Error::of("follow a package", e))?;
        let at = if self.requirement.is_empty() { String::new() } else { format!("@{}", self.requirement) };
        let message = format!("followed{at} in {} by {}: {}", self.registry, self.actor, self.reason);
        EventRow::append(
            &mut tx,
            Subject::Package(&self.name),
            EventKind::Followed,
            &message,
            self.updated_at,
        )
        .await?;
        store.commit(tx).await
    }

    /// Records the release that was taken in, unless somebody asked for another one since. False then.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn brought(
        &self,
        store: &Store,
        version: &str,
        digest: &Digest,
        now: i64,
    ) -> Result<bool, Error> {
        let sql = "UPDATE followed_packages SET version = $1, digest = $2, checked_at = $3, code = NULL, \
                   message = NULL WHERE name = $4 AND requirement = $5 AND registry = $6";
        let mut tx = store.begin().await?;
        let query = sqlx::query(sql).bind(version).bind(digest.as_str()).bind(now);
        let query =
            query.bind(self.name.as_str()).bind(self.requirement.as_str()).bind(self.registry.as_str());
        let done = query.execute(&mut *tx).await.map_err(|e| Error::of("record a release", e))?;
        let recorded = done.rows_affected() == 1;
        if recorded && self.digest.as_ref() != Some(digest) {
            let message = format!("{version} ({}) came from {}", digest.short(), self.registry);
            EventRow::append(&mut tx, Subject::Package(&self.name), EventKind::Followed, &message, now)
                .await?;
        }
        store.commit(tx).await?;
        Ok(recorded)
    }

    /// Records that the registry was asked in vain. The release stays. An event says so when it is something new.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn failed(&self, store: &Store, code: &str, message: &str, now: i64) -> Result<(), Error> {
        let sql = "UPDATE followed_packages SET checked_at = $1, code = $2, message = $3 \
                   WHERE name = $4 AND requirement = $5 AND registry = $6";
        // A registry is a stranger.
        let message = clip(message.to_owned(), MAX_MESSAGE);
        let mut tx = store.begin().await?;
        let query = sqlx::query(sql).bind(now).bind(code).bind(message.as_str());
        let query =
            query.bind(self.name.as_str()).bind(self.requirement.as_str()).bind(self.registry.as_str());
        query.execute(&mut *tx).await.map_err(|e| Error::of("record a registry's answer", e))?;
        if self.code.as_deref() != Some(code) {
            let text = format!("{}: {code}: {message}", self.registry);
            EventRow::append(&mut tx, Subject::Package(&self.name), EventKind::Followed, &text, now).await?;
        }
        store.commit(tx).await
    }

    /// Follows a package no longer, and records that. False when it was not followed.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn delete(
        store: &Store,
        name: &PackageName,
        actor: &str,
        reason: &str,
        now: i64,
    ) -> Result<bool, Error> {
        let mut tx = store.begin().await?;
        let query = sqlx::query("DELETE FROM followed_packages WHERE name = $1").bind(name.as_str());
        let done = query.execute(&mut *tx).await.map_err(|e| Error::of("unfollow a package", e))?;
        let existed = done.rows_affected() == 1;
        if existed {
            let message = format!("unfollowed by {actor}: {reason}");
            EventRow::append(&mut tx, Subject::Package(name), EventKind::Followed, &message, now).await?;
        }
        store.commit(tx).await?;
        Ok(existed)
    }
}
