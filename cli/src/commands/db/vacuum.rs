//! `longshore db vacuum`.

use crate::output::{ExitStatus, Printer};
use longshore_store::Store;
use serde_json::json;

pub(super) async fn run(store: &Store, printer: &Printer) -> anyhow::Result<ExitStatus> {
    let before = store.bytes().await?;
    store.vacuum().await?;
    let after = store.bytes().await?;
    let document = json!({ "bytes_before": before, "bytes": after });
    printer.print(&document, || format!("{before} bytes before, {after} now\n"))?;
    Ok(ExitStatus::Done)
}
