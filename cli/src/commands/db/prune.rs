//! `longshore db prune`.

use crate::commands::keep::KeepOptions;
use crate::home::now_ms;
use crate::output::{ExitStatus, Printer};
use longshore_engine::{Pruned, prune};
use longshore_store::Store;
use serde_json::json;

pub(super) async fn run(store: &Store, keep: &KeepOptions, printer: &Printer) -> anyhow::Result<ExitStatus> {
    let pruned = match keep.retention() {
        Some(retention) => prune(store, &retention, now_ms()).await?,
        None => Pruned::default(),
    };
    let Pruned { runs, events, dead_letters } = pruned;
    let document = json!({ "runs": runs, "events": events, "dead_letters": dead_letters });
    printer.print(&document, || {
        format!("deleted {runs} runs, {events} events and {dead_letters} dead letters\n")
    })?;
    Ok(ExitStatus::Done)
}
