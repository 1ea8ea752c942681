//! `longshore db backup`.

use crate::error::CliError;
use crate::output::{ExitStatus, Printer};
use longshore_store::Store;
use serde_json::json;
use std::path::Path;

pub(super) async fn run(store: &Store, file: &Path, printer: &Printer) -> anyhow::Result<ExitStatus> {
    if file.exists() {
        return Err(CliError::FileExists { path: file.to_owned() }.into());
    }
    store.backup(file).await?;
    let bytes = std::fs::metadata(file)?.len();
    let document = json!({ "file": file.display().to_string(), "bytes": bytes });
    printer.print(&document, || format!("{} has {bytes} bytes\n", file.display()))?;
    Ok(ExitStatus::Done)
}
