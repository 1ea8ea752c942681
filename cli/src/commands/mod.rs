//! One file per command.

mod build;
mod decide;
mod diff;
mod graphs;
mod inspect;
mod new;
mod packages;
mod plan;
mod reactors;
mod replay;
mod run;
mod runs;
mod serve;
mod show;

use crate::args::{Args, Command};
use std::process::ExitCode;

pub(crate) async fn dispatch(args: Args) -> anyhow::Result<ExitCode> {
    let json = args.json;
    match args.command {
        Command::New(new) => new::run(&new, json),
        Command::Build(build) => build::run(build, json),
        Command::Inspect(inspect) => inspect::run(&inspect, json),
        Command::Run(run) => run::run(run, json).await,
        Command::Serve(serve) => serve::run(serve, json).await,
        Command::Packages(packages) => packages::run(packages, json).await,
        Command::Plan(plan) => plan::run(plan, json).await,
        Command::Diff(diff) => diff::run(&diff, json),
        Command::Runs(runs) => runs::run(runs, json).await,
        Command::Reactors(reactors) => reactors::run(reactors, json).await,
        Command::Graphs(graphs) => graphs::run(graphs, json).await,
    }
}
