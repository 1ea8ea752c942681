//! `longshore reactors`.

mod ask;
mod list;
mod show;
mod status;
mod target;

use crate::home::Home;
use crate::output::{ExitStatus, Printer};
use longshore_store::ReactorCommand;
use target::ReactorTarget;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    home: Home,
    #[command(subcommand)]
    verb: Option<Verb>,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// List all reactors, as their host last recorded them
    List,
    /// Show one reactor with its sources, graphs and dead letters
    Show {
        /// The reactor; `tenant/name` for tenants other than public
        reactor: String,
        /// With --json: the recorded outputs of a sequential reactor after this input
        #[arg(long)]
        after: Option<i64>,
    },
    /// Give a source an event
    Push {
        #[command(flatten)]
        target: ReactorTarget,
        /// The source
        source: String,
        /// The event as JSON
        event: Option<String>,
    },
    /// Send a dead letter again, once: an event to its source, a start to its workflow
    Resend {
        #[command(flatten)]
        target: ReactorTarget,
        /// Id of the dead letter, as `reactors show` prints it
        letter: String,
    },
    /// Fire with the values there are
    Fire {
        #[command(flatten)]
        target: ReactorTarget,
        /// A value to fire with; JSON, and a text that is not JSON is a string
        #[arg(value_name = "SOURCE=VALUE")]
        values: Vec<String>,
    },
    /// Stop firing; events wait, or give way to newer ones
    Pause(ReactorTarget),
    /// Go on
    Resume(ReactorTarget),
    /// Close the circuits of graphs that failed too often in a row: the next firing calls them
    Reset(ReactorTarget),
}

pub(crate) async fn run(args: Args, printer: &Printer) -> anyhow::Result<ExitStatus> {
    let home = &args.home;
    match args.verb.unwrap_or(Verb::List) {
        Verb::List => list::run(home, printer).await,
        Verb::Show { reactor, after } => show::run(home, &reactor, after, printer).await,
        Verb::Push { target, source, event } => ask::push(home, &target, &source, event, printer).await,
        Verb::Resend { target, letter } => ask::resend(home, &target, &letter, printer).await,
        Verb::Fire { target, values } => ask::fire(home, &target, &values, printer).await,
        Verb::Pause(target) => ask::command(home, &target, ReactorCommand::Pause, printer).await,
        Verb::Resume(target) => ask::command(home, &target, ReactorCommand::Resume, printer).await,
        Verb::Reset(target) => ask::command(home, &target, ReactorCommand::Reset, printer).await,
    }
}
