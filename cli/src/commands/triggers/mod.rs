//! `longshore triggers`.

mod fire;
mod list;

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
    /// List the triggers of all packages: what they start, and when
    List,
    /// Start now what a trigger starts
    Fire(fire::Args),
}

pub(crate) async fn run(args: Args, printer: &Printer) -> anyhow::Result<ExitStatus> {
    match args.verb.unwrap_or(Verb::List) {
        Verb::List => list::run(&args.home, printer).await,
        Verb::Fire(fire) => fire::run(&args.home, &fire, printer).await,
    }
}
