//! Overrides: decisions of an operator, or of the host itself, that come before what the directories offer.

use crate::error::Error;
use crate::events::{EventKind, EventRow, Subject};
use crate::open::{Store, Tx};
use crate::row::{NullableDigest, digest_of, get, read_rows};
use crate::text_enum::text_enum;
use longshore_workflow::names::{Digest, PackageName};
use serde::Serialize;
use sqlx::FromRow;
use sqlx::any::AnyRow;
use std::collections::BTreeMap;

text_enum! {
    /// The kind of an override.
    OverrideKind {
        /// This digest is desired, whatever the directories offer.
        Add = "add",
        /// The package stays at this digest, whatever the directories offer.
        Pin = "pin",
        /// This digest stands in for one that is avoided, until something else is offered.
        RollBack = "roll_back",
        /// Nothing is loaded, swapped or unloaded.
        Hold = "hold",
        /// The package is not desired, whatever the directories offer.
        Remove = "remove",
    }
}

impl OverrideKind {
    /// The package's state in words, as in "pinned by alice".
    pub fn participle(self) -> &'static str {
        match self {
            Self::Add => "added",
            Self::Pin => "pinned",
            Self::RollBack => "rolled back",
            Self::Hold => "held",
            Self::Remove => "removed",
        }
    }
}

/// An override, at most one for each package.
#[derive(Debug, Clone, PartialEq, Eq, FromRow, Serialize)]
pub struct Override {
    /// The package.
    #[sqlx(try_from = "String")]
    pub name: PackageName,
    /// The kind.
    pub kind: OverrideKind,
    /// The digest that is desired; none for a removed package.
    #[sqlx(try_from = "NullableDigest")]
    pub digest: Option<Digest>,
    /// Its version, or empty.
    pub version: String,
    /// The digest that is avoided.
    #[sqlx(try_from = "NullableDigest")]
    pub avoid: Option<Digest>,
    /// Whose decision it is.
    pub actor: String,
    /// Why.
    pub reason: String,
    /// When.
    #[serde(serialize_with = "crate::iso::time")]
    pub updated_at: i64,
}

const COLUMNS: &str = "name, kind, digest, version, avoid, actor, reason, updated_at";

/// The inputs of a pass that stand in the database.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PassInputs {
    /// Unfinished runs by the digest they are pinned to.
    pub pins: BTreeMap<Digest, u64>,
    /// Overrides, by package.
    pub overrides: Vec<Override>,
    /// When an operator asked for a retry last, by package.
    pub retries: BTreeMap<PackageName, i64>,
    /// Packages that are followed in registries, by name.
    pub followed: Vec<Followed>,
}

/// A package that is followed in a registry, as far as a pass is concerned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Followed {
    /// The package.
    pub name: PackageName,
    /// The address of the registry.
    pub registry: String,
    /// When somebody asked for it.
    pub updated_at: i64,
    /// The version and the digest of the release that was taken in last; none before the first.
    pub release: Option<(String, Digest)>,
}

/// Pins, with their number in the place of a time; overrides; requests to try again; and followed packages, with their
/// registry in the place of a reason.
pub(crate) const PASS_INPUTS: &str = "SELECT 'pin' AS row_kind, '' AS name, '' AS kind, digest, '' AS version, \
     NULL AS avoid, '' AS actor, '' AS reason, COUNT(*) AS updated_at \
     FROM runs WHERE finished_at IS NULL GROUP BY digest \
     UNION ALL SELECT 'override', name, kind, digest, version, avoid, actor, reason, updated_at FROM overrides \
     UNION ALL SELECT 'retry', name, '', NULL, '', NULL, '', '', requested_at FROM retries \
     UNION ALL SELECT 'followed', name, '', digest, version, NULL, '', registry, updated_at FROM followed_packages";

impl PassInputs {
    /// Everything, in one query: a pass without changes asks nothing else.
    ///
    /// # Errors
    /// [`Error`] of the database, [`Error::BadRow`].
    pub async fn load(store: &Store) -> Result<Self, Error> {
        let rows = sqlx::query(PASS_INPUTS).fetch_all(store.reader()).await;
        let mut inputs = Self::default();
        let mut overrides = Vec::new();
        for row in rows.map_err(|e| Error::of("load pins and overrides", e))? {
            match get::<String>(&row, "row_kind")?.as_str() {
                "pin" => {
                    let runs = get::<i64>(&row, "updated_at")?;
                    inputs.pins.insert(digest_of(&row, "runs")?, u64::try_from(runs).unwrap_or(0));
                }
                "retry" => {
                    let name = PackageName::from(get::<String>(&row, "name")?);
                    inputs.retries.insert(name, get(&row, "updated_at")?);
                }
                "followed" => inputs.followed.push(followed(&row)?),
                _ => overrides.push(row),
            }
        }
        inputs.overrides = read_rows("overrides", "name", &overrides)?;
        inputs.overrides.sort_by(|a, b| a.name.cmp(&b.name));
        inputs.followed.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(inputs)
    }
}

fn followed(row: &AnyRow) -> Result<Followed, Error> {
    let release = match get::<Option<String>>(row, "digest")? {
        Some(_) => Some((get(row, "version")?, digest_of(row, "followed_packages")?)),
        None => None,
    };
    let (name, registry) = (PackageName::from(get::<String>(row, "name")?), get(row, "reason")?);
    Ok(Followed { name, registry, updated_at: get(row, "updated_at")?, release })
}

impl Override {
    /// Records an override in the place of the one before, and its event.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn put(&self, store: &Store) -> Result<(), Error> {
        let mut tx = store.begin().await?;
        self.put_where(&mut tx, "").await?;
        store.commit(tx).await
    }

    /// As [`Override::put`], unless there is an override other than a roll-back. False then.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn put_unless_overridden(&self, tx: &mut Tx) -> Result<bool, Error> {
        self.put_where(tx, " WHERE overrides.kind = 'roll_back'").await
    }

    async fn put_where(&self, tx: &mut Tx, condition: &str) -> Result<bool, Error> {
        let sql = format!(
            "INSERT INTO overrides ({COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8) \
             ON CONFLICT (name) DO UPDATE SET kind = excluded.kind, digest = excluded.digest, \
             version = excluded.version, avoid = excluded.avoid, actor = excluded.actor, \
             reason = excluded.reason, updated_at = excluded.updated_at{condition}"
        );
        let done = sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(self.name.as_str())
            .bind(self.kind.as_str())
            .bind(self.digest.as_ref().map(Digest::as_str))
            .bind(self.version.as_str())
            .bind(self.avoid.as_ref().map(Digest::as_str))
            .bind(self.actor.as_str())
            .bind(self.reason.as_str())
            .bind(self.updated_at)
            .execute(&mut **tx)
            .await
            .map_err(|e| Error::of("record an override", e))?;
        if done.rows_affected() == 0 {
            return Ok(false);
        }
        let version = if self.version.is_empty() { String::new() } else { format!(" {}", self.version) };
        let message = format!("{}{version} by {}: {}", self.kind.participle(), self.actor, self.reason);
        let subject = Subject::Package(&self.name);
        EventRow::append(tx, subject, EventKind::Override, &message, self.updated_at).await?;
        Ok(true)
    }

    /// Ends the roll-back of a package: another digest was loaded.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn end_roll_back(tx: &mut Tx, name: &PackageName, now: i64) -> Result<(), Error> {
        let done = sqlx::query("DELETE FROM overrides WHERE name = $1 AND kind = 'roll_back'")
            .bind(name.as_str())
            .execute(&mut **tx)
            .await
            .map_err(|e| Error::of("end a roll-back", e))?;
        if done.rows_affected() == 1 {
            let message = "the roll-back ended: another digest was loaded";
            EventRow::append(tx, Subject::Package(name), EventKind::Override, message, now).await?;
        }
        Ok(())
    }

    /// Deletes an override, and records that. False when there was none.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn release(
        store: &Store,
        name: &PackageName,
        actor: &str,
        reason: &str,
        now: i64,
    ) -> Result<bool, Error> {
        let mut tx = store.begin().await?;
        let done = sqlx::query("DELETE FROM overrides WHERE name = $1")
            .bind(name.as_str())
            .execute(&mut *tx)
            .await
            .map_err(|e| Error::of("release an override", e))?;
        let existed = done.rows_affected() == 1;
        if existed {
            let message = format!("released by {actor}: {reason}");
            EventRow::append(&mut tx, Subject::Package(name), EventKind::Override, &message, now).await?;
        }
        store.commit(tx).await?;
        Ok(existed)
    }
}
