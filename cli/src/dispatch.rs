//! Commands to their code.

use crate::args::Command;
use crate::commands::{
    abi, build, completions, db, dev, diff, doctor, explain, fetch, graphs, hosts, inspect, keygen, man,
    mirror, new, pack, packages, plan, precompile, promote, publish, reactors, run, runs, schedules, search,
    serve, sign, status, triggers, verify, workflows, yank,
};
use crate::output::{ExitStatus, Printer};

pub(crate) async fn dispatch(command: Command, printer: &Printer) -> anyhow::Result<ExitStatus> {
    match command {
        Command::New(args) => new::run(&args, printer),
        Command::Build(args) => build::run(args, printer),
        Command::Pack(args) => pack::run(&args, printer),
        Command::Inspect(args) => inspect::run(&args, printer),
        Command::Keygen(args) => keygen::run(&args, printer),
        Command::Sign(args) => sign::run(&args, printer),
        Command::Verify(args) => verify::run(&args, printer),
        Command::Precompile(args) => precompile::run(args, printer).await,
        Command::Publish(args) => publish::run(args, printer).await,
        Command::Fetch(args) => fetch::run(args, printer).await,
        Command::Search(args) => search::run(args, printer).await,
        Command::Yank(args) => yank::run(args, printer).await,
        Command::Promote(args) => promote::run(args, printer).await,
        Command::Mirror(args) => mirror::run(args, printer).await,
        Command::Run(args) => run::run(args, printer).await,
        Command::Dev(args) => dev::run(args, printer).await,
        Command::Serve(args) => serve::run(args, printer).await,
        Command::Doctor(args) => doctor::run(args, printer).await,
        Command::Status(args) => status::run(args, printer).await,
        Command::Hosts(args) => hosts::run(args, printer).await,
        Command::Packages(args) => packages::run(args, printer).await,
        Command::Plan(args) => plan::run(args, printer).await,
        Command::Diff(args) => diff::run(args, printer).await,
        Command::Abi(args) => abi::run(&args, printer),
        Command::Runs(args) => runs::run(args, printer).await,
        Command::Workflows(args) => workflows::run(args, printer).await,
        Command::Triggers(args) => triggers::run(args, printer).await,
        Command::Schedules(args) => schedules::run(args, printer).await,
        Command::Db(args) => db::run(args, printer).await,
        Command::Reactors(args) => reactors::run(args, printer).await,
        Command::Graphs(args) => graphs::run(args, printer).await,
        Command::Explain(args) => explain::run(&args, printer),
        Command::Completions(args) => completions::run(&args, crate::args::definition()),
        Command::Man(args) => man::run(&args, crate::args::definition()),
    }
}
