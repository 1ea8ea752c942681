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

/// The name as it is given on the command line: `tenant::name` is recorded.
fn shown(recorded: &str) -> String {
    let (tenant, name) = recorded.split_once("::").unwrap_or(("public", recorded));
    if tenant == "public" { name.to_owned() } else { format!("{tenant}/{name}") }
}
