//! `longshore graphs list`.

use crate::home::Home;
use crate::output::{ExitStatus, Printer, table};
use crate::view::entries::{Entry, entries};
use longshore_store::EntryKind;
use serde_json::{Value, json};

pub(super) async fn run(home: &Home, printer: &Printer) -> anyhow::Result<ExitStatus> {
    let graphs = entries(&home.open_read_only().await?, EntryKind::Graph).await?;
    let document =
        |entry: &Entry| json!({ "name": entry.name, "package": entry.package, "topology": entry.detail });
    let documents: Vec<Value> = graphs.iter().map(document).collect();
    printer.print(&json!({ "graphs": documents }), || {
        if graphs.is_empty() {
            return "no graphs\n".to_owned();
        }
        table(&["GRAPH", "PACKAGE", "NODES", "CALLED BY"], graphs.iter().map(row).collect())
    })?;
    Ok(ExitStatus::Done)
}

fn row(entry: &Entry) -> Vec<String> {
    let nodes = entry.detail["nodes"].as_array().map_or(0, Vec::len);
    let by = match entry.detail["reactor"].as_str().unwrap_or_default() {
        "" => "tasks".to_owned(),
        reactor => format!("reactor {reactor}"),
    };
    vec![entry.name.clone(), entry.package.to_string(), nodes.to_string(), by]
}
