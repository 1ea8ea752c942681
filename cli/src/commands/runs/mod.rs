//! `longshore runs`.

mod cancel;
mod find;
mod list;
mod show;
mod start;

use crate::home::Home;
use crate::output::{ExitStatus, Printer};
use crate::request::decision::Decision;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    home: Home,
    #[command(subcommand)]
    verb: Option<Verb>,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Start a workflow on the host of this database
    Start(Box<start::Args>),
    /// List the newest runs
    List(list::Args),
    /// Show one run with its tasks, attempts and context
    Show {
        /// The run's id, or its beginning
        run: String,
    },
    /// Request to cancel a run; its host cancels it within a second
    Cancel {
        /// The run's id, or its beginning
        run: String,
        #[command(flatten)]
        decision: Decision,
    },
}

pub(crate) async fn run(args: Args, printer: &Printer) -> anyhow::Result<ExitStatus> {
    match args.verb {
        None => list::run(&args.home, list::Args::default(), printer).await,
        Some(Verb::List(list)) => list::run(&args.home, list, printer).await,
        Some(Verb::Show { run }) => show::run(&args.home, &run, printer).await,
        Some(Verb::Start(start)) => start::run(&args.home, *start, printer).await,
        Some(Verb::Cancel { run, decision }) => cancel::run(&args.home, &run, &decision, printer).await,
    }
}
