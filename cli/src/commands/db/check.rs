//! `longshore db check`.

use crate::output::{ExitStatus, Printer};
use longshore_store::Store;
use serde_json::json;

pub(super) async fn run(store: &Store, printer: &Printer) -> anyhow::Result<ExitStatus> {
    let report = store.check().await?;
    let (runs, faults) = (report.runs, &report.faults);
    let document = json!({ "runs": runs, "faults": faults });
    printer.print(&document, || match faults.as_slice() {
        [] => format!("{runs} runs read; nothing is damaged\n"),
        faults => faults.iter().map(|fault| format!("{fault}\n")).collect(),
    })?;
    Ok(if faults.is_empty() { ExitStatus::Done } else { ExitStatus::Failed })
}
