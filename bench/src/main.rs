//! Benchmarks of whole systems, each with its floor in the same run.

mod archive;
mod backlog;
mod chaos;
mod claim;
mod dispatch;
#[allow(
    missing_docs,
    unexpected_cfgs,
    unsafe_code,
    unreachable_pub,
    clippy::all,
    clippy::undocumented_unsafe_blocks,
    reason = "fidius generates the vtable, its shims and its clients beside the trait"
)]
mod echo;
mod edit;
mod floor;
mod graphs;
mod history;
mod host;
mod hostile;
mod isolate;
mod latency;
mod load;
mod no_code;
mod package;
mod peers;
mod process;
mod registry;
mod row;
mod source;
mod steps;
mod swap;
mod waiting;
mod wide;

use clap::{Parser, Subcommand};

/// Benchmarks of Longshore. Build with --release.
#[derive(Parser)]
struct Args {
    /// Print one JSON list instead of a table
    #[arg(long, global = true)]
    json: bool,
    /// One short round: whether it works, not how fast
    #[arg(long, global = true)]
    smoke: bool,
    /// Run the closest peer on the same work too (where it has such work: `dispatch` to `load`); the first time builds it
    #[arg(long, global = true)]
    peers: bool,
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand, Clone)]
enum What {
    /// A no-op task through the vtable
    Dispatch,
    /// Ten thousand tasks that sleep
    Waiting,
    /// Durable no-op steps on SQLite
    Steps,
    /// Start to result, one run at a time
    Latency,
    /// Packages into a host, and a pass without change
    Load,
    /// Reactors: boundary in to terminal out
    Graphs,
    /// Two hundred swaps between two versions under full load
    Swap,
    /// A package in a process of its own: a call, and its start
    Isolate,
    /// More work than slots
    Backlog,
    /// Runs of thousands of tasks side by side
    Wide,
    /// Ten million finished runs
    History,
    /// Archives that claim to have ten million entries
    HostileArchive,
    /// Package files: read, checked, packed; from a changed line to a package and to a result
    Package,
    /// A large package into registries and out of them; an index with many releases
    Registry,
    /// A pass over ten thousand files without a change
    Source,
    /// From a changed line to the result of `longshore run`
    EditRun,
    /// Everything that can happen to a host, for minutes; then what it promises is checked
    Chaos(chaos::Args),
}

impl What {
    fn name(&self) -> &'static str {
        match self {
            Self::Dispatch => "dispatch",
            Self::Waiting => "waiting",
            Self::Steps => "steps",
            Self::Latency => "latency",
            Self::Load => "load",
            Self::Graphs => "graphs",
            Self::Swap => "swap",
            Self::Isolate => "isolate",
            Self::Backlog => "backlog",
            Self::Wide => "wide",
            Self::History => "history",
            Self::HostileArchive => "hostile-archive",
            Self::Package => "package",
            Self::Registry => "registry",
            Self::Source => "source",
            Self::EditRun => "edit-run",
            Self::Chaos(_) => "chaos",
        }
    }
}

fn main() -> anyhow::Result<()> {
    longshore_reconciler::run_child_if_requested();
    isolate::echo_if_asked();
    chaos::run_host_if_requested()?;
    let args = Args::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let mut rows = match &args.what {
        What::Dispatch => dispatch::run(args.smoke)?,
        What::Waiting => waiting::run(args.smoke)?,
        What::Steps => runtime.block_on(steps::run(args.smoke))?,
        What::Latency => runtime.block_on(latency::run(args.smoke))?,
        What::Load => runtime.block_on(load::run(args.smoke))?,
        What::Graphs => runtime.block_on(graphs::run(args.smoke))?,
        What::Swap => runtime.block_on(swap::run(args.smoke))?,
        What::Isolate => runtime.block_on(isolate::run(args.smoke))?,
        What::Backlog => runtime.block_on(backlog::run(args.smoke))?,
        What::Wide => runtime.block_on(wide::run(args.smoke))?,
        What::History => runtime.block_on(history::run(args.smoke))?,
        What::HostileArchive => hostile::run(args.smoke)?,
        What::Package => archive::run(args.smoke)?,
        What::Registry => registry::run(args.smoke)?,
        What::Source => runtime.block_on(source::run(args.smoke))?,
        What::EditRun => edit::run(args.smoke)?,
        What::Chaos(chaos) => runtime.block_on(chaos::run(chaos, args.smoke))?,
    };
    if args.peers {
        peers::enter(&mut rows, args.what.name())?;
    }
    row::print(&rows, args.json)
}
