//! `longshore reactors push`, `fire`, `pause`, `resume`: requests to the host of a reactor.

use super::status::{document, find, text};
use crate::error::CliError;
use crate::home::{Home, now_ms};
use crate::output::{ExitStatus, Printer};
use longshore_engine::Error as EngineError;
use longshore_store::{CommandRow, ReactorCommand, Store};
use serde_json::{Map, Value, json};

pub(super) async fn push(
    home: &Home,
    reactor: &str,
    source: &str,
    event: Option<String>,
    printer: &Printer,
) -> anyhow::Result<ExitStatus> {
    let payload = event.unwrap_or_else(|| "null".to_owned());
    serde_json::from_str::<Value>(&payload).map_err(|_| CliError::BadEvent { text: payload.clone() })?;
    let store = home.open_read_only().await?;
    let status = document(&find(&store, reactor).await?);
    let sources = status["sources"].as_array().into_iter().flatten();
    let known: Vec<String> = sources.map(|s| text(s, "name").to_owned()).collect();
    if !known.iter().any(|name| name == source) {
        let (reactor, source_name) = (reactor.to_owned(), source.to_owned());
        return Err(EngineError::UnknownSource { reactor, source_name, known }.into());
    }
    ask(&store, reactor, ReactorCommand::Push, source, &payload, printer).await
}

pub(super) async fn fire(
    home: &Home,
    reactor: &str,
    values: &[String],
    printer: &Printer,
) -> anyhow::Result<ExitStatus> {
    let payload = fire_values(values)?.to_string();
    let store = home.open_read_only().await?;
    if document(&find(&store, reactor).await?)["strategy"] == "sequential" {
        let message = "a sequential reactor fires for its inputs: push one".to_owned();
        return Err(EngineError::BadEvent { source_name: reactor.to_owned(), message }.into());
    }
    ask(&store, reactor, ReactorCommand::Fire, "", &payload, printer).await
}

pub(super) async fn pause(home: &Home, reactor: &str, printer: &Printer) -> anyhow::Result<ExitStatus> {
    let store = home.open_read_only().await?;
    find(&store, reactor).await?;
    ask(&store, reactor, ReactorCommand::Pause, "", "", printer).await
}

pub(super) async fn resume(home: &Home, reactor: &str, printer: &Printer) -> anyhow::Result<ExitStatus> {
    let store = home.open_read_only().await?;
    find(&store, reactor).await?;
    ask(&store, reactor, ReactorCommand::Resume, "", "", printer).await
}

fn fire_values(given: &[String]) -> anyhow::Result<Value> {
    let mut values = Map::new();
    for text in given {
        let bad = || CliError::BadParam { text: text.clone() };
        let (source, value) = text.split_once('=').ok_or_else(bad)?;
        let value = serde_json::from_str(value).unwrap_or_else(|_| Value::from(value));
        values.insert(source.to_owned(), value);
    }
    Ok(Value::from(values))
}

async fn ask(
    store: &Store,
    reactor: &str,
    command: ReactorCommand,
    source: &str,
    payload: &str,
    printer: &Printer,
) -> anyhow::Result<ExitStatus> {
    CommandRow::ask(store, reactor, command, source, payload, now_ms()).await?;
    let document = json!({ "reactor": reactor, "command": command.as_str(), "asked": true });
    printer.print(&document, || format!("asked: the host of {reactor} does it within a second\n"))?;
    Ok(ExitStatus::Done)
}
