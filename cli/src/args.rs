//! What the command line takes.

use clap::{Args as ClapArgs, Parser, Subcommand};
use std::path::PathBuf;

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
    takes packages in as their files appear, and lets them go as they disappear.";

const EXIT_CODES: &str = "Exit codes: 0 done; 1 failed, with a code that docs/errors.md explains; 2 wrong \
    usage; 3 the run ended as failed or cancelled; 130 interrupted.";

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make a new package crate
    New(New),
    /// Build a crate into a package file
    Build(Build),
    /// Show what a package says about itself, without running it
    Inspect(Inspect),
    /// Run a workflow to its end, or replay the streams that a package's reactors read
    Run(Run),
    /// Keep a host running on directories of packages
    Serve(Serve),
    /// List packages, with what is wrong with those that are not loaded; decide which count
    Packages(Packages),
    /// Show what a host would do next, and what would break, without doing it
    Plan(Plan),
    /// Show what differs between two packages, without running them
    Diff(Diff),
    /// Look at runs, or cancel one
    Runs(Runs),
    /// Look at reactors, feed them, fire, pause and resume them
    Reactors(Reactors),
    /// Look at computation graphs
    Graphs(Graphs),
}

/// Where the host keeps its things.
#[derive(Debug, Clone, ClapArgs)]
pub(crate) struct Home {
    /// Folder of the database and the private copies of libraries
    #[arg(long, global = true, env = "LONGSHORE_HOME", default_value = ".longshore")]
    pub(crate) home: PathBuf,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct New {
    /// Folder to make; its last part names the crate
    pub(crate) path: PathBuf,
    /// A checkout of Longshore to depend on, instead of the published crates
    #[arg(long)]
    pub(crate) longshore: Option<PathBuf>,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Build {
    /// Folder of the crate
    #[arg(default_value = ".")]
    pub(crate) path: PathBuf,
    /// Optimise
    #[arg(long)]
    pub(crate) release: bool,
    /// Target triple; the host's by default
    #[arg(long)]
    pub(crate) target: Option<String>,
    /// Where to put the package file; the crate's target folder by default
    #[arg(short, long)]
    pub(crate) out: Option<PathBuf>,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Inspect {
    /// A `.longshore` file or a library
    pub(crate) file: PathBuf,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Run {
    /// A crate's folder, a package file, or the name of a workflow in LONGSHORE_PATH
    pub(crate) what: String,
    /// The workflow, when the package has several
    #[arg(short, long)]
    pub(crate) workflow: Option<String>,
    /// A param of the workflow; the value is JSON, and a text that is no JSON is a string
    #[arg(short, long = "param", value_name = "KEY=VALUE")]
    pub(crate) params: Vec<String>,
    /// Optimise when building
    #[arg(long)]
    pub(crate) release: bool,
    #[command(flatten)]
    pub(crate) taking: Taking,
    #[command(flatten)]
    pub(crate) home: Home,
}

/// How a host takes packages in: what is planned or added for it is checked in the same way.
#[derive(Debug, Clone, ClapArgs)]
pub(crate) struct Taking {
    /// Refuse libraries that were built without Longshore's linker arguments
    #[arg(long)]
    pub(crate) strict: bool,
    /// Give packages a process of their own: a name, or `all`
    #[arg(long, value_name = "PACKAGE")]
    pub(crate) isolate: Vec<String>,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Serve {
    /// Directories to take packages from; LONGSHORE_PATH, then HOME/packages, by default
    pub(crate) directories: Vec<PathBuf>,
    /// Attempts that run at the same time
    #[arg(long, default_value_t = 512)]
    pub(crate) slots: usize,
    #[command(flatten)]
    pub(crate) taking: Taking,
    /// Seconds that running attempts get to end when the host is told to stop
    #[arg(long, default_value_t = 30)]
    pub(crate) drain: u64,
    /// Seconds that runs of a replaced or removed package get before they are cancelled; for ever by default
    #[arg(long, value_name = "SECONDS")]
    pub(crate) drain_deadline: Option<u32>,
    /// Seconds after that until the old generation is closed over what does not stop
    #[arg(long, value_name = "SECONDS", default_value_t = 30, requires = "drain_deadline")]
    pub(crate) orphan_after: u32,
    /// Give packages that leave libraries mapped a process of their own, once there are more than 16
    #[arg(long)]
    pub(crate) isolate_leaks: bool,
    /// Keep a package that replaced another even when its process or its runs fail
    #[arg(long)]
    pub(crate) no_rollback: bool,
    #[command(flatten)]
    pub(crate) home: Home,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Plan {
    /// Directories to take packages from; LONGSHORE_PATH, then HOME/packages, by default
    pub(crate) directories: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) taking: Taking,
    #[command(flatten)]
    pub(crate) home: Home,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Diff {
    /// The old package: a `.longshore` file or a library
    pub(crate) old: PathBuf,
    /// The new package
    pub(crate) new: PathBuf,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Packages {
    #[command(flatten)]
    pub(crate) home: Home,
    #[command(subcommand)]
    pub(crate) command: Option<PackagesCommand>,
}

/// Who decides, and why.
#[derive(Debug, Clone, ClapArgs)]
pub(crate) struct Decision {
    /// Who decides
    #[arg(long, env = "USER", default_value = "operator")]
    pub(crate) actor: String,
    /// Why: it is recorded, and shown to whoever asks
    #[arg(long, default_value = "no reason given")]
    pub(crate) reason: String,
}

#[derive(Debug, Subcommand)]
pub(crate) enum PackagesCommand {
    /// All packages
    List,
    /// Whether every package that is wanted is loaded, and what to look at; exit code 1 when one is missing
    Check,
    /// One package: state, conditions with what to do, generations, entries, events
    Show {
        /// The package
        name: String,
    },
    /// Take a package file in and have it loaded, whatever the directories offer
    Add {
        /// A `.longshore` file or a library
        file: PathBuf,
        #[command(flatten)]
        taking: Taking,
        #[command(flatten)]
        decision: Decision,
    },
    /// Have a package unloaded, whatever the directories offer; its runs go on to their end
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
    /// Take back what was decided: what the directories offer counts again
    Release {
        /// The package
        name: String,
        #[command(flatten)]
        decision: Decision,
    },
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Runs {
    #[command(flatten)]
    pub(crate) home: Home,
    #[command(subcommand)]
    pub(crate) command: Option<RunsCommand>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum RunsCommand {
    /// The newest runs
    List {
        /// Only runs in this state: running, succeeded, failed, cancelled
        #[arg(long)]
        state: Option<String>,
        /// How many
        #[arg(long, default_value_t = 20)]
        limit: u32,
    },
    /// One run with its tasks, attempts and context
    Show {
        /// The run's id
        run: String,
    },
    /// Ask to cancel a run; its host does so within a second
    Cancel {
        /// The run's id
        run: String,
    },
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Reactors {
    #[command(flatten)]
    pub(crate) home: Home,
    #[command(subcommand)]
    pub(crate) command: Option<ReactorsCommand>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ReactorsCommand {
    /// All reactors, as their host said a moment ago
    List,
    /// One reactor with its sources, graphs and rejected events
    Show {
        /// The reactor
        reactor: String,
        /// With --json: the recorded outputs of a sequential reactor after this input
        #[arg(long)]
        after: Option<i64>,
    },
    /// Give a source an event
    Push {
        /// The reactor
        reactor: String,
        /// The source
        source: String,
        /// The event as JSON
        event: Option<String>,
    },
    /// Fire with the values there are
    Fire {
        /// The reactor
        reactor: String,
        /// A value to fire with; JSON, and a text that is no JSON is a string
        #[arg(value_name = "SOURCE=VALUE")]
        values: Vec<String>,
    },
    /// Stop firing; events wait, or give way to newer ones
    Pause {
        /// The reactor
        reactor: String,
    },
    /// Go on
    Resume {
        /// The reactor
        reactor: String,
    },
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Graphs {
    #[command(flatten)]
    pub(crate) home: Home,
    #[command(subcommand)]
    pub(crate) command: GraphsCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum GraphsCommand {
    /// The topology of a graph of a loaded package
    Show {
        /// The graph: the name of its module
        graph: String,
        /// In the language of Graphviz
        #[arg(long)]
        dot: bool,
        /// As a drawing
        #[arg(long, conflicts_with = "dot")]
        svg: bool,
    },
}
