//! `longshore graphs`.

mod show;

use crate::home::Home;
use crate::output::{ExitStatus, Printer};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    home: Home,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Show the topology of a graph of a loaded package
    Show(show::Args),
}

pub(crate) async fn run(args: Args, printer: &Printer) -> anyhow::Result<ExitStatus> {
    let Verb::Show(show) = args.verb;
    show::run(&args.home, show, printer).await
}
