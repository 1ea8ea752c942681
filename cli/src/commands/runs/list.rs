//! `longshore runs list`.

use crate::error::CliError;
use crate::home::Home;
use crate::output::{ExitStatus, Printer, span, table, time};
use longshore_store::{RunRow, RunState};
use serde_json::{Value, json};

/// Runs that are listed unless the operator says otherwise.
const LIMIT: u32 = 20;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Only runs in this state: running, succeeded, failed, cancelled
    #[arg(long)]
    state: Option<String>,
    /// Number of runs, the newest first
    #[arg(long, default_value_t = LIMIT)]
    limit: u32,
}

impl Default for Args {
    fn default() -> Self {
        Self { state: None, limit: LIMIT }
    }
}

pub(super) async fn run(home: &Home, args: Args, printer: &Printer) -> anyhow::Result<ExitStatus> {
    let state = args.state.map(parse_state).transpose()?;
    let runs = RunRow::newest(&home.open_read_only().await?, state, i64::from(args.limit)).await?;
    let document = json!({ "runs": runs.iter().map(document).collect::<Vec<_>>() });
    printer.print(&document, || text(&runs))?;
    Ok(ExitStatus::Done)
}

fn parse_state(text: String) -> Result<RunState, CliError> {
    let found = RunState::ALL.iter().copied().find(|state| state.as_str() == text);
    found.ok_or(CliError::BadState { text })
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
        "created_at": run.created_at,
        "finished_at": run.finished_at,
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
            run.state.as_str().to_owned(),
            time(run.created_at),
            run.finished_at.map(|end| span(end - run.created_at)).unwrap_or_default(),
            run.origin.clone(),
        ]
    };
    let head = ["RUN", "WORKFLOW", "VERSION", "STATE", "STARTED", "TOOK", "BY"];
    table(&head, runs.iter().map(row).collect())
}
