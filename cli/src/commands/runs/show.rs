//! `longshore runs show`.

use super::find::find;
use crate::home::Home;
use crate::output::{ExitStatus, Printer, span, state, table, time};
use longshore_engine::{RunReport, TaskReport};
use longshore_store::{EventRow, Subject};
use std::fmt::Write;

/// Events of a run that are shown: cancelled, timed out, keys that two tasks changed.
const EVENTS: i64 = 100;

pub(super) async fn run(home: &Home, run: &str, printer: &Printer) -> anyhow::Result<ExitStatus> {
    let store = home.open_read_only().await?;
    let report = RunReport::load(&store, find(&store, run).await?).await?;
    let events = EventRow::newest(&store, Subject::Run(report.run_id), EVENTS).await?;
    let mut document = serde_json::to_value(&report)?;
    document["events"] = serde_json::to_value(&events)?;
    printer.print(&document, || text(&report, &events))?;
    Ok(ExitStatus::Done)
}

/// Writing to a String does not fail.
fn text(report: &RunReport, events: &[EventRow]) -> String {
    let mut out = String::new();
    let RunReport { run_id, workflow, package, version, digest, origin, .. } = report;
    let state = state(report.state, report.skipped_tasks);
    let _ = writeln!(out, "run      {run_id}");
    let _ = writeln!(out, "workflow {workflow} of {package} {version} ({})", digest.short());
    let _ = writeln!(out, "state    {state}, started {} by {origin}", time(report.created_at));
    if let Some(error) = &report.error {
        let _ = writeln!(out, "error    {error}");
    }
    let head = ["TASK", "STATE", "ATTEMPTS", "TOOK", "ERROR"];
    let _ = write!(out, "\n{}", table(&head, report.tasks.iter().map(row).collect()));
    let _ = writeln!(out, "\ncontext  {}", report.context.get());
    for event in events {
        let _ = writeln!(out, "event    {} {}: {}", time(event.at), event.kind.as_str(), event.message);
    }
    out
}

fn row(task: &TaskReport) -> Vec<String> {
    let took = task.started_at.zip(task.finished_at).map(|(start, end)| span(end - start));
    let error = task.error.as_deref().and_then(|e| e.lines().next()).unwrap_or_default();
    vec![
        task.id.clone(),
        task.state.as_str().to_owned(),
        task.attempts.to_string(),
        took.unwrap_or_default(),
        error.to_owned(),
    ]
}
