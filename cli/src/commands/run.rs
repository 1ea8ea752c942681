//! `longshore run`.

use crate::args::Run;
use crate::build::{How, build, is_crate};
use crate::commands::replay;
use crate::failure::Failure;
use crate::host::{Host, Kind};
use crate::output::{self, span};
use crate::progress::Progress;
use longshore_engine::{Packages, RunReport, StartRequest, WorkflowDef};
use longshore_reconciler::{Outcome, source};
use longshore_store::{RunId, RunState, TaskState};
use serde_json::{Map, Value};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

/// How long running attempts get to end after Ctrl-C.
const DRAIN: Duration = Duration::from_secs(30);

/// Attempts of one run that run at the same time.
const SLOTS: usize = 256;

/// Exit code of a run that did not succeed.
const RUN_FAILED: u8 = 3;

/// Exit code after Ctrl-C, as shells count it.
const INTERRUPTED: u8 = 130;

pub(crate) async fn run(args: Run, json: bool) -> anyhow::Result<ExitCode> {
    let params = params(&args.params)?;
    let (directories, named) = sources(&args)?;
    let kind = Kind {
        directories,
        slots: SLOTS,
        triggers: false,
        reactors: args.workflow.is_none() && named.is_none(),
        replay: true,
        tune: Box::new({
            let taking = args.taking.clone();
            move |options| {
                taking.apply(options);
                // It is told what to run: there is nothing to go back to.
                options.health = None;
            }
        }),
        stream_root: Some(PathBuf::from(&args.what)),
    };
    let mut host = Host::open(&args.home, kind).await?;
    load(&mut host, named.is_some()).await?;
    if args.workflow.is_none() && named.is_none() && replay::is_wanted(&host) {
        let code = replay::run(&host, json).await;
        host.close(Duration::ZERO).await;
        return code;
    }
    let result = run_on(&host, &args, named, params, json).await;
    host.close(Duration::ZERO).await;
    let Some(report) = result? else { return Ok(ExitCode::from(INTERRUPTED)) };
    if json {
        output::json(&report)?;
    } else {
        print(&report, &args.home.database());
    }
    Ok(if report.state == RunState::Succeeded { ExitCode::SUCCESS } else { ExitCode::from(RUN_FAILED) })
}

/// Where the package comes from, and the workflow's name when that is what was given.
fn sources(args: &Run) -> anyhow::Result<(Vec<PathBuf>, Option<String>)> {
    let path = Path::new(&args.what);
    if is_crate(path) {
        let built = build(path, &How { release: args.release, ..How::default() })?;
        return Ok((vec![built.file], None));
    }
    if path.is_file() {
        return Ok((vec![path.to_owned()], None));
    }
    let mut directories = source::directories_of_environment();
    let own = args.home.home.join("packages");
    if own.is_dir() {
        directories.push(own);
    }
    if path.exists() || args.what.contains(std::path::MAIN_SEPARATOR) || directories.is_empty() {
        return Err(Failure::NotACrate { path: path.to_owned() }.into());
    }
    Ok((directories, Some(args.what.clone())))
}

fn params(given: &[String]) -> anyhow::Result<Map<String, Value>> {
    given
        .iter()
        .map(|text| {
            let (key, value) = text
                .split_once('=')
                .filter(|(key, _)| !key.is_empty())
                .ok_or_else(|| Failure::BadParam { text: text.clone() })?;
            let value = serde_json::from_str(value).unwrap_or_else(|_| Value::from(value));
            Ok((key.to_owned(), value))
        })
        .collect()
}

/// Takes the packages in. The one file that was named must load; of many, the others may be broken.
async fn load(host: &mut Host, many: bool) -> anyhow::Result<()> {
    let (report, _) = host.reconciler.reconcile().await?;
    for outcome in report.outcomes {
        match outcome {
            Outcome::Refused { error, .. } if !many => return Err(error.into()),
            Outcome::Refused { name, error } => {
                tracing::warn!(name, code = error.code(), "refused: {}", error.full())
            }
            _ => {}
        }
    }
    Ok(())
}

/// Starts, follows. `None` when it was interrupted.
async fn run_on(
    host: &Host,
    args: &Run,
    named: Option<String>,
    params: Map<String, Value>,
    json: bool,
) -> anyhow::Result<Option<RunReport>> {
    let def = choose(host, args.workflow.clone().or(named))?;
    let mut events = host.engine.progress();
    let request = StartRequest {
        tenant: def.tenant.clone(),
        workflow: def.name.clone(),
        params,
        ..StartRequest::default()
    };
    let run = host.engine.start(request).await?.run;
    if !json {
        eprintln!("{} {} of {} {} ({})", def.name, run, def.package, def.version, &def.digest[..12]);
    }
    let mut progress = Progress::new(&def, json);
    let engine = host.engine.clone();
    let ended = engine.wait(run);
    tokio::pin!(ended);
    loop {
        tokio::select! {
            biased;
            event = events.recv() => {
                if let Ok(event) = event && event.run == run {
                    progress.show(&event);
                }
            }
            report = &mut ended => {
                while let Ok(event) = events.try_recv() {
                    if event.run == run {
                        progress.show(&event);
                    }
                }
                return Ok(Some(report?));
            }
            _ = tokio::signal::ctrl_c() => {
                interrupted(host, run).await;
                return Ok(None);
            }
        }
    }
}

fn choose(host: &Host, wanted: Option<String>) -> anyhow::Result<Arc<WorkflowDef>> {
    let catalog = host.reconciler.loaded().catalog();
    let mut all: Vec<_> = catalog.workflows.values().cloned().collect();
    all.sort_by_key(|def| def.key());
    if let Some(wanted) = wanted {
        let known = all.iter().map(|def| def.name.clone()).collect();
        let found = all.into_iter().find(|def| def.name == wanted);
        let tenant = "public".to_owned();
        return found
            .ok_or(longshore_engine::Error::UnknownWorkflow { tenant, workflow: wanted, known }.into());
    }
    match all.len() {
        0 => Err(Failure::NoWorkflow { package: "of this file".into() }.into()),
        1 => Ok(all.remove(0)),
        _ => {
            Err(Failure::SeveralWorkflows { workflows: all.iter().map(|def| def.name.clone()).collect() }
                .into())
        }
    }
}

/// The first Ctrl-C lets running attempts end, the second one does not wait for them.
async fn interrupted(host: &Host, run: RunId) {
    eprintln!("stopping: running tasks may end; press Ctrl-C again to stop at once");
    tokio::select! {
        () = host.engine.shutdown(DRAIN) => {}
        _ = tokio::signal::ctrl_c() => {}
    }
    eprintln!("run {run} is not over; it goes on when this package is run or served again");
}

fn print(report: &RunReport, database: &Path) {
    let took = report.finished_at.map(|end| span(end - report.created_at)).unwrap_or_default();
    println!("{} {} in {took}", report.workflow, report.state.as_str());
    if let Some(error) = &report.error {
        println!("  {error}");
    }
    for task in report.tasks.iter().filter(|t| t.state == TaskState::Failed) {
        let backtrace =
            task.history.last().and_then(|a| a.error.as_ref()?.get("backtrace")?.as_str().map(str::to_owned));
        if let Some(backtrace) = backtrace {
            println!("  backtrace of {}:\n{backtrace}", task.id);
        }
    }
    let context: Map<String, Value> = serde_json::from_str(report.context.get()).unwrap_or_default();
    for (key, value) in context {
        let text = value.to_string();
        let cut = text.floor_char_boundary(100);
        println!("  {key} = {}{}", &text[..cut], if cut < text.len() { " .." } else { "" });
    }
    println!("record: run {} in {}", report.run_id, database.display());
}
