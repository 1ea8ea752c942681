//! Global flags and the commands; the arguments of each command stand beside its code.

use crate::commands::{
    abi, build, completions, db, dev, diff, doctor, explain, fetch, graphs, hosts, inspect, keygen, man,
    mirror, new, pack, packages, plan, precompile, promote, publish, reactors, run, runs, schedules, search,
    serve, sign, status, triggers, verify, workflows, yank,
};
use clap::{Parser, Subcommand};

/// Workflows shipped as native Rust packages.
#[derive(Debug, Parser)]
#[command(name = "longshore", version, about, long_about = LONG, after_help = EXIT_CODES)]
pub(crate) struct Args {
    /// Print one JSON document on stdout; logs stay on stderr
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// More log lines: -v debug, -vv trace (or set RUST_LOG)
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
    #[command(subcommand)]
    pub(crate) command: Command,
}

const LONG: &str = "Workflows shipped as native Rust packages.\n\n\
    An author writes tasks in a Rust crate and adds `longshore::package!()`. `longshore build` makes a \
    package of it; `longshore run` runs its workflow durably; `longshore serve` keeps a host running that \
    loads packages as their files appear, and unloads them as they disappear.";

const EXIT_CODES: &str = "Exit codes: 0 done; 1 failed, with a code that `longshore explain CODE` explains; \
    2 wrong usage; 3 the run ended as failed or cancelled; 130 interrupted.";

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make a new package crate
    New(new::Args),
    /// Build a crate into a package file
    Build(build::Args),
    /// Join builds of a package for several targets into one package file
    Pack(pack::Args),
    /// Show what a package says about itself, without running it
    Inspect(inspect::Args),
    /// Make a key that signs packages
    Keygen(keygen::Args),
    /// Sign a package, as its author or as its builder
    Sign(sign::Args),
    /// Check that a package is whole, and signed by somebody who may
    Verify(verify::Args),
    /// Build a crate, sign it, and publish it for whoever would build the same
    Precompile(precompile::Args),
    /// Publish package files in a registry
    Publish(publish::Args),
    /// Fetch a package from a registry: the version that is asked for, checked on arrival
    Fetch(fetch::Args),
    /// List the packages of a registry, or the releases of one
    Search(search::Args),
    /// Mark a release so that ranges and channels no longer give it
    Yank(yank::Args),
    /// Move a channel to a release
    Promote(promote::Args),
    /// Copy packages from one registry to another, or into a bundle for machines without a network
    Mirror(mirror::Args),
    /// Run a workflow to its end, or replay the streams that a package's reactors read
    Run(run::Args),
    /// Build a crate and run its workflow again after each change; --json prints one document for each run
    Dev(dev::Args),
    /// Keep a host running on directories of packages
    Serve(serve::Args),
    /// Check what a crate or a host needs, and say what to mend
    Doctor(doctor::Args),
    /// Show at a glance whether everything works: hosts, packages, problems
    Status(status::Args),
    /// List hosts: those that run, stopped, or died
    Hosts(hosts::Args),
    /// List packages with their problems; override which version counts
    Packages(packages::Args),
    /// Show what a host would do next, and what would break, without doing it
    Plan(plan::Args),
    /// Show field by field what differs between packages, without running them, and which version that asks for
    Diff(diff::Args),
    /// Show the interface, wire types and compiler of this host or of a package, which decide whether they fit
    Abi(abi::Args),
    /// Start, list, show and cancel runs
    Runs(runs::Args),
    /// List and show workflows
    Workflows(workflows::Args),
    /// List triggers; fire them
    Triggers(triggers::Args),
    /// List schedules with their next fires
    Schedules(schedules::Args),
    /// List and show reactors; feed, fire, pause, resume and reset them
    Reactors(reactors::Args),
    /// List and show computation graphs
    Graphs(graphs::Args),
    /// Prune, vacuum, back up and check the database
    Db(db::Args),
    /// Print the page of an error code
    Explain(explain::Args),
    /// Print a completion script for a shell
    #[command(hide = true)]
    Completions(completions::Args),
    /// Write manual pages into a folder
    #[command(hide = true)]
    Man(man::Args),
}

/// The definition of the whole command line, for completions and manual pages.
pub(crate) fn definition() -> clap::Command {
    <Args as clap::CommandFactory>::command()
}
