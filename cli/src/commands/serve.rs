//! `longshore serve`.

use crate::commands::keep::KeepOptions;
use crate::error::CliError;
use crate::home::{Home, LoadOptions};
use crate::output::{ExitStatus, Printer};
use crate::stdio::{self, errln};
use crate::stop_signals::StopSignals;
use longshore_reconciler::plan::model::DrainPolicy;
use longshore_reconciler::source::directory;
use longshore_reconciler::{Host, HostOptions, Outcome, Report};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Directories to take packages from; LONGSHORE_PATH, then HOME/packages, by default
    directories: Vec<PathBuf>,
    /// Attempts that run at the same time
    #[arg(long, default_value_t = 512, value_parser = slots)]
    slots: usize,
    #[command(flatten)]
    load: LoadOptions,
    /// Seconds that running attempts get to end when the host is told to stop
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    grace: u64,
    /// Seconds that runs of a replaced or removed package get before they are cancelled; for ever by default
    #[arg(long, value_name = "SECONDS")]
    drain_deadline: Option<u32>,
    /// Seconds after that until the old generation is closed over attempts that do not stop
    #[arg(long, value_name = "SECONDS", default_value_t = 30, requires = "drain_deadline")]
    force_unload_after: u32,
    /// Seconds between two checks of a registry for a followed package
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..))]
    registry_interval: u32,
    /// Give packages that leave libraries mapped a process of their own, once there are more than 16
    #[arg(long)]
    isolate_leaks: bool,
    /// Keep a package that replaced another even when its process or its runs fail
    #[arg(long)]
    no_rollback: bool,
    #[command(flatten)]
    keep: KeepOptions,
    #[command(flatten)]
    home: Home,
}

pub(crate) async fn run(args: Args, printer: &Printer) -> anyhow::Result<ExitStatus> {
    let directories = directories(&args.directories, &args.home)?;
    // Before anything is opened: a signal to stop from now on closes what was opened.
    let mut stops = StopSignals::new()?;
    let shown: Vec<String> = directories.iter().map(|d| d.display().to_string()).collect();
    let captured = stdio::capture()?;
    let Some(host) = stops.unless(Host::open(host_options(&args, directories))).await else {
        return Ok(ExitStatus::Interrupted);
    };
    let host = host?;
    captured.follow(host.engine());
    let (directories, database) = (shown.join(", "), host.engine().store().url());
    tracing::info!(target: "longshore::serve", directories, database, "serving");
    printer.remark(&format!("serving {directories}; Ctrl-C stops"));
    tokio::select! {
        () = stops.next() => {}
        // Without its writer a host records nothing: whoever restarts it has to see that.
        () = host.engine().stopped() => return Err(CliError::EngineDied.into()),
    }
    let stopped = stops.unless(async {
        let (running, grace) = (running(&host).await, args.grace);
        errln!("stopping: {running} running tasks get {grace} s to end; Ctrl-C again stops at once");
        host.shutdown(Duration::from_secs(grace)).await;
    });
    Ok(if stopped.await.is_some() { ExitStatus::Done } else { ExitStatus::Interrupted })
}

/// The number of attempts that run right now.
async fn running(host: &Host) -> usize {
    let mut running = 0;
    for package in host.packages() {
        running += host.engine().in_flight(&package.digest).await;
    }
    running
}

/// The directories that packages come from: those that were named, or the usual ones.
pub(super) fn directories(named: &[PathBuf], home: &Home) -> anyhow::Result<Vec<PathBuf>> {
    let mut directories = named.to_vec();
    if directories.is_empty() {
        directories = directory::of_environment();
    }
    if directories.is_empty() {
        let own = home.home.join("packages");
        std::fs::create_dir_all(&own)?;
        directories.push(own);
    }
    for path in &directories {
        if !path.exists() {
            return Err(CliError::NoDirectory { path: path.clone() }.into());
        }
        let read =
            if path.is_dir() { path.read_dir().map(drop) } else { std::fs::File::open(path).map(drop) };
        read.map_err(|source| CliError::Unreadable { path: path.clone(), source })?;
    }
    Ok(directories)
}

/// At least one attempt, and fewer than a host could ever hold.
fn slots(text: &str) -> Result<usize, String> {
    const MAX: usize = 1_000_000;
    match text.parse() {
        Ok(slots @ 1..=MAX) => Ok(slots),
        _ => Err(format!("a number from 1 to {MAX}")),
    }
}

fn host_options(args: &Args, directories: Vec<PathBuf>) -> HostOptions {
    let mut options = args.home.host_options();
    options.engine.slots = args.slots;
    options.engine.retention = args.keep.retention();
    let seconds = |s: u32| i64::from(s) * 1000;
    let reconciler = &mut options.reconciler;
    reconciler.directories = directories;
    reconciler.drain = DrainPolicy {
        deadline_ms: args.drain_deadline.map(seconds),
        force_unload_ms: args.drain_deadline.map(|_| seconds(args.force_unload_after)),
    };
    reconciler.registry_interval = Duration::from_secs(args.registry_interval.into());
    reconciler.leaks.isolate = args.isolate_leaks;
    if args.no_rollback {
        reconciler.health = None;
    }
    args.load.apply(reconciler);
    options.on_report = Some(Arc::new(log));
    options
}

fn log(report: &Report) {
    for outcome in &report.outcomes {
        match outcome {
            Outcome::Loaded { name, version, digest } => {
                tracing::info!(target: "longshore::serve", package = %name, version, digest = digest.short(), "loaded");
            }
            Outcome::Refused { name, error } => {
                tracing::error!(target: "longshore::serve", package = name, code = error.code(), fix = error.fix(), "refused: {}", error.full());
            }
            Outcome::Degraded { name, error } => {
                tracing::warn!(target: "longshore::serve", package = %name, code = error.code(), fix = error.fix(), "degraded: {}", error.full());
            }
            Outcome::Restored { name, digest } => {
                tracing::info!(target: "longshore::serve", package = %name, digest = digest.short(), "opened from the artifact cache for runs that are pinned to it");
            }
            Outcome::Crashed { name, exit } => {
                tracing::error!(target: "longshore::serve", package = %name, code = "LS0313", "its process is started again: {exit}");
            }
            Outcome::Cancelled { name, digest, runs } => {
                tracing::warn!(target: "longshore::serve", package = %name, digest = digest.short(), runs, "its drain deadline has passed: its runs are asked to stop");
            }
            Outcome::Retired { name } => {
                tracing::info!(target: "longshore::serve", package = %name, "retired: no new runs start on it");
            }
            Outcome::Unloaded { name, result } => {
                tracing::info!(target: "longshore::serve", package = %name, %result, "unloaded");
            }
        }
    }
}
