//! `cargo xtask`.

use clap::builder::PossibleValuesParser;
use clap::{Parser, Subcommand};
use std::path::Path;
use xtask::{bless, ci, tidy};

/// The project's own tasks
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Args {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Run everything that has to pass; `.ci/setup` installs what that needs
    Ci {
        /// Only these checks
        #[arg(value_parser = PossibleValuesParser::new(ci::names()))]
        only: Vec<String>,
    },
    /// Check what no linter knows: circles, rooms, purity, sizes, error codes
    Tidy,
    /// Record the snapshots of the macros anew; read the difference
    Bless,
}

fn main() -> anyhow::Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask has a parent");
    match Args::parse().task {
        Task::Ci { only } => ci::check(root, &only),
        Task::Tidy => tidy::check(root),
        Task::Bless => bless(root),
    }
}
