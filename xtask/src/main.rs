//! `cargo xtask`.

use clap::builder::PossibleValuesParser;
use clap::{Parser, Subcommand};
use std::path::{Path, PathBuf};
use xtask::{bless, ci, dist, pairs, tidy};

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
    /// Build the command to give away: stripped, with its debug information beside it
    Dist,
    /// Run benchmarks of another checkout and of this one in turn, and print the ratios
    Pairs {
        /// The other checkout, its benchmarks built with `--release`
        before: PathBuf,
        /// The benchmarks
        #[arg(required = true)]
        benches: Vec<String>,
        /// Runs of each
        #[arg(long, default_value_t = 5)]
        rounds: usize,
    },
}

fn main() -> anyhow::Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask has a parent");
    match Args::parse().task {
        Task::Ci { only } => ci::check(root, &only),
        Task::Tidy => tidy::check(root),
        Task::Bless => bless(root),
        Task::Dist => dist::dist(root, "release"),
        Task::Pairs { before, benches, rounds } => pairs::pairs(&before, root, rounds, &benches),
    }
}
