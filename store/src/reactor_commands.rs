//! Commands of other programs to the reactors of a host.

use crate::error::Error;
use crate::events::{EventKind, EventRow, Subject};
use crate::open::{Store, Tx};
use crate::row::{get, read_rows};
use crate::text_enum::text_enum;
use sqlx::{AssertSqlSafe, FromRow};
use uuid::Uuid;

text_enum! {
    /// A request to a reactor from outside the host that runs it.
    ReactorCommand {
        /// Take an event.
        Push = "push",
        /// Send a dead letter again.
        Resend = "resend",
        /// Fire with the values there are.
        Fire = "fire",
        /// Stop firing.
        Pause = "pause",
        /// Go on.
        Resume = "resume",
        /// Close the circuits of graphs that failed too often in a row.
        Reset = "reset",
    }
}

/// The class of a command as a number: 1 for events.
const CLASS: &str = "CASE WHEN command IN ('push', 'resend') THEN 1 ELSE 0 END";

/// The classes of a reactor's commands: what is in one does not wait for what is in the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CommandClass {
    /// What brings events, and waits where the reactor is full.
    Events,
    /// Everything else.
    Control,
}

/// A request to a reactor.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct CommandRow {
    /// Its id.
    pub id: String,
    /// The reactor.
    pub reactor: String,
    /// The action.
    pub command: ReactorCommand,
    /// The source of an event.
    pub source: String,
    /// The event as JSON.
    pub payload: String,
}

/// A request to make.
#[derive(Debug, Clone, Copy)]
pub struct NewCommand<'a> {
    /// The reactor.
    pub reactor: &'a str,
    /// The action.
    pub command: ReactorCommand,
    /// The source of an event, else empty.
    pub source: &'a str,
    /// The event as JSON, the id of a dead letter, or empty.
    pub payload: &'a str,
    /// Whoever decided it.
    pub actor: &'a str,
    /// Their reason.
    pub reason: &'a str,
}

/// The answer to a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CommandAnswer {
    /// No host has done it yet.
    Waiting,
    /// It was done.
    Done,
    /// The host refused it.
    Refused {
        /// The code.
        code: String,
        /// Why.
        message: String,
    },
}

impl CommandRow {
    /// Asks something of a reactor, and records whose decision it is. Returns the id of the command.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn ask(store: &Store, command: &NewCommand<'_>, now: i64) -> Result<String, Error> {
        let NewCommand { reactor, command, source, payload, actor, reason } = *command;
        let id = Uuid::now_v7().to_string();
        let mut tx = store.begin().await?;
        sqlx::query(
            "INSERT INTO reactor_commands (id, reactor, command, source, payload, at) \
             VALUES ($1, $2, $3, $4, $5, $6)",
        )
        .bind(id.clone())
        .bind(reactor)
        .bind(command.as_str())
        .bind(source)
        .bind(payload)
        .bind(now)
        .execute(&mut *tx)
        .await
        .map_err(|e| Error::of("ask a reactor", e))?;
        let message = format!("{} asked by {actor}: {reason}", command.as_str());
        EventRow::append(&mut tx, Subject::Reactor(reactor), EventKind::Requested, &message, now).await?;
        store.commit(tx).await?;
        Ok(id)
    }

    /// The reactors that commands wait for, and their classes.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn waiting(store: &Store) -> Result<Vec<(String, CommandClass)>, Error> {
        let sql = format!(
            "SELECT DISTINCT reactor, {CLASS} AS class FROM reactor_commands WHERE refusal_code IS NULL"
        );
        let rows = sqlx::query(AssertSqlSafe(sql)).fetch_all(store.reader()).await;
        let rows = rows.map_err(|e| Error::of("look for commands", e))?;
        let class = |number: i32| if number == 1 { CommandClass::Events } else { CommandClass::Control };
        rows.iter().map(|row| Ok((get(row, "reactor")?, class(get(row, "class")?)))).collect()
    }

    /// The first commands of a reactor of a class that wait, in order.
    ///
    /// # Errors
    /// [`Error`] of the database, [`Error::BadRow`].
    pub async fn of(
        store: &Store,
        reactor: &str,
        class: CommandClass,
        limit: i64,
    ) -> Result<Vec<Self>, Error> {
        let sql = format!(
            "SELECT id, reactor, command, source, payload FROM reactor_commands \
             WHERE reactor = $1 AND refusal_code IS NULL AND {CLASS} = $2 ORDER BY id LIMIT $3"
        );
        let query = sqlx::query(AssertSqlSafe(sql))
            .bind(reactor)
            .bind(i32::from(class == CommandClass::Events))
            .bind(limit);
        let rows = query.fetch_all(store.reader()).await;
        read_rows("reactor_commands", "id", &rows.map_err(|e| Error::of("look for commands", e))?)
    }

    /// Records why a command was refused.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn refuse(tx: &mut Tx, id: &str, code: &str, message: &str) -> Result<(), Error> {
        sqlx::query("UPDATE reactor_commands SET refusal_code = $1, refusal = $2 WHERE id = $3")
            .bind(code)
            .bind(message)
            .bind(id)
            .execute(&mut **tx)
            .await
            .map_err(|e| Error::of("refuse a command", e))?;
        Ok(())
    }

    /// The answer to a command.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn answer(store: &Store, id: &str) -> Result<CommandAnswer, Error> {
        let sql = "SELECT refusal_code, refusal FROM reactor_commands WHERE id = $1";
        let row = sqlx::query(sql).bind(id).fetch_optional(store.reader()).await;
        let Some(row) = row.map_err(|e| Error::of("look for an answer", e))? else {
            return Ok(CommandAnswer::Done);
        };
        let code: Option<String> = get(&row, "refusal_code")?;
        let message: Option<String> = get(&row, "refusal")?;
        Ok(code.map_or(CommandAnswer::Waiting, |code| CommandAnswer::Refused {
            code,
            message: message.unwrap_or_default(),
        }))
    }

    /// Forgets refusals of before a time that nobody read.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn forget_refused(tx: &mut Tx, before: i64) -> Result<(), Error> {
        let sql = "DELETE FROM reactor_commands WHERE refusal_code IS NOT NULL AND at < $1";
        let done = sqlx::query(sql).bind(before).execute(&mut **tx).await;
        done.map(drop).map_err(|e| Error::of("forget refused commands", e))
    }

    /// Forgets what was done.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn done(tx: &mut Tx, id: &str) -> Result<(), Error> {
        sqlx::query("DELETE FROM reactor_commands WHERE id = $1")
            .bind(id)
            .execute(&mut **tx)
            .await
            .map_err(|e| Error::of("forget a command", e))?;
        Ok(())
    }
}
