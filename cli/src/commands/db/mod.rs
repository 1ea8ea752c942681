//! `longshore db`.

mod backup;
mod check;
mod prune;
mod vacuum;

use crate::home::Home;
use crate::output::{ExitStatus, Printer};
use std::path::PathBuf;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    home: Home,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Delete runs, events and dead letters that are not kept any more; a host does it every hour
    Prune(prune::Args),
    /// Give the space of what was deleted back to the disk; on SQLite nobody can write meanwhile
    Vacuum,
    /// Copy the database into a new file, also while a host runs; for PostgreSQL there is pg_dump
    Backup {
        /// The file to make
        file: PathBuf,
    },
    /// Read every run with its tasks, and say what is damaged
    Check,
}

pub(crate) async fn run(args: Args, printer: &Printer) -> anyhow::Result<ExitStatus> {
    let store = args.home.open_read_only().await?;
    match args.verb {
        Verb::Prune(args) => prune::run(&store, &args, printer).await,
        Verb::Vacuum => vacuum::run(&store, printer).await,
        Verb::Backup { file } => backup::run(&store, &file, printer).await,
        Verb::Check => check::run(&store, printer).await,
    }
}
