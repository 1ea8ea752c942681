//! `longshore runs cancel`.

use crate::home::{Home, now_ms};
use crate::output::{ExitStatus, Printer};
use longshore_store::{RunId, RunRow};
use serde_json::json;

pub(super) async fn run(home: &Home, run: &str, printer: &Printer) -> anyhow::Result<ExitStatus> {
    let store = home.open_read_only().await?;
    let id = RunId::parse(run)?;
    let requested = RunRow::request_cancel(&store, id, now_ms()).await?;
    let row = RunRow::find(&store, id).await?.ok_or(longshore_engine::Error::UnknownRun { run: id })?;
    let document = json!({ "run_id": id, "requested": requested, "state": row.state });
    printer.print(&document, || {
        if requested {
            format!("requested to cancel {id}; its host cancels it within a second, or when it next starts\n")
        } else {
            format!("nothing to do: {id} is {}\n", row.state.as_str())
        }
    })?;
    Ok(ExitStatus::Done)
}
