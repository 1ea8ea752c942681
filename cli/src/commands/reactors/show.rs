//! `longshore reactors show`.

use super::status::{document, find, text};
use crate::home::Home;
use crate::output::{ExitStatus, Printer, time};
use longshore_store::{DeadLetter, EventRow, OutputRow, StatusRow, Subject};
use serde_json::{Value, json};
use std::fmt::Write;

/// Dead letters that are shown.
const DEAD_LETTERS: i64 = 20;

/// Requests of operators that are shown.
const REQUESTS: i64 = 5;

/// Outputs that are shown.
const OUTPUTS: i64 = 1000;

pub(super) async fn run(
    home: &Home,
    reactor: &str,
    after: Option<i64>,
    printer: &Printer,
) -> anyhow::Result<ExitStatus> {
    let store = home.open_read_only().await?;
    let row = find(&store, reactor).await?;
    let letters = DeadLetter::newest(&store, reactor, DEAD_LETTERS).await?;
    let outputs = match after {
        Some(seq) => OutputRow::after(&store, reactor, seq, OUTPUTS).await?,
        None => Vec::new(),
    };
    let outputs: Vec<Value> = outputs.iter().map(output_json).collect();
    let requests = EventRow::newest(&store, Subject::Reactor(reactor), REQUESTS).await?;
    let status = document(&row);
    let json =
        json!({ "reactor": status, "dead_letters": letters, "requests": requests, "outputs": outputs });
    printer.print(&json, || as_text(&row, &status, &letters) + &requests_text(&requests))?;
    Ok(ExitStatus::Done)
}

/// Writing to a String does not fail.
fn as_text(row: &StatusRow, status: &Value, letters: &[DeadLetter]) -> String {
    let mut out = String::new();
    let _ = writeln!(
        out,
        "reactor  {} of {} ({} inputs)",
        row.name,
        row.package,
        status["strategy"].as_str().unwrap_or_default()
    );
    let _ = writeln!(out, "health   {}", health(status));
    let _ = writeln!(
        out,
        "fired    {}, {} events rejected, {} dropped",
        status["fired"], status["rejected"], status["dropped"]
    );
    for source in status["sources"].as_array().into_iter().flatten() {
        let value = if source["has_value"] == true { "has a value" } else { "has said nothing" };
        let problem = source["problem"].as_str().map(|p| format!("; {p}")).unwrap_or_default();
        let _ = writeln!(
            out,
            "source   {} ({}): {} events, {value}{problem}",
            text(source, "name"),
            text(source, "kind"),
            source["events"]
        );
    }
    for graph in status["graphs"].as_array().into_iter().flatten() {
        let _ = writeln!(
            out,
            "graph    {}: {} calls, {} failed, p50 {} us, p99 {} us",
            text(graph, "name"),
            graph["calls"],
            graph["failed"],
            graph["p50_us"],
            graph["p99_us"]
        );
        for (terminal, value) in graph["last_outputs"].as_object().into_iter().flatten() {
            let _ = writeln!(out, "  {terminal} = {value}");
        }
        if let Some(error) = graph["last_error"].as_str() {
            let _ = writeln!(out, "  last error: {error}");
        }
    }
    letters.iter().for_each(|letter| out.push_str(&letter_line(letter)));
    out
}

fn requests_text(requests: &[EventRow]) -> String {
    requests.iter().map(|request| format!("request  {} {}\n", time(request.at), request.message)).collect()
}

fn letter_line(letter: &DeadLetter) -> String {
    let DeadLetter { id, source, position, field, message, workflow, .. } = letter;
    let (at, cut) = (time(letter.at), if letter.resendable == 1 { "" } else { " (cannot be sent again)" });
    match workflow {
        Some(workflow) => format!("refused  {at} {id} start of {workflow} by {source}: {message}{cut}\n"),
        None => format!("rejected {at} {id} {source} {position}: field `{field}`: {message}{cut}\n"),
    }
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
