//! `longshore reactors list`.

use super::status::{document, text};
use crate::home::Home;
use crate::output::{ExitStatus, Printer, table, time};
use longshore_store::StatusRow;
use serde_json::{Value, json};

pub(super) async fn run(home: &Home, printer: &Printer) -> anyhow::Result<ExitStatus> {
    let rows = StatusRow::all(&home.open_read_only().await?).await?;
    let reactors: Vec<Value> = rows.iter().map(document).collect();
    printer.print(&json!({ "reactors": reactors }), || {
        if rows.is_empty() {
            return "no reactors\n".to_owned();
        }
        let head =
            ["REACTOR", "PACKAGE", "INPUTS", "HEALTH", "FIRED", "PENDING", "DROPPED", "REJECTED", "AS OF"];
        table(&head, rows.iter().map(line).collect())
    })?;
    Ok(ExitStatus::Done)
}

fn line(row: &StatusRow) -> Vec<String> {
    let status = document(row);
    let number = |key: &str| status[key].as_u64().unwrap_or(0).to_string();
    let paused = if status["paused"] == true { ", paused" } else { "" };
    vec![
        row.name.clone(),
        row.package.to_string(),
        text(&status, "strategy").to_owned(),
        format!("{}{paused}", text(&status["health"], "state")),
        number("fired"),
        number("pending"),
        number("dropped"),
        number("rejected"),
        time(row.updated_at),
    ]
}
