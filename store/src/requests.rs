//! Requests of other programs to the host of a database: starts of workflows and fires of triggers.

use crate::error::Error;
use crate::ids::{RunId, first_id_of};
use crate::open::{Store, Tx};
use crate::row::get;
use crate::text_enum::text_enum;
use longshore_workflow::names::TenantId;
use serde::{Deserialize, Serialize};
use sqlx::FromRow;
use sqlx::any::AnyRow;
use uuid::Uuid;

text_enum! {
    /// The kinds of requests.
    RequestKind {
        /// Start a workflow.
        Start = "start",
        /// Start what a trigger starts.
        Fire = "fire",
    }
}

/// A request to make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewRequest {
    /// The kind.
    pub kind: RequestKind,
    /// The tenant of the workflow.
    pub tenant: TenantId,
    /// The workflow, or the trigger.
    pub name: String,
    /// What its runs start with, as JSON.
    pub payload: String,
    /// Whose request it is.
    pub actor: String,
    /// Why.
    pub reason: String,
}

/// A request as recorded.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct RequestRow {
    /// Its id.
    pub id: String,
    /// The kind.
    pub kind: RequestKind,
    /// The tenant of the workflow.
    #[sqlx(try_from = "String")]
    pub tenant: TenantId,
    /// The workflow, or the trigger.
    pub name: String,
    /// What its runs start with, as JSON.
    pub payload: String,
    /// Whose request it is.
    pub actor: String,
    /// Why.
    pub reason: String,
}

/// The runs of a request that was done.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestOutcome {
    /// Those that were started.
    pub started: Vec<RunId>,
    /// Those that had been started with its key before.
    pub found: Vec<RunId>,
    /// A sentence for each other workflow, with the reason why it was not started.
    pub not_started: Vec<String>,
}

/// The answer to a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RequestAnswer {
    /// No host has looked at it yet.
    Waiting,
    /// It was done.
    Done(RequestOutcome),
    /// The host refused it.
    Refused {
        /// The code.
        code: String,
        /// Why.
        message: String,
        /// What to do.
        fix: String,
    },
}

impl NewRequest {
    /// Records it for the host. Returns its id.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn insert(&self, store: &Store, now: i64) -> Result<String, Error> {
        let id = Uuid::now_v7().to_string();
        let mut tx = store.begin().await?;
        sqlx::query(
            "INSERT INTO requests (id, kind, tenant, name, payload, actor, reason, at) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        )
        .bind(id.clone())
        .bind(self.kind.as_str())
        .bind(self.tenant.as_str())
        .bind(&self.name)
        .bind(&self.payload)
        .bind(&self.actor)
        .bind(&self.reason)
        .bind(now)
        .execute(&mut *tx)
        .await
        .map_err(|e| Error::of("ask a host", e))?;
        store.commit(tx).await?;
        Ok(id)
    }
}

impl RequestRow {
    /// The first requests after an id that nobody has answered, in order. A row that does not read is an error of its own,
    /// so that it keeps no other one waiting.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn waiting(
        store: &Store,
        after: &str,
        limit: i64,
    ) -> Result<Vec<(String, Result<Self, Error>)>, Error> {
        let rows = sqlx::query(
            "SELECT id, kind, tenant, name, payload, actor, reason FROM requests \
             WHERE outcome IS NULL AND refusal_code IS NULL AND id > $1 ORDER BY id LIMIT $2",
        )
        .bind(after)
        .bind(limit)
        .fetch_all(store.reader())
        .await
        .map_err(|e| Error::of("look for requests", e))?;
        let read = |row: &AnyRow| {
            let id: String = get(row, "id")?;
            let request = Self::from_row(row).map_err(|e| Error::undecodable("requests", id.clone(), e));
            Ok((id, request))
        };
        rows.iter().map(read).collect()
    }

    /// Records the outcome of a request. False when it was answered before.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn done(tx: &mut Tx, id: &str, outcome: &RequestOutcome) -> Result<bool, Error> {
        let sql =
            "UPDATE requests SET outcome = $1 WHERE id = $2 AND outcome IS NULL AND refusal_code IS NULL";
        // Ids and texts are always JSON.
        let outcome = serde_json::to_string(outcome).unwrap_or_default();
        let done = sqlx::query(sql).bind(outcome).bind(id).execute(&mut **tx).await;
        Ok(done.map_err(|e| Error::of("answer a request", e))?.rows_affected() == 1)
    }

    /// Records why a request was refused, unless it was answered before.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn refuse(tx: &mut Tx, id: &str, code: &str, message: &str, fix: &str) -> Result<(), Error> {
        sqlx::query(
            "UPDATE requests SET refusal_code = $1, refusal = $2, fix = $3 \
             WHERE id = $4 AND outcome IS NULL AND refusal_code IS NULL",
        )
        .bind(code)
        .bind(message)
        .bind(fix)
        .bind(id)
        .execute(&mut **tx)
        .await
        .map_err(|e| Error::of("refuse a request", e))?;
        Ok(())
    }

    /// The answer to a request. One that is not there was never made, or was answered long ago.
    ///
    /// # Errors
    /// [`Error`] of the database, [`Error::BadRow`].
    pub async fn answer(store: &Store, id: &str) -> Result<RequestAnswer, Error> {
        let sql = "SELECT outcome, refusal_code, refusal, fix FROM requests WHERE id = $1";
        let row = sqlx::query(sql).bind(id).fetch_optional(store.reader()).await;
        let Some(row) = row.map_err(|e| Error::of("look for an answer", e))? else {
            return Ok(RequestAnswer::Done(RequestOutcome::default()));
        };
        let text = |column| Ok::<_, Error>(get::<Option<String>>(&row, column)?.unwrap_or_default());
        if let Some(code) = get::<Option<String>>(&row, "refusal_code")? {
            return Ok(RequestAnswer::Refused { code, message: text("refusal")?, fix: text("fix")? });
        }
        let Some(value) = get::<Option<String>>(&row, "outcome")? else { return Ok(RequestAnswer::Waiting) };
        let outcome = serde_json::from_str(&value).map_err(|_| Error::BadRow {
            table: "requests",
            key: id.to_owned(),
            column: "outcome".into(),
            value,
        })?;
        Ok(RequestAnswer::Done(outcome))
    }

    /// Forgets answers to requests of before a time, in milliseconds since 1970.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn forget_answered(tx: &mut Tx, before: i64) -> Result<(), Error> {
        let sql = "DELETE FROM requests WHERE (outcome IS NOT NULL OR refusal_code IS NOT NULL) AND id < $1";
        let done = sqlx::query(sql).bind(first_id_of(before)).execute(&mut **tx).await;
        done.map(drop).map_err(|e| Error::of("forget answered requests", e))
    }
}
