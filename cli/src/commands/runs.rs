//! `longshore runs`.

use crate::args::{Home, Runs, RunsCommand};
use crate::failure::Failure;
use crate::output::{self, span, time};
use longshore_engine::RunReport;
use longshore_store::{EventRow, RunId, RunRow, RunState};
use serde_json::json;
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

/// Events of a run that are shown: cancelled, timed out, keys that two tasks changed.
const EVENTS: i64 = 100;

pub(crate) async fn run(args: Runs, json: bool) -> anyhow::Result<ExitCode> {
    match args.command.unwrap_or(RunsCommand::List { state: None, limit: 20 }) {
        RunsCommand::List { state, limit } => list(&args.home, state, limit, json).await,
        RunsCommand::Show { run } => show(&args.home, &run, json).await,
        RunsCommand::Cancel { run } => cancel(&args.home, &run, json).await,
    }
}

async fn list(home: &Home, state: Option<String>, limit: u32, json: bool) -> anyhow::Result<ExitCode> {
    let state = match state {
        None => None,
        Some(text) => {
            let parsed: Result<RunState, _> = serde_json::from_value(text.clone().into());
            Some(parsed.map_err(|_| Failure::BadState { text })?)
        }
    };
    let runs = RunRow::newest(&home.look().await?, state, i64::from(limit)).await?;
    if json {
        let runs: Vec<_> = runs.iter().map(document).collect();
        output::json(&json!({ "runs": runs }))?;
    } else if runs.is_empty() {
        println!("no runs");
    } else {
        let row = |run: &RunRow| {
            let took = run.finished_at.map(|end| span(end - run.created_at)).unwrap_or_default();
            vec![
                run.id.to_string(),
                run.workflow.clone(),
                run.version.clone(),
                run.state.as_str().to_owned(),
                time(run.created_at),
                took,
                run.origin.clone(),
            ]
        };
        output::table(
            &["RUN", "WORKFLOW", "VERSION", "STATE", "STARTED", "TOOK", "BY"],
            runs.iter().map(row).collect(),
        );
    }
    Ok(ExitCode::SUCCESS)
}

fn document(run: &RunRow) -> serde_json::Value {
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

async fn show(home: &Home, run: &str, json: bool) -> anyhow::Result<ExitCode> {
    let store = home.look().await?;
    let report = RunReport::load(&store, RunId::parse(run)?).await?;
    let events = EventRow::newest(&store, &format!("run/{}", report.run_id), EVENTS).await?;
    if json {
        let mut document = serde_json::to_value(&report)?;
        document["events"] = serde_json::to_value(&events)?;
        output::json(&document)?;
        return Ok(ExitCode::SUCCESS);
    }
    println!("run      {}", report.run_id);
    println!(
        "workflow {} of {} {} ({})",
        report.workflow,
        report.package,
        report.version,
        &report.digest.get(..12).unwrap_or(&report.digest)
    );
    println!("state    {}, started {} by {}", report.state.as_str(), time(report.created_at), report.origin);
    if let Some(error) = &report.error {
        println!("error    {error}");
    }
    let mut rows = Vec::new();
    for task in &report.tasks {
        let took =
            task.started_at.zip(task.finished_at).map(|(start, end)| span(end - start)).unwrap_or_default();
        let error = task.error.as_deref().and_then(|e| e.lines().next()).unwrap_or_default();
        rows.push(vec![
            task.id.clone(),
            task.state.as_str().to_owned(),
            task.attempts.to_string(),
            took,
            error.to_owned(),
        ]);
    }
    println!();
    output::table(&["TASK", "STATE", "ATTEMPTS", "TOOK", "ERROR"], rows);
    println!("\ncontext  {}", report.context.get());
    for event in &events {
        println!("event    {} {}: {}", time(event.at), event.kind, event.message);
    }
    Ok(ExitCode::SUCCESS)
}

async fn cancel(home: &Home, run: &str, json: bool) -> anyhow::Result<ExitCode> {
    let store = home.look().await?;
    let id = RunId::parse(run)?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    let requested = RunRow::request_cancel(&store, id, i64::try_from(now).unwrap_or(i64::MAX)).await?;
    let row = RunRow::find(&store, id).await?.ok_or(longshore_engine::Error::UnknownRun { run: id })?;
    if json {
        output::json(&json!({ "run_id": id, "requested": requested, "state": row.state }))?;
    } else if requested {
        println!("asked to cancel {id}; its host stops it within a second, or when it next starts");
    } else {
        println!("nothing to do: {id} is {}", row.state.as_str());
    }
    Ok(ExitCode::SUCCESS)
}
