//! `longshore workflows`.

mod list;
mod show;

use crate::home::Home;
use crate::output::{ExitStatus, Printer};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    home: Home,
    #[command(subcommand)]
    verb: Option<Verb>,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// List the workflows of all packages
    List,
    /// Show the tasks of a workflow and what each of them waits for
    Show(show::Args),
}

pub(crate) async fn run(args: Args, printer: &Printer) -> anyhow::Result<ExitStatus> {
    match args.verb.unwrap_or(Verb::List) {
        Verb::List => list::run(&args.home, printer).await,
        Verb::Show(show) => show::run(&args.home, show, printer).await,
    }
}
