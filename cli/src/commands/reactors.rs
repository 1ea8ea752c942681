//! `longshore reactors`.

use crate::args::{Home, Reactors, ReactorsCommand};
use crate::failure::Failure;
use crate::output::{self, time};
use longshore_store::{CommandRow, OutputRow, ReactorCommand, RejectRow, StatusRow, Store};
use serde_json::{Map, Value, json};
use std::process::ExitCode;

/// Rejected events that are shown.
const REJECTS: i64 = 20;

pub(crate) async fn run(args: Reactors, json: bool) -> anyhow::Result<ExitCode> {
    let home = &args.home;
    match args.command.unwrap_or(ReactorsCommand::List) {
        ReactorsCommand::List => list(home, json).await,
        ReactorsCommand::Show { reactor, after } => show(home, &reactor, after, json).await,
        ReactorsCommand::Push { reactor, source, event } => {
            let payload = event.unwrap_or_else(|| "null".to_owned());
            serde_json::from_str::<Value>(&payload)
                .map_err(|_| Failure::BadEvent { text: payload.clone() })?;
            ask(home, &reactor, ReactorCommand::Push, &source, &payload, json).await
        }
        ReactorsCommand::Fire { reactor, values } => {
            let payload = fire_values(&values)?.to_string();
            ask(home, &reactor, ReactorCommand::Fire, "", &payload, json).await
        }
        ReactorsCommand::Pause { reactor } => ask(home, &reactor, ReactorCommand::Pause, "", "", json).await,
        ReactorsCommand::Resume { reactor } => {
            ask(home, &reactor, ReactorCommand::Resume, "", "", json).await
        }
    }
}

fn fire_values(given: &[String]) -> anyhow::Result<Value> {
    let mut values = Map::new();
    for text in given {
        let bad = || Failure::BadParam { text: text.clone() };
        let (source, value) = text.split_once('=').ok_or_else(bad)?;
        let value = serde_json::from_str(value).unwrap_or_else(|_| Value::from(value));
        values.insert(source.to_owned(), value);
    }
    Ok(Value::from(values))
}

fn status(row: &StatusRow) -> Value {
    serde_json::from_str(&row.status).unwrap_or_default()
}

async fn find(store: &Store, reactor: &str) -> anyhow::Result<StatusRow> {
    let rows = StatusRow::all(store).await?;
    let known = rows.iter().map(|row| row.name.clone()).collect();
    let found = rows.into_iter().find(|row| row.name == reactor);
    let unknown = longshore_engine::Error::UnknownReactor { reactor: reactor.to_owned(), known };
    found.ok_or_else(|| unknown.into())
}

async fn list(home: &Home, json: bool) -> anyhow::Result<ExitCode> {
    let rows = StatusRow::all(&home.look().await?).await?;
    if json {
        output::json(&json!({ "reactors": rows.iter().map(status).collect::<Vec<_>>() }))?;
        return Ok(ExitCode::SUCCESS);
    }
    if rows.is_empty() {
        println!("no reactors");
        return Ok(ExitCode::SUCCESS);
    }
    let line = |row: &StatusRow| {
        let status = status(row);
        let number = |key: &str| status[key].as_u64().unwrap_or(0).to_string();
        let paused = if status["paused"] == true { ", paused" } else { "" };
        vec![
            row.name.clone(),
            row.package.clone(),
            status["strategy"].as_str().unwrap_or_default().to_owned(),
            format!("{}{paused}", status["health"]["state"].as_str().unwrap_or_default()),
            number("fired"),
            number("pending"),
            number("dropped"),
            number("rejected"),
            time(row.updated_at),
        ]
    };
    let head = ["REACTOR", "PACKAGE", "INPUTS", "HEALTH", "FIRED", "PENDING", "DROPPED", "REJECTED", "AS OF"];
    output::table(&head, rows.iter().map(line).collect());
    Ok(ExitCode::SUCCESS)
}

async fn show(home: &Home, reactor: &str, after: Option<i64>, json: bool) -> anyhow::Result<ExitCode> {
    let store = home.look().await?;
    let row = find(&store, reactor).await?;
    let rejects = RejectRow::newest(&store, reactor, REJECTS).await?;
    let status = status(&row);
    if json {
        let outputs = match after {
            Some(seq) => OutputRow::after(&store, reactor, seq, 1000).await?,
            None => Vec::new(),
        };
        let outputs: Vec<Value> = outputs.iter().map(output_json).collect();
        output::json(&json!({ "reactor": status, "rejected": rejects, "outputs": outputs }))?;
        return Ok(ExitCode::SUCCESS);
    }
    println!(
        "reactor  {} of {} ({} inputs)",
        row.name,
        row.package,
        status["strategy"].as_str().unwrap_or_default()
    );
    println!("health   {}", health(&status));
    println!(
        "fired    {}, {} events rejected, {} dropped",
        status["fired"], status["rejected"], status["dropped"]
    );
    for source in status["sources"].as_array().into_iter().flatten() {
        let value = if source["has_value"] == true { "has a value" } else { "has said nothing" };
        let problem = source["problem"].as_str().map(|p| format!("; {p}")).unwrap_or_default();
        println!(
            "source   {} ({}): {} events, {value}{problem}",
            text(source, "name"),
            text(source, "kind"),
            source["events"]
        );
    }
    for graph in status["graphs"].as_array().into_iter().flatten() {
        println!(
            "graph    {}: {} calls, {} failed, p50 {} us, p99 {} us",
            text(graph, "name"),
            graph["calls"],
            graph["failed"],
            graph["p50_us"],
            graph["p99_us"]
        );
        for (terminal, value) in graph["last_outputs"].as_object().into_iter().flatten() {
            println!("  {terminal} = {value}");
        }
        if let Some(error) = graph["last_error"].as_str() {
            println!("  last error: {error}");
        }
    }
    for reject in &rejects {
        println!(
            "rejected {} {} {}: field `{}`: {}",
            time(reject.at),
            reject.source,
            reject.position,
            reject.field,
            reject.message
        );
    }
    Ok(ExitCode::SUCCESS)
}

fn text<'v>(value: &'v Value, key: &str) -> &'v str {
    value[key].as_str().unwrap_or_default()
}

fn health(status: &Value) -> String {
    let health = &status["health"];
    let missing: Vec<&str> =
        health["missing"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let why = match (missing.is_empty(), health["reason"].as_str()) {
        (false, _) => format!(": no value yet from {}", missing.join(", ")),
        (true, Some(reason)) => format!(": {reason}"),
        (true, None) => String::new(),
    };
    let paused = if status["paused"] == true { " (paused)" } else { "" };
    format!("{}{why}{paused}", text(health, "state"))
}

fn output_json(row: &OutputRow) -> Value {
    let value: Value = longshore_workflow::deserialize(&row.value).unwrap_or_default();
    json!({ "seq": row.seq, "graph": row.graph, "terminal": row.terminal, "value": value })
}

async fn ask(
    home: &Home,
    reactor: &str,
    command: ReactorCommand,
    source: &str,
    payload: &str,
    json: bool,
) -> anyhow::Result<ExitCode> {
    let store = home.look().await?;
    let row = find(&store, reactor).await?;
    if command == ReactorCommand::Fire && status(&row)["strategy"] == "sequential" {
        let message = "a sequential reactor fires for its inputs: push one".to_owned();
        return Err(longshore_engine::Error::BadEvent { source_name: reactor.to_owned(), message }.into());
    }
    if command == ReactorCommand::Push {
        let status = status(&row);
        let known: Vec<String> =
            status["sources"].as_array().into_iter().flatten().map(|s| text(s, "name").to_owned()).collect();
        if !known.iter().any(|name| name == source) {
            let (reactor, source_name) = (reactor.to_owned(), source.to_owned());
            return Err(longshore_engine::Error::UnknownSource { reactor, source_name, known }.into());
        }
    }
    let now = chrono::Utc::now().timestamp_millis();
    CommandRow::ask(&store, reactor, command, source, payload, now).await?;
    if json {
        output::json(&json!({ "reactor": reactor, "command": command.as_str(), "asked": true }))?;
    } else {
        println!("asked: the host of {reactor} does it within a second");
    }
    Ok(ExitCode::SUCCESS)
}
