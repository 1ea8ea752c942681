//! What was decided about packages.

use crate::error::Error;
use crate::events::EventRow;
use crate::open::{Store, Tx};
use crate::runs::get;
use crate::words::{read_rows, words};
use serde::Serialize;
use sqlx::FromRow;
use std::collections::BTreeMap;

words! {
    /// What was decided about a package.
    Stance {
        /// This digest is wanted, whatever the directories offer.
        Added = "added",
        /// It stays at this digest, whatever the directories offer.
        Pinned = "pinned",
        /// This digest stands in for one that is to be avoided, until something else is offered.
        RolledBack = "rolled back",
        /// Nothing is loaded, swapped or unloaded.
        Held = "held",
        /// It is not wanted, whatever the directories offer.
        Removed = "removed",
    }
}

/// A decision, one for each package at most.
#[derive(Debug, Clone, PartialEq, Eq, FromRow, Serialize)]
pub struct RegistryRow {
    /// The package.
    pub name: String,
    /// What was decided.
    pub stance: Stance,
    /// The digest that counts; empty when none does.
    pub digest: String,
    /// Its version.
    pub version: String,
    /// The digest that is avoided; empty when none is.
    pub avoid: String,
    /// Who decided.
    pub actor: String,
    /// Why.
    pub reason: String,
    /// When.
    pub updated_at: i64,
}

const COLUMNS: &str = "name, stance, digest, version, avoid, actor, reason, updated_at";

/// What a pass goes by, as the database says it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outlook {
    /// Unfinished runs by the digest they are pinned to.
    pub pins: BTreeMap<String, i64>,
    /// Decisions, by package.
    pub registry: Vec<RegistryRow>,
}

impl Outlook {
    /// Pins and decisions, in one query: this is what a host asks when nothing changes.
    ///
    /// # Errors
    /// [`Error`] of the database, [`Error::BadRow`].
    pub async fn load(store: &Store) -> Result<Self, Error> {
        let sql = "SELECT 'pin' AS kind, '' AS name, '' AS stance, digest, '' AS version, '' AS avoid, \
                   '' AS actor, '' AS reason, COUNT(*) AS updated_at \
                   FROM runs WHERE finished_at IS NULL GROUP BY digest \
                   UNION ALL SELECT 'decision', name, stance, digest, version, avoid, actor, reason, updated_at \
                   FROM registry";
        let rows = sqlx::query(sql).fetch_all(store.reader()).await;
        let rows = rows.map_err(|e| Error::of("look for pins and decisions", e))?;
        let mut outlook = Self::default();
        let mut decisions = Vec::new();
        for row in rows {
            if get::<String>(&row, "kind")? == "pin" {
                outlook.pins.insert(get(&row, "digest")?, get(&row, "updated_at")?);
            } else {
                decisions.push(row);
            }
        }
        outlook.registry = read_rows("registry", "name", &decisions)?;
        outlook.registry.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(outlook)
    }
}

impl RegistryRow {
    /// Records a decision in the place of the one before, and an event that tells of it.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn put(&self, store: &Store) -> Result<(), Error> {
        let mut tx = store.begin().await?;
        self.decide(&mut tx, "").await?;
        store.commit(tx).await
    }

    /// As [`RegistryRow::put`], unless somebody decided something else than to roll back. False then.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn put_unless_decided(&self, tx: &mut Tx) -> Result<bool, Error> {
        self.decide(tx, " WHERE registry.stance = 'rolled back'").await
    }

    async fn decide(&self, tx: &mut Tx, condition: &str) -> Result<bool, Error> {
        let sql = format!(
            "INSERT INTO registry ({COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8) \
             ON CONFLICT (name) DO UPDATE SET stance = excluded.stance, digest = excluded.digest, \
             version = excluded.version, avoid = excluded.avoid, actor = excluded.actor, \
             reason = excluded.reason, updated_at = excluded.updated_at{condition}"
        );
        let done = sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(self.name.as_str())
            .bind(self.stance.as_str())
            .bind(self.digest.as_str())
            .bind(self.version.as_str())
            .bind(self.avoid.as_str())
            .bind(self.actor.as_str())
            .bind(self.reason.as_str())
            .bind(self.updated_at)
            .execute(&mut **tx)
            .await
            .map_err(|e| Error::of("record a decision", e))?;
        if done.rows_affected() == 0 {
            return Ok(false);
        }
        let which = if self.version.is_empty() { String::new() } else { format!(" {}", self.version) };
        let message = format!("{}{which} by {}: {}", self.stance.as_str(), self.actor, self.reason);
        EventRow::append(tx, &format!("package/{}", self.name), "decided", &message, self.updated_at).await?;
        Ok(true)
    }

    /// Forgets that packages were rolled back: something else was loaded.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn give_way(tx: &mut Tx, name: &str, now: i64) -> Result<(), Error> {
        let done = sqlx::query("DELETE FROM registry WHERE name = $1 AND stance = 'rolled back'")
            .bind(name)
            .execute(&mut **tx)
            .await
            .map_err(|e| Error::of("give way to another digest", e))?;
        if done.rows_affected() == 1 {
            let message = "what was rolled back gave way to another digest";
            EventRow::append(tx, &format!("package/{name}"), "decided", message, now).await?;
        }
        Ok(())
    }

    /// Takes a decision back, and tells of it. False when there was none.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn take_back(
        store: &Store,
        name: &str,
        actor: &str,
        reason: &str,
        now: i64,
    ) -> Result<bool, Error> {
        let mut tx = store.begin().await?;
        let done = sqlx::query("DELETE FROM registry WHERE name = $1")
            .bind(name)
            .execute(&mut *tx)
            .await
            .map_err(|e| Error::of("take a decision back", e))?;
        let there = done.rows_affected() == 1;
        if there {
            let message = format!("released by {actor}: {reason}");
            EventRow::append(&mut tx, &format!("package/{name}"), "decided", &message, now).await?;
        }
        store.commit(tx).await?;
        Ok(there)
    }
}
