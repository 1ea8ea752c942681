//! `longshore runs cancel`.

use super::find::find;
use crate::home::{Home, now_ms};
use crate::output::{ExitStatus, Printer};
use crate::request::decision::Decision;
use longshore_store::RunRow;
use serde_json::json;

pub(super) async fn run(
    home: &Home,
    run: &str,
    decision: &Decision,
    printer: &Printer,
) -> anyhow::Result<ExitStatus> {
    let store = home.open_read_only().await?;
    let id = find(&store, run).await?;
    let by = (decision.actor.as_str(), decision.reason.as_str());
    let requested = RunRow::request_cancel(&store, id, Some(by), now_ms()).await?;
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
