//! `longshore runs start`.

use crate::home::Home;
use crate::output::{ExitStatus, Printer};
use crate::request::decision::Decision;
use crate::request::given::GivenOptions;
use crate::request::{LOOK_INTERVAL, ask, patience, print_started};
use crate::stops::Stops;
use crate::view::run::{status_of, text};
use longshore_engine::{Error as EngineError, Given, RunReport};
use longshore_store::{RequestKind, RunId, RunRow, Store, TenantId};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The workflow
    workflow: String,
    /// Its tenant
    #[arg(long, default_value = "public")]
    tenant: String,
    #[command(flatten)]
    given: GivenOptions,
    /// Start at most one run with this key: a second start finds the first run
    #[arg(long)]
    key: Option<String>,
    /// Wait until it has ended, and show it; exit code 3 when it failed
    #[arg(long)]
    wait: bool,
    #[command(flatten)]
    decision: Decision,
}

pub(super) async fn run(home: &Home, args: Args, printer: &Printer) -> anyhow::Result<ExitStatus> {
    let given = Given { key: args.key.clone(), ..args.given.read()? };
    let store = home.open_read_only().await?;
    if args.wait {
        let mut stops = Stops::new()?;
        return tokio::select! {
            ended = wait(&store, &args, &given, printer) => ended,
            () = stops.next() => {
                printer.remark("the run goes on without this command: see `longshore runs list`");
                Ok(ExitStatus::Interrupted)
            }
        };
    }
    let patience = patience(&store).await?;
    let runs = ask(&store, target(&args), &given, &args.decision, Some(patience)).await?;
    print_started(runs.as_deref(), patience, printer)
}

fn target(args: &Args) -> (RequestKind, TenantId, &str) {
    (RequestKind::Start, args.tenant.as_str().into(), &args.workflow)
}

/// Starts a run and waits for its end, however long a host for it is away.
async fn wait(store: &Store, args: &Args, given: &Given, printer: &Printer) -> anyhow::Result<ExitStatus> {
    if patience(store).await?.is_zero() {
        printer.remark("no host runs on this database: waiting for one");
    }
    let runs = ask(store, target(args), given, &args.decision, None).await?.unwrap_or_default();
    let Some(run) = runs.first() else { return Ok(ExitStatus::Failed) };
    printer.remark(&format!("started run {run}"));
    let report = ended(store, *run).await?;
    printer.print(&report, || text(&report, store.url()))?;
    Ok(status_of(&report))
}

async fn ended(store: &Store, run: RunId) -> anyhow::Result<RunReport> {
    loop {
        let row = RunRow::find(store, run).await?.ok_or(EngineError::UnknownRun { run })?;
        if row.state.is_terminal() {
            return Ok(RunReport::load(store, run).await?);
        }
        tokio::time::sleep(LOOK_INTERVAL).await;
    }
}
