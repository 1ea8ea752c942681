//! `longshore run`.

mod interrupted;
mod replay;

use crate::error::CliError;
use crate::home::{Home, LoadOptions};
use crate::output::{ExitStatus, Printer};
use crate::packaging::{BuildOptions, build, is_crate};
use crate::progress::Progress;
use crate::request::input::InputOptions;
use crate::stdio::{self, errln};
use crate::stop_signals::StopSignals;
use crate::view::run::{status_of, text};
use longshore_engine::{Packages, Resume, RunReport, StartInput, WorkflowDef};
use longshore_reconciler::artifact::{VerifyOptions, verify};
use longshore_reconciler::plan::model::Deferred;
use longshore_reconciler::source::directory;
use longshore_reconciler::{Host, HostOptions, Outcome};
use longshore_store::{Override, RunId, RunRow};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// The time running attempts get to end after Ctrl-C.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(30);

/// Attempts of one run that run at the same time.
const SLOTS: usize = 256;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A crate's folder, a package file, or the name of a workflow in LONGSHORE_PATH
    pub(super) what: String,
    /// The workflow, when the package has several
    #[arg(short, long)]
    pub(super) workflow: Option<String>,
    #[command(flatten)]
    pub(super) given: InputOptions,
    /// Go on with the runs of this package that were interrupted, instead of starting one
    #[arg(long, conflicts_with_all = ["params", "context"])]
    pub(super) resume: bool,
    /// Optimise when building
    #[arg(long)]
    pub(super) release: bool,
    #[command(flatten)]
    pub(super) load: LoadOptions,
    #[command(flatten)]
    pub(super) home: Home,
}

pub(crate) async fn run(args: Args, printer: &Printer) -> anyhow::Result<ExitStatus> {
    let given = args.given.read()?;
    let (directories, named) = sources(&args)?;
    let mut stops = StopSignals::new()?;
    let captured = stdio::capture()?;
    let opened = stops.unless(async {
        let resumed =
            if args.resume { to_resume(&args, &directories, named.as_deref()).await? } else { Vec::new() };
        let options = host_options(&args, directories, named.is_some(), &resumed);
        anyhow::Ok((Host::open(options).await?, resumed))
    });
    let Some(opened) = opened.await else { return Ok(ExitStatus::Interrupted) };
    let (host, resumed) = opened?;
    captured.follow(host.engine());
    let status = run_on(&host, &args, (named, &given), resumed, &mut stops, printer).await;
    let _ = stops.unless(host.shutdown(Duration::ZERO)).await;
    status
}

/// The runs to go on with: those of the one file, or of the workflow, that was named.
async fn to_resume(args: &Args, directories: &[PathBuf], named: Option<&str>) -> anyhow::Result<Vec<RunRow>> {
    let store = args.home.open_or_make().await?;
    let mut runs = interrupted::unfinished(&store, args.workflow.as_deref().or(named)).await?;
    if let (None, Some(file)) = (named, directories.first()) {
        let package = verify(file, &VerifyOptions::default())?.record.package.name;
        runs.retain(|run| run.package.as_str() == package);
    }
    store.close().await;
    Ok(runs)
}

/// Does what was asked for on a host that was opened for it.
async fn run_on(
    host: &Host,
    args: &Args,
    (named, given): (Option<String>, &StartInput),
    resumed: Vec<RunRow>,
    stops: &mut StopSignals,
    printer: &Printer,
) -> anyhow::Result<ExitStatus> {
    let wanted = args.workflow.clone().or_else(|| named.clone());
    let Some(loaded) = stops.unless(load(host, named.is_some())).await else {
        return Ok(ExitStatus::Interrupted);
    };
    loaded?;
    if args.resume {
        let Some(status) = stops.unless(interrupted::resume(host, &resumed, printer)).await else {
            stop(host, &[], stops).await;
            return Ok(ExitStatus::Interrupted);
        };
        return status;
    }
    if args.workflow.is_none() && named.is_none() && replay::is_wanted(host) {
        return replay::run(host, stops, printer).await;
    }
    let unfinished = interrupted::unfinished(host.engine().store(), wanted.as_deref()).await?;
    interrupted::remark(&interrupted::of_loaded(host, unfinished), &args.what, printer);
    let (run, report) = start(host, (wanted, given), stops, printer).await?;
    let Some(report) = report else {
        let what = &args.what;
        errln!(
            "run {run} is not over; `longshore run {what} --resume` goes on with it, and so does a host that serves it"
        );
        return Ok(ExitStatus::Interrupted);
    };
    printer.print(&report, || text(&report, host.engine().store().url()))?;
    Ok(status_of(&report))
}

/// A host without triggers and schedules; its reactors start anew.
pub(super) fn host_options(
    args: &Args,
    directories: Vec<PathBuf>,
    named: bool,
    resumed: &[RunRow],
) -> HostOptions {
    let mut options = args.home.host_options();
    options.follow = false;
    options.engine.slots = SLOTS;
    options.engine.triggers = false;
    // What was interrupted here stays so, unless somebody asks for it: it may do again what it did.
    options.engine.resume = match args.resume {
        true => Resume::Only(resumed.iter().map(|run| run.id).collect()),
        false => Resume::Nothing,
    };
    options.reconciler.restore = Some(resumed.iter().map(|run| run.digest.clone()).collect());
    options.reconciler.transient = true;
    // What is kept in this home, its host says.
    options.engine.retention = None;
    options.engine.reactors = args.workflow.is_none() && !named && !args.resume;
    options.engine.replay = true;
    options.engine.stream_roots = vec![PathBuf::from("."), PathBuf::from(&args.what)];
    options.reconciler.directories = directories;
    // The command names what to run: there is nothing to roll back to.
    options.reconciler.health = None;
    args.load.apply(&mut options.reconciler);
    options
}

/// The sources of the packages, and the workflow's name when that is what was given.
fn sources(args: &Args) -> anyhow::Result<(Vec<PathBuf>, Option<String>)> {
    let path = Path::new(&args.what);
    if is_crate(path) {
        let built =
            build(path, &BuildOptions { release: args.release, prebuilt: true, ..BuildOptions::default() })?;
        return Ok((vec![built.file], None));
    }
    if path.is_file() {
        return Ok((vec![path.to_owned()], None));
    }
    let mut directories = directory::of_environment();
    let own = args.home.home.join("packages");
    if own.is_dir() {
        directories.push(own);
    }
    let is_path = args.what.contains(std::path::MAIN_SEPARATOR) || path.file_name().is_none();
    if is_path || directories.is_empty() {
        return Err(CliError::NotACrate { path: path.to_owned() }.into());
    }
    Ok((directories, Some(args.what.clone())))
}

/// Loads the packages. The one file that was named must load, and no other version in its place; of many, the others may be
/// broken.
pub(super) async fn load(host: &Host, many: bool) -> anyhow::Result<()> {
    let report = host.settle().await?;
    let overridden = report.deferred.iter().find(|deferred| matches!(deferred, Deferred::Overridden { .. }));
    if let Some(Deferred::Overridden { package, by }) = overridden.filter(|_| !many) {
        let Override { kind, actor, reason, .. } = &**by;
        let decision = format!("{} by {actor}: {reason}", kind.participle());
        return Err(CliError::Overridden { name: package.name.to_string(), decision }.into());
    }
    for outcome in report.outcomes {
        match outcome {
            Outcome::Refused { error, .. } if !many => return Err(error.into()),
            Outcome::Refused { name, error } => {
                tracing::warn!(name, code = error.code(), "refused: {}", error.full());
            }
            _ => {}
        }
    }
    Ok(())
}

/// Starts a run and follows it to its report; none when it was interrupted.
pub(super) async fn start(
    host: &Host,
    (wanted, given): (Option<String>, &StartInput),
    stops: &mut StopSignals,
    printer: &Printer,
) -> anyhow::Result<(RunId, Option<RunReport>)> {
    let def = choose(host, wanted)?;
    let mut events = host.engine().progress();
    let run = host.engine().start(given.request(&def)).await?.run;
    let WorkflowDef { name, package, version, digest, .. } = &*def;
    printer.remark(&format!("{name} {run} of {package} {version} ({})", digest.short()));
    let mut progress = Progress::new(&def, printer.is_json());
    let engine = host.engine().clone();
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
                return Ok((run, Some(report?)));
            }
            () = stops.next() => {
                stop(host, &progress.running(), stops).await;
                return Ok((run, None));
            }
        }
    }
}

fn choose(host: &Host, wanted: Option<String>) -> anyhow::Result<Arc<WorkflowDef>> {
    let catalog = host.loaded().catalog();
    let mut all: Vec<_> = catalog.workflows.values().cloned().collect();
    all.sort_by_key(|def| def.key());
    if let Some(wanted) = wanted {
        let known = all.iter().map(|def| def.name.clone()).collect();
        let found = all.into_iter().find(|def| def.name == wanted);
        let tenant = Default::default();
        return found
            .ok_or(longshore_engine::Error::UnknownWorkflow { tenant, workflow: wanted, known }.into());
    }
    match all.len() {
        0 => Err(CliError::NoWorkflow { packages: packages(host) }.into()),
        1 => Ok(all.remove(0)),
        _ => {
            Err(CliError::SeveralWorkflows { workflows: all.iter().map(|def| def.name.clone()).collect() }
                .into())
        }
    }
}

/// The first signal lets running attempts end, the second one does not wait for them.
async fn stop(host: &Host, running: &[&str], stops: &mut StopSignals) {
    let which = if running.is_empty() { "running tasks".to_owned() } else { running.join(", ") };
    errln!("stopping: {which} may end; press Ctrl-C again to stop at once");
    tokio::select! {
        () = host.stop_engine(SHUTDOWN_GRACE) => {}
        () = stops.next() => {}
    }
}

/// The names of the loaded packages.
fn packages(host: &Host) -> Vec<String> {
    host.packages().into_iter().map(|package| package.name.to_string()).collect()
}
