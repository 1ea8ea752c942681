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
        one: ReactorTarget,
        /// The source
        source: String,
        /// The event as JSON
        event: Option<String>,
    },
    /// Send a dead letter again, once: an event to its source, a start to its workflow
    Resend {
        #[command(flatten)]
        one: ReactorTarget,
        /// Id of the dead letter, as `reactors show` prints it
        letter: String,
    },
    /// Fire with the values there are
    Fire {
        #[command(flatten)]
        one: ReactorTarget,
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
        Verb::Push { one, source, event } => ask::push(home, &one, &source, event, printer).await,
        Verb::Resend { one, letter } => ask::resend(home, &one, &letter, printer).await,
        Verb::Fire { one, values } => ask::fire(home, &one, &values, printer).await,
        Verb::Pause(one) => ask::command(home, &one, ReactorCommand::Pause, printer).await,
        Verb::Resume(one) => ask::command(home, &one, ReactorCommand::Resume, printer).await,
        Verb::Reset(one) => ask::command(home, &one, ReactorCommand::Reset, printer).await,
    }
}
