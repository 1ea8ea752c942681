//! Runs of a package that are not over: `longshore run --resume` goes on with them, others are told of them.

use crate::output::{ExitStatus, Printer, time};
use crate::view::run::{status_of, text};
use longshore_engine::RunReport;
use longshore_reconciler::Host;
use longshore_store::{RunFilter, RunRow, RunState, Store};
use serde_json::json;

/// Most runs that are read.
const MAX_RUNS: i64 = 10_000;

/// Runs that are named.
const MAX_NAMED: usize = 3;

/// The runs that are not over, the oldest first; with a workflow only those of it.
pub(super) async fn unfinished(store: &Store, workflow: Option<&str>) -> anyhow::Result<Vec<RunRow>> {
    let workflow = workflow.map(str::to_owned);
    let filter = RunFilter { state: Some(RunState::Running), workflow, since: None };
    let mut runs = RunRow::newest(store, filter, MAX_RUNS).await?;
    runs.reverse();
    Ok(runs)
}

/// Those of the packages that are loaded now.
pub(super) fn of_loaded(host: &Host, mut runs: Vec<RunRow>) -> Vec<RunRow> {
    let packages = host.packages();
    runs.retain(|run| packages.iter().any(|package| package.name == run.package));
    runs
}

/// Says that there are some, and what can be done about them.
pub(super) fn remark(runs: &[RunRow], what: &str, printer: &Printer) {
    for run in runs.iter().take(MAX_NAMED) {
        let asked = if run.cancel_requested_at.is_some() { ", and is to be cancelled" } else { "" };
        let (workflow, id, at) = (&run.workflow, run.id, time(run.created_at));
        printer.remark(&format!("{workflow} {id} of {at} is not over{asked}"));
    }
    if runs.len() > MAX_NAMED {
        printer.remark(&format!("and {} more", runs.len() - MAX_NAMED));
    }
    if !runs.is_empty() {
        printer.remark(&format!(
            "`longshore run {what} --resume` goes on with what is not over; `longshore runs cancel RUN` ends it"
        ));
    }
}

/// Waits for the ends of runs, which the host goes on with, and prints them.
pub(super) async fn resume(host: &Host, runs: &[RunRow], printer: &Printer) -> anyhow::Result<ExitStatus> {
    let mut reports: Vec<RunReport> = Vec::new();
    for run in runs {
        printer.remark(&format!("going on with {} {} of {}", run.workflow, run.id, time(run.created_at)));
        reports.push(host.engine().wait(run.id).await?);
    }
    let database = host.engine().store().url();
    printer.print(&json!({ "runs": reports }), || {
        if reports.is_empty() {
            return "no run is interrupted\n".to_owned();
        }
        reports.iter().map(|report| text(report, database)).collect()
    })?;
    Ok(reports.iter().map(status_of).find(|status| *status != ExitStatus::Done).unwrap_or(ExitStatus::Done))
}
