//! `longshore reactors push`, `resend`, `fire`, `pause`, `resume`, `reset`: requests to the host of a reactor.

use super::status::{document, find, text};
use super::target::ReactorTarget;
use crate::error::CliError;
use crate::home::{Home, now_ms};
use crate::output::{ExitStatus, Printer};
use crate::request::decision::Decision;
use crate::request::{answer_timeout, answered};
use longshore_engine::{Error as EngineError, json_of};
use longshore_store::{
    CommandAnswer, CommandRow, DeadLetter, DeadLetterId, NewCommand, ReactorCommand, Store,
};
use serde_json::{Map, Value, json};

pub(super) async fn push(
    home: &Home,
    target: &ReactorTarget,
    source: &str,
    event: Option<String>,
    printer: &Printer,
) -> anyhow::Result<ExitStatus> {
    let payload = event.unwrap_or_else(|| "null".to_owned());
    serde_json::from_str::<Value>(&payload).map_err(|_| CliError::BadEvent { text: payload.clone() })?;
    let store = home.open_read_only().await?;
    let status = document(&find(&store, &target.reactor).await?);
    let sources = status["sources"].as_array().into_iter().flatten();
    let known: Vec<String> = sources.map(|s| text(s, "name").to_owned()).collect();
    if !known.iter().any(|name| name == source) {
        let (reactor, source_name) = (target.reactor.clone(), source.to_owned());
        return Err(EngineError::UnknownSource { reactor, source_name, known }.into());
    }
    ask(&store, target, ReactorCommand::Push, source, &payload, printer).await
}

pub(super) async fn resend(
    home: &Home,
    target: &ReactorTarget,
    letter: &str,
    printer: &Printer,
) -> anyhow::Result<ExitStatus> {
    let store = home.open_read_only().await?;
    find(&store, &target.reactor).await?;
    let reactor = target.reactor.as_str();
    let unknown =
        || EngineError::UnknownDeadLetter { reactor: reactor.to_owned(), letter: letter.to_owned() };
    let id = DeadLetterId::parse(letter).map_err(|_| unknown())?;
    let found = DeadLetter::find(&store, reactor, id).await?.ok_or_else(unknown)?;
    if found.resendable != 1 {
        return Err(EngineError::IncompleteDeadLetter { reactor: reactor.to_owned(), letter: id }.into());
    }
    ask(&store, target, ReactorCommand::Resend, &found.source, &id.to_string(), printer).await
}

pub(super) async fn fire(
    home: &Home,
    target: &ReactorTarget,
    values: &[String],
    printer: &Printer,
) -> anyhow::Result<ExitStatus> {
    let payload = fire_values(values)?.to_string();
    let store = home.open_read_only().await?;
    if document(&find(&store, &target.reactor).await?)["strategy"] == "sequential" {
        return Err(EngineError::Sequential { reactor: target.reactor.clone() }.into());
    }
    ask(&store, target, ReactorCommand::Fire, "", &payload, printer).await
}

/// Asks a reactor for what takes no value: pause, resume or reset.
pub(super) async fn command(
    home: &Home,
    target: &ReactorTarget,
    command: ReactorCommand,
    printer: &Printer,
) -> anyhow::Result<ExitStatus> {
    let store = home.open_read_only().await?;
    find(&store, &target.reactor).await?;
    ask(&store, target, command, "", "", printer).await
}

fn fire_values(given: &[String]) -> anyhow::Result<Value> {
    let mut values = Map::new();
    for text in given {
        let bad = || CliError::BadParam { text: text.clone() };
        let (source, value) = text.split_once('=').ok_or_else(bad)?;
        let value = json_of(value).unwrap_or_else(|| Value::from(value));
        values.insert(source.to_owned(), value);
    }
    Ok(Value::from(values))
}

async fn ask(
    store: &Store,
    target: &ReactorTarget,
    command: ReactorCommand,
    source: &str,
    payload: &str,
    printer: &Printer,
) -> anyhow::Result<ExitStatus> {
    let ReactorTarget { reactor, decision: Decision { actor, reason } } = target;
    let asked = NewCommand { reactor, command, source, payload, actor, reason };
    let id = CommandRow::ask(store, &asked, now_ms()).await?;
    let timeout = answer_timeout(store).await?;
    let answer = answered(Some(timeout), async || match CommandRow::answer(store, &id).await? {
        CommandAnswer::Waiting => Ok(None),
        answer => Ok(Some(answer)),
    });
    let answer = answer.await?;
    if let Some(CommandAnswer::Refused { code, message }) = answer {
        let mut tx = store.begin().await?;
        CommandRow::done(&mut tx, &id).await?;
        store.commit(tx).await?;
        let fix = format!("see `longshore explain {code}`");
        return Err(CliError::Refused { code, message, fix }.into());
    }
    let (done, runs) = (answer.is_some(), !timeout.is_zero());
    let document = json!({ "reactor": reactor, "command": command.as_str(), "asked": true, "done": done });
    printer.print(&document, || match (done, runs) {
        (true, _) => format!("done by the host of {reactor}\n"),
        (false, true) => format!("recorded; the host of {reactor} has not done it yet, and will\n"),
        (false, false) => "recorded; no host runs on this database, and the next one does it\n".to_owned(),
    })?;
    Ok(ExitStatus::Done)
}
