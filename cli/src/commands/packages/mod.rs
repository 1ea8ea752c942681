//! `longshore packages`.

pub(crate) mod check;
mod follow;
mod known;
pub(crate) mod list;
mod overrides;
mod show;

use crate::home::{Home, LoadOptions};
use crate::output::{ExitStatus, Printer};
use crate::registry::RegistryArgs;
use crate::request::decision::Decision;
use longshore_registry::Requirement;
use std::path::PathBuf;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    home: Home,
    #[command(subcommand)]
    verb: Option<Verb>,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// List the packages of hosts
    List {
        /// Those as well that were only run
        #[arg(long)]
        all: bool,
    },
    /// Check that a host runs and every desired package is loaded as wanted; exit code 1 when not
    Check,
    /// Show one package: state, conditions with what to do, generations, entries, events
    Show {
        /// The package
        name: String,
    },
    /// Load a package file, whatever the directories offer
    Add {
        /// A `.longshore` file or a library
        file: PathBuf,
        #[command(flatten)]
        load: LoadOptions,
        #[command(flatten)]
        decision: Decision,
    },
    /// Unload a package, whatever the directories offer; its runs go on to their end
    Remove {
        /// The package
        name: String,
        #[command(flatten)]
        decision: Decision,
    },
    /// Go back to the digest before, until a file offers another than the one that is left
    Rollback {
        /// The package
        name: String,
        /// A version, or the beginning of a digest, to stay at whatever is offered; the one before by default
        #[arg(long)]
        to: Option<String>,
        #[command(flatten)]
        decision: Decision,
    },
    /// Keep a package at a digest, whatever the directories offer
    Pin {
        /// The package
        name: String,
        /// A version, or the beginning of a digest; the one that is loaded by default
        #[arg(long)]
        to: Option<String>,
        #[command(flatten)]
        decision: Decision,
    },
    /// Leave a package as it is: neither load, nor swap, nor unload it
    Hold {
        /// The package
        name: String,
        #[command(flatten)]
        decision: Decision,
    },
    /// Forget what failed about a package, and try it again at once
    Retry {
        /// The package
        name: String,
        #[command(flatten)]
        decision: Decision,
    },
    /// Take a package from a registry, and follow the version, range or channel that is wanted
    Follow {
        /// Release: NAME for the highest version, NAME@1.2.0, NAME@^1, NAME@CHANNEL
        #[arg(value_name = "NAME[@WANTED]")]
        requirement: Requirement,
        #[command(flatten)]
        registry: RegistryArgs,
        #[command(flatten)]
        decision: Decision,
    },
    /// Follow a package in its registry no longer
    Unfollow {
        /// The package
        name: String,
        #[command(flatten)]
        decision: Decision,
    },
    /// List the packages that are followed in registries, the version that is pinned, and what went wrong
    Followed,
    /// End an override: what the directories offer counts again
    Release {
        /// The package
        name: String,
        #[command(flatten)]
        decision: Decision,
    },
}

pub(crate) async fn run(args: Args, printer: &Printer) -> anyhow::Result<ExitStatus> {
    let home = &args.home;
    match args.verb.unwrap_or(Verb::List { all: false }) {
        Verb::List { all } => list::run(home, all, printer).await,
        Verb::Check => check::run(home, printer).await,
        Verb::Show { name } => show::run(home, &name, printer).await,
        Verb::Add { file, load, decision } => overrides::add(home, &file, &load, decision, printer).await,
        Verb::Remove { name, decision } => overrides::remove(home, &name, decision, printer).await,
        Verb::Rollback { name, to, decision } => {
            overrides::roll_back(home, &name, to.as_deref(), decision, printer).await
        }
        Verb::Pin { name, to, decision } => {
            overrides::pin(home, &name, to.as_deref(), decision, printer).await
        }
        Verb::Hold { name, decision } => overrides::hold(home, &name, decision, printer).await,
        Verb::Retry { name, decision } => overrides::retry(home, &name, &decision, printer).await,
        Verb::Follow { requirement, registry, decision } => {
            follow::follow(&requirement, &registry, home, decision, printer).await
        }
        Verb::Unfollow { name, decision } => follow::unfollow(home, &name, &decision, printer).await,
        Verb::Followed => follow::followed(home, printer).await,
        Verb::Release { name, decision } => overrides::release(home, &name, &decision, printer).await,
    }
}
