//! `longshore packages check`.

use crate::home::Home;
use crate::output::{ExitStatus, Printer};
use longshore_reconciler::readiness::{Problem, Readiness};
use longshore_store::ConditionRow;
use serde_json::json;
use std::fmt::Write;

pub(super) async fn run(home: &Home, printer: &Printer) -> anyhow::Result<ExitStatus> {
    let store = home.open_read_only().await?;
    let readiness = Readiness::of(&ConditionRow::all(&store).await?);
    let document = json!({ "ready": readiness.is_ready(), "readiness": readiness });
    printer.print(&document, || text(&readiness))?;
    Ok(if readiness.is_ready() { ExitStatus::Done } else { ExitStatus::Failed })
}

fn text(readiness: &Readiness) -> String {
    let mut out = String::from(if readiness.is_ready() { "ready\n" } else { "not ready\n" });
    for (word, problems) in [("missing", &readiness.missing), ("warning", &readiness.warnings)] {
        for Problem { subject, code, message } in problems {
            // Writing to a String does not fail.
            let _ = writeln!(out, "{word}: {subject}\n  {code} {message}");
        }
    }
    out
}
