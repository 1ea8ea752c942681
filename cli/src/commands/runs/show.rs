//! `longshore runs show`.

use super::find::find;
use crate::home::{Home, now_ms};
use crate::output::{ExitStatus, Printer, span, state, table, time};
use longshore_engine::{RunReport, TaskReport};
use longshore_store::{EventRow, HostRow, RunRow, Store, Subject, iso};
use std::fmt::Write;

/// Events of a run that are shown: cancelled, timed out, keys that two tasks changed.
const EVENTS: i64 = 100;

pub(super) async fn run(home: &Home, run: &str, printer: &Printer) -> anyhow::Result<ExitStatus> {
    let store = home.open_read_only().await?;
    let report = RunReport::load(&store, find(&store, run).await?).await?;
    let pending = if report.state.is_terminal() { None } else { Some(Pending::load(&store, &report).await?) };
    let events = EventRow::newest(&store, Subject::Run(report.run_id), EVENTS).await?;
    let mut document = serde_json::to_value(&report)?;
    document["events"] = serde_json::to_value(&events)?;
    if let Some(pending) = &pending {
        document["cancel_requested_at"] = pending.cancel_requested_at.map(iso::text).into();
        document["host"] = pending.host.as_ref().map(|host| host.id.to_string()).into();
    }
    printer.print(&document, || text(&report, pending.as_ref(), &events))?;
    Ok(ExitStatus::Done)
}

/// What a run waits for that is not over.
struct Pending {
    cancel_requested_at: Option<i64>,
    /// The host that runs on the database.
    host: Option<HostRow>,
}

impl Pending {
    async fn load(store: &Store, report: &RunReport) -> anyhow::Result<Self> {
        let row = RunRow::find(store, report.run_id).await?;
        Ok(Self {
            cancel_requested_at: row.and_then(|row| row.cancel_requested_at),
            host: HostRow::running(store, now_ms()).await?.into_iter().next(),
        })
    }

    /// Writing to a String does not fail.
    fn write(&self, out: &mut String) {
        if let Some(at) = self.cancel_requested_at {
            let _ = writeln!(out, "cancel   requested {}", time(at));
        }
        let _ = match &self.host {
            Some(host) => writeln!(out, "host     {} ({}), process {}", host.name, host.id, host.pid),
            None => writeln!(
                out,
                "host     none runs: one that serves the package goes on, or `longshore run .. --resume`"
            ),
        };
    }
}

/// Writing to a String does not fail.
fn text(report: &RunReport, pending: Option<&Pending>, events: &[EventRow]) -> String {
    let mut out = String::new();
    let RunReport { run_id, workflow, package, version, digest, origin, .. } = report;
    let state = state(report.state, report.skipped_tasks);
    let _ = writeln!(out, "run      {run_id}");
    let _ = writeln!(out, "workflow {workflow} of {package} {version} ({})", digest.short());
    let _ = writeln!(out, "state    {state}, started {} by {origin}", time(report.created_at));
    if let Some(pending) = pending {
        pending.write(&mut out);
    }
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
