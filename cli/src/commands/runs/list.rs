//! `longshore runs list`.

use crate::error::CliError;
use crate::home::{Home, now_ms};
use crate::output::{ExitStatus, Printer, span, state, table, time};
use longshore_store::{RunFilter, RunRow, RunState, iso};
use serde_json::{Value, json};
use std::time::UNIX_EPOCH;

/// Runs that are listed unless the operator says otherwise.
const LIMIT: u32 = 20;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Only runs in this state: running, succeeded, failed, cancelled
    #[arg(long)]
    state: Option<String>,
    /// Only runs of this workflow
    #[arg(long)]
    workflow: Option<String>,
    /// Only runs that were started in this time (`90min`, `7days`), or at this time (`2026-11-26T10:00:00Z`) or later
    #[arg(long, value_name = "TIME", value_parser = since)]
    since: Option<i64>,
    /// Number of runs, the newest first
    #[arg(long, default_value_t = LIMIT)]
    limit: u32,
}

impl Default for Args {
    fn default() -> Self {
        Self { state: None, workflow: None, since: None, limit: LIMIT }
    }
}

pub(super) async fn run(home: &Home, args: Args, printer: &Printer) -> anyhow::Result<ExitStatus> {
    let Args { state, workflow, since, limit } = args;
    let filter = RunFilter { state: state.map(parse_state).transpose()?, workflow, since };
    let runs = RunRow::newest(&home.open_read_only().await?, filter, i64::from(limit)).await?;
    let document = json!({ "runs": runs.iter().map(document).collect::<Vec<_>>() });
    printer.print(&document, || text(&runs))?;
    Ok(ExitStatus::Done)
}

fn parse_state(text: String) -> Result<RunState, CliError> {
    let found = RunState::ALL.iter().copied().find(|state| state.as_str() == text);
    found.ok_or(CliError::BadState { text })
}

/// A span of time until now, or a time, as milliseconds since 1970.
fn since(text: &str) -> Result<i64, String> {
    if let Ok(span) = humantime::parse_duration(text) {
        return Ok(now_ms().saturating_sub(i64::try_from(span.as_millis()).unwrap_or(i64::MAX)));
    }
    let time = humantime::parse_rfc3339_weak(text).map_err(|error| error.to_string())?;
    let since_1970 = time.duration_since(UNIX_EPOCH).map_err(|_| "it is before 1970".to_owned())?;
    Ok(i64::try_from(since_1970.as_millis()).unwrap_or(i64::MAX))
}

fn document(run: &RunRow) -> Value {
    json!({
        "run_id": run.id,
        "workflow": run.workflow,
        "tenant": run.tenant,
        "package": run.package,
        "version": run.version,
        "digest": run.digest,
        "state": run.state,
        "origin": run.origin,
        "error": run.error,
        "skipped_tasks": run.skipped_tasks,
        "created_at": iso::text(run.created_at),
        "finished_at": run.finished_at.map(iso::text),
    })
}

fn text(runs: &[RunRow]) -> String {
    if runs.is_empty() {
        return "no runs\n".to_owned();
    }
    let row = |run: &RunRow| {
        vec![
            run.id.to_string(),
            run.workflow.clone(),
            run.version.clone(),
            state(run.state, run.skipped_tasks),
            time(run.created_at),
            run.finished_at.map(|end| span(end - run.created_at)).unwrap_or_default(),
            run.origin.clone(),
        ]
    };
    let head = ["RUN", "WORKFLOW", "VERSION", "STATE", "STARTED", "TOOK", "BY"];
    table(&head, runs.iter().map(row).collect())
}
