//! `longshore db check`.

use crate::output::{ExitStatus, Printer, time};
use longshore_store::{EventRow, Store, Subject};
use serde_json::json;

pub(super) async fn run(store: &Store, printer: &Printer) -> anyhow::Result<ExitStatus> {
    let report = store.check().await?;
    let (runs, faults) = (report.runs, &report.faults);
    let pruned = EventRow::newest(store, Subject::Database, 1).await?.pop();
    let document = json!({ "runs": runs, "faults": faults, "pruned": pruned });
    printer.print(&document, || {
        let pruned = pruned.map(|event| format!("last pruned {}: {}\n", time(event.at), event.message));
        let checked = match faults.as_slice() {
            [] => format!("{runs} runs read; nothing is damaged\n"),
            faults => faults.iter().map(|fault| format!("{fault}\n")).collect(),
        };
        checked + &pruned.unwrap_or_default()
    })?;
    Ok(if faults.is_empty() { ExitStatus::Done } else { ExitStatus::Failed })
}
