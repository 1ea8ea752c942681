//! `longshore workflows list`.

use crate::home::Home;
use crate::output::{ExitStatus, Printer, table};
use crate::view::entries::{Entry, entries, workflow_name};
use longshore_store::EntryKind;
use serde_json::{Value, json};

pub(super) async fn run(home: &Home, printer: &Printer) -> anyhow::Result<ExitStatus> {
    let workflows = entries(&home.open_read_only().await?, EntryKind::Workflow).await?;
    let document = |entry: &Entry| {
        json!({
            "name": workflow_name(&entry.name),
            "package": entry.package,
            "description": entry.detail["description"],
            "params": entry.detail["params"],
        })
    };
    let documents: Vec<Value> = workflows.iter().map(document).collect();
    printer.print(&json!({ "workflows": documents }), || {
        if workflows.is_empty() {
            return "no workflows\n".to_owned();
        }
        table(&["WORKFLOW", "PACKAGE", "PARAMS", "WHAT IT DOES"], workflows.iter().map(row).collect())
    })?;
    Ok(ExitStatus::Done)
}

fn row(entry: &Entry) -> Vec<String> {
    let params = entry.detail["params"].as_array().map(Vec::as_slice).unwrap_or_default();
    let names: Vec<&str> = params.iter().filter_map(|param| param["name"].as_str()).collect();
    let what = entry.detail["description"].as_str().unwrap_or_default();
    let what = what.lines().next().unwrap_or_default();
    vec![workflow_name(&entry.name), entry.package.to_string(), names.join(", "), what.to_owned()]
}
