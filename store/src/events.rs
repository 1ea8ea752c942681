//! Conditions (the state of packages and files) and events (their history).

use crate::batch::{BatchStatement, Column::Int, Column::Text, MAX_ROWS, in_json, json_of};
use crate::error::Error;
use crate::ids::{HostId, RunId};
use crate::open::{Store, Tx};
use crate::row::read_rows;
use crate::text::clip;
use crate::text_enum::text_enum;
use longshore_workflow::names::{Digest, PackageName};
use serde::Serialize;
use sqlx::FromRow;
use std::fmt;
use std::path::Path;
use uuid::Uuid;

/// Longest message of an event or a condition, in bytes.
const MAX_MESSAGE: usize = 8 * 1024;

/// The subject of events and conditions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject<'a> {
    /// A package.
    Package(&'a PackageName),
    /// A file that is not a package.
    File(&'a Path),
    /// A digest whose package is not known.
    Digest(&'a Digest),
    /// A run.
    Run(RunId),
    /// A schedule, by its trigger.
    Schedule(&'a str),
    /// A host.
    Host(HostId),
    /// A reactor.
    Reactor(&'a str),
    /// The database itself.
    Database,
}

impl Subject<'_> {
    /// True when a recorded subject is a file.
    pub fn is_file(recorded: &str) -> bool {
        recorded.starts_with("file/")
    }
}

impl fmt::Display for Subject<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Package(name) => write!(f, "package/{name}"),
            Self::File(path) => write!(f, "file/{}", path.display()),
            Self::Digest(digest) => write!(f, "digest/{digest}"),
            Self::Run(run) => write!(f, "run/{run}"),
            Self::Schedule(name) => write!(f, "schedule/{name}"),
            Self::Host(host) => write!(f, "host/{host}"),
            Self::Reactor(name) => write!(f, "reactor/{name}"),
            Self::Database => f.write_str("database"),
        }
    }
}

text_enum! {
    /// The kind of an event.
    EventKind {
        /// A package was loaded.
        Loaded = "loaded",
        /// A digest was opened again for the runs that are pinned to it.
        Restored = "restored",
        /// A package or a file was refused.
        Refused = "refused",
        /// A package has the signatures that the trust policy asks for, or lacks them and is loaded all the same.
        Signatures = "signatures",
        /// A package stays loaded although it was to be unloaded.
        Retained = "retained",
        /// The process of an isolated package ended by itself.
        Crashed = "crashed",
        /// No new runs start on a package.
        Retired = "retired",
        /// A generation was closed.
        Unloaded = "unloaded",
        /// A generation was closed over attempts that did not stop.
        ForceUnloaded = "force_unloaded",
        /// An operator or the host overrode what the directories offer, or took that back.
        Override = "override",
        /// A package is followed in a registry, or no longer; what came from there, or did not.
        Followed = "followed",
        /// Open runs of a workflow moved to the next version, or stayed.
        Migrated = "migrated",
        /// A run, or the runs of a generation, were cancelled.
        Cancelled = "cancelled",
        /// A run took longer than its timeout.
        TimedOut = "timed_out",
        /// The rows of a run do not read.
        Unreadable = "unreadable",
        /// Two tasks changed one context key, neither above the other.
        ContextConflict = "context_conflict",
        /// Tasks of a run were skipped because something above them failed.
        SkippedTasks = "skipped_tasks",
        /// Fires of a schedule passed while no host ran.
        Missed = "missed",
        /// A fire was skipped: its earlier run is still going.
        Skipped = "skipped",
        /// A fire did not start its workflow.
        NotStarted = "not_started",
        /// Entries of a package name what no loaded package has.
        Unresolved = "unresolved",
        /// Another program asked for a run, to cancel it, or something of a reactor.
        Requested = "requested",
        /// An operator deleted what is not kept.
        Pruned = "pruned",
        /// A host took over what a dead one left running.
        TookOver = "took_over",
    }
}

/// An event as recorded.
#[derive(Debug, Clone, PartialEq, Eq, FromRow, Serialize)]
pub struct EventRow {
    /// When.
    #[serde(serialize_with = "crate::iso::time")]
    pub at: i64,
    /// The subject as text: `package/NAME`, `run/ID`, `schedule/NAME`, `host/ID`, `file/PATH`, `digest/DIGEST`,
    /// `reactor/NAME`, `database`.
    pub subject: String,
    /// The kind.
    pub kind: EventKind,
    /// For people.
    pub message: String,
}

text_enum! {
    /// The kinds of conditions of a package or a file.
    ConditionKind {
        /// Its checks passed.
        Accepted = "Accepted",
        /// It is loaded here.
        Loaded = "Loaded",
        /// New runs start on it.
        Ready = "Ready",
        /// It works in part, or not as wanted: its message says what to do.
        Degraded = "Degraded",
        /// A probe failed; it is not loaded.
        Quarantined = "Quarantined",
        /// Its entries name what no loaded package has.
        Unresolved = "Unresolved",
    }
}

text_enum! {
    /// The status of a condition.
    ConditionStatus {
        /// It holds.
        True = "true",
        /// It does not.
        False = "false",
    }
}

/// A condition to set.
#[derive(Debug, Clone)]
pub struct NewCondition<'a> {
    /// The subject.
    pub subject: Subject<'a>,
    /// The kind.
    pub kind: ConditionKind,
    /// Its status.
    pub status: ConditionStatus,
    /// A stable code or one word.
    pub reason: &'a str,
    /// For people.
    pub message: String,
    /// The digest this was observed of.
    pub digest: &'a str,
}

/// A condition as recorded.
#[derive(Debug, Clone, PartialEq, Eq, FromRow, Serialize)]
pub struct ConditionRow {
    /// The subject as text.
    pub subject: String,
    /// The kind.
    #[sqlx(rename = "type")]
    #[serde(rename = "type")]
    pub kind: ConditionKind,
    /// Its status.
    pub status: ConditionStatus,
    /// A stable code or one word.
    pub reason: String,
    /// For people.
    pub message: String,
    /// The digest this was observed of.
    pub digest: String,
    /// Since when the status is what it is.
    #[serde(serialize_with = "crate::iso::time")]
    pub since: i64,
}

/// An event to append.
#[derive(Debug, Clone)]
pub struct NewEvent<'a> {
    /// The subject.
    pub subject: Subject<'a>,
    /// The kind.
    pub kind: EventKind,
    /// For people.
    pub message: &'a str,
}

static APPEND: BatchStatement = BatchStatement::new(
    "INSERT INTO events (id, at, subject, kind, message) SELECT * FROM (VALUES ",
    &[Text, Int, Text, Text, Text],
    ") AS v WHERE v.column1 IS NOT NULL",
);

static SET: BatchStatement = BatchStatement::new(
    "INSERT INTO conditions (subject, type, status, reason, message, digest, since) SELECT * FROM (VALUES ",
    &[Text, Text, Text, Text, Text, Text, Int],
    ") AS v WHERE v.column1 IS NOT NULL ON CONFLICT (subject, type) DO UPDATE SET \
     since = CASE WHEN conditions.status = excluded.status THEN conditions.since ELSE excluded.since END, \
     status = excluded.status, reason = excluded.reason, message = excluded.message, \
     digest = excluded.digest",
);

impl EventRow {
    /// Appends an event.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn append(
        tx: &mut Tx,
        subject: Subject<'_>,
        kind: EventKind,
        message: &str,
        now: i64,
    ) -> Result<(), Error> {
        Self::append_all(tx, &[NewEvent { subject, kind, message }], now).await
    }

    /// Appends events in their order.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn append_all(tx: &mut Tx, events: &[NewEvent<'_>], now: i64) -> Result<(), Error> {
        for chunk in events.chunks(MAX_ROWS) {
            let rows = chunk.iter().flat_map(|e| {
                let id = Uuid::now_v7().to_string();
                [
                    id.into(),
                    now.into(),
                    e.subject.to_string().into(),
                    e.kind.as_str().into(),
                    clip(e.message.to_owned(), MAX_MESSAGE).into(),
                ]
            });
            let query = APPEND.query(tx, rows.collect());
            query.execute(&mut **tx).await.map_err(|e| Error::of("append events", e))?;
        }
        Ok(())
    }

    /// The newest events of a subject, newest first.
    ///
    /// # Errors
    /// [`Error`] of the database, [`Error::BadRow`].
    pub async fn newest(store: &Store, subject: Subject<'_>, limit: i64) -> Result<Vec<Self>, Error> {
        let sql =
            "SELECT at, subject, kind, message FROM events WHERE subject = $1 ORDER BY id DESC LIMIT $2";
        let rows = sqlx::query(sql).bind(subject.to_string()).bind(limit).fetch_all(store.reader()).await;
        read_rows("events", "subject", &rows.map_err(|e| Error::of("list events", e))?)
    }
}

impl NewCondition<'_> {
    /// Sets conditions, one of a kind for each subject; `since` changes only with the status.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn set(tx: &mut Tx, conditions: &[Self], now: i64) -> Result<(), Error> {
        for chunk in conditions.chunks(MAX_ROWS) {
            let rows = chunk.iter().flat_map(|c| {
                [
                    c.subject.to_string().into(),
                    c.kind.as_str().into(),
                    c.status.as_str().into(),
                    c.reason.into(),
                    clip(c.message.clone(), MAX_MESSAGE).into(),
                    c.digest.into(),
                    now.into(),
                ]
            });
            let query = SET.query(tx, rows.collect());
            query.execute(&mut **tx).await.map_err(|e| Error::of("set conditions", e))?;
        }
        Ok(())
    }
}

impl ConditionRow {
    /// All conditions, by subject.
    ///
    /// # Errors
    /// [`Error`] of the database, [`Error::BadRow`].
    pub async fn all(store: &Store) -> Result<Vec<Self>, Error> {
        let sql = "SELECT subject, type, status, reason, message, digest, since FROM conditions ORDER BY subject, type";
        let rows = sqlx::query(sql).fetch_all(store.reader()).await;
        read_rows("conditions", "subject", &rows.map_err(|e| Error::of("list conditions", e))?)
    }

    /// Forgets the conditions of subjects as they are recorded.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn clear_recorded(tx: &mut Tx, subjects: &[String]) -> Result<(), Error> {
        let sql = format!("DELETE FROM conditions WHERE subject {}", in_json(tx, 1));
        let query = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(json_of(subjects));
        query.execute(&mut **tx).await.map_err(|e| Error::of("clear conditions", e))?;
        Ok(())
    }

    /// Forgets the conditions of a subject.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn clear(tx: &mut Tx, subject: Subject<'_>) -> Result<(), Error> {
        sqlx::query("DELETE FROM conditions WHERE subject = $1")
            .bind(subject.to_string())
            .execute(&mut **tx)
            .await
            .map_err(|e| Error::of("clear conditions", e))?;
        Ok(())
    }
}
