//! `longshore runs start`.

use crate::home::Home;
use crate::output::{ExitStatus, Printer};
use crate::request::decision::Decision;
use crate::request::input::InputOptions;
use crate::request::{Target, answer_timeout, answered, ask, print_started, tenant_and_name};
use crate::stop_signals::StopSignals;
use crate::view::run::{status_of, text};
use longshore_engine::{Error as EngineError, RunReport, StartInput};
use longshore_store::{RequestKind, RunId, RunRow, Store};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The workflow; `tenant/name` for tenants other than public
    workflow: String,
    #[command(flatten)]
    given: InputOptions,
    /// Start at most one run of the workflow with this key: a second start finds the first run
    #[arg(long)]
    key: Option<String>,
    /// Wait until it has ended, and show it; exit code 3 when it failed
    #[arg(long)]
    wait: bool,
    #[command(flatten)]
    decision: Decision,
}

pub(super) async fn run(home: &Home, args: Args, printer: &Printer) -> anyhow::Result<ExitStatus> {
    let given = StartInput { key: args.key.clone(), ..args.given.read()? };
    let store = home.open_read_only().await?;
    if args.wait {
        let mut stops = StopSignals::new()?;
        return stops.unless(wait(&store, &args, &given, printer)).await.unwrap_or_else(|| {
            printer.remark("the run goes on without this command: see `longshore runs list`");
            Ok(ExitStatus::Interrupted)
        });
    }
    let timeout = answer_timeout(&store).await?;
    let outcome = ask(&store, target(&args), &given, &args.decision, Some(timeout)).await?;
    print_started(outcome, timeout, printer)
}

fn target(args: &Args) -> Target<'_> {
    let (tenant, workflow) = tenant_and_name(&args.workflow);
    (RequestKind::Start, tenant, workflow)
}

/// Starts a run and waits for its end, however long a host for it is away.
async fn wait(
    store: &Store,
    args: &Args,
    given: &StartInput,
    printer: &Printer,
) -> anyhow::Result<ExitStatus> {
    if answer_timeout(store).await?.is_zero() {
        printer.remark("no host runs on this database: waiting for one");
    }
    let outcome = ask(store, target(args), given, &args.decision, None).await?.unwrap_or_default();
    let Some(run) = outcome.started.first().or(outcome.found.first()) else { return Ok(ExitStatus::Failed) };
    let what = if outcome.started.is_empty() { "found" } else { "started" };
    printer.remark(&format!("{what} run {run}"));
    let report = ended(store, *run).await?;
    printer.print(&report, || text(&report, store.url()))?;
    Ok(status_of(&report))
}

async fn ended(store: &Store, run: RunId) -> anyhow::Result<RunReport> {
    let has_ended = async || {
        let row = RunRow::find(store, run).await?.ok_or(EngineError::UnknownRun { run })?;
        Ok(row.state.is_terminal().then_some(()))
    };
    answered(None, has_ended).await?;
    Ok(RunReport::load(store, run).await?)
}
