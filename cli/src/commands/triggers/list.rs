//! `longshore triggers list`.

use crate::home::Home;
use crate::output::{ExitStatus, Printer, table};
use crate::view::entries::{Entry, entries};
use crate::view::trigger::When;
use longshore_store::EntryKind;
use serde_json::{Value, json};

pub(super) async fn run(home: &Home, printer: &Printer) -> anyhow::Result<ExitStatus> {
    let triggers = entries(&home.open_read_only().await?, EntryKind::Trigger).await?;
    let document = |entry: &Entry| {
        json!({
            "name": entry.name,
            "package": entry.package,
            "workflow": entry.detail["workflow"],
            "when": entry.detail["when"],
        })
    };
    let documents: Vec<Value> = triggers.iter().map(document).collect();
    printer.print(&json!({ "triggers": documents }), || {
        if triggers.is_empty() {
            return "no triggers\n".to_owned();
        }
        let head = ["TRIGGER", "PACKAGE", "STARTS", "WHEN"];
        table(&head, triggers.iter().map(row).collect())
    })?;
    Ok(ExitStatus::Done)
}

fn row(entry: &Entry) -> Vec<String> {
    let workflow = entry.detail["workflow"].as_str().unwrap_or_default();
    vec![entry.name.clone(), entry.package.to_string(), workflow.to_owned(), when(&entry.detail["when"])]
}

fn when(when: &Value) -> String {
    let text = |key: &str| when[key].as_str().unwrap_or_default();
    let when = When {
        cron: text("cron"),
        timezone: text("timezone"),
        reactor: text("reactor"),
        rule: text("when"),
        poll_interval_ms: when["poll_interval_ms"].as_i64().unwrap_or_default(),
    };
    when.to_string()
}
