//! `longshore serve`.

use crate::args::{Home, Serve};
use crate::failure::Failure;
use crate::host::{Host, Kind};
use longshore_reconciler::plan::DrainPolicy;
use longshore_reconciler::{Options, Outcome, Report, source};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

pub(crate) async fn run(args: Serve, json: bool) -> anyhow::Result<ExitCode> {
    let directories = directories(&args.directories, &args.home)?;
    // Before anything is opened: what is told to stop from now on closes what it opened.
    let mut terminate = terminations()?;
    let shown: Vec<String> = directories.iter().map(|d| d.display().to_string()).collect();
    let kind = Kind {
        directories,
        slots: args.slots,
        triggers: true,
        reactors: true,
        replay: false,
        tune: tune(&args),
        stream_root: Some(args.home.home.clone()),
    };
    let mut host = Host::open(&args.home, kind).await?;
    let (directories, database) = (shown.join(", "), args.home.database());
    tracing::info!(target: "longshore::serve", directories, database = %database.display(), "serving");
    if !json {
        eprintln!("serving {directories}; Ctrl-C stops");
    }
    tokio::select! {
        () = host.reconciler.run(log) => {}
        _ = tokio::signal::ctrl_c() => {}
        () = terminate.next() => {}
    }
    eprintln!("stopping: running tasks get {} s to end; Ctrl-C again stops at once", args.drain);
    tokio::select! {
        () = host.close(Duration::from_secs(args.drain)) => Ok(ExitCode::SUCCESS),
        _ = tokio::signal::ctrl_c() => Ok(ExitCode::from(130)),
    }
}

/// The directories that packages come from: those that were named, or the usual ones.
pub(super) fn directories(named: &[PathBuf], home: &Home) -> anyhow::Result<Vec<PathBuf>> {
    let mut directories = named.to_vec();
    if directories.is_empty() {
        directories = source::directories_of_environment();
    }
    if directories.is_empty() {
        let own = home.home.join("packages");
        std::fs::create_dir_all(&own)?;
        directories.push(own);
    }
    match directories.iter().find(|d| !d.exists()) {
        Some(missing) => Err(Failure::NotACrate { path: missing.clone() }.into()),
        None => Ok(directories),
    }
}

fn tune(args: &Serve) -> Box<dyn Fn(&mut Options)> {
    let seconds = |s: u32| i64::from(s) * 1000;
    let drain = DrainPolicy {
        deadline_ms: args.drain_deadline.map(seconds),
        orphan_ms: args.drain_deadline.map(|_| seconds(args.orphan_after)),
    };
    let (taking, isolate_leaks, no_rollback) = (args.taking.clone(), args.isolate_leaks, args.no_rollback);
    Box::new(move |options| {
        options.drain = drain;
        options.leaks.isolate = isolate_leaks;
        taking.apply(options);
        if no_rollback {
            options.health = None;
        }
    })
}

fn log(report: &Report) {
    for outcome in &report.outcomes {
        match outcome {
            Outcome::Loaded { name, version, digest } => {
                tracing::info!(target: "longshore::serve", package = name, version, digest = digest.short(), "loaded");
            }
            Outcome::Refused { name, error } => {
                tracing::error!(target: "longshore::serve", package = name, code = error.code(), fix = error.fix(), "refused: {}", error.full());
            }
            Outcome::Restored { name, digest } => {
                tracing::info!(target: "longshore::serve", package = name, digest = digest.short(), "opened from the private copy for runs that are pinned to it");
            }
            Outcome::Crashed { name, how } => {
                tracing::error!(target: "longshore::serve", package = name, code = "LS0313", "its process is started again: {how}");
            }
            Outcome::Cancelled { name, digest, runs } => {
                tracing::warn!(target: "longshore::serve", package = name, digest = digest.short(), runs, "its drain deadline has passed: its runs are asked to stop");
            }
            Outcome::Retired { name } => {
                tracing::info!(target: "longshore::serve", package = name, "retired: no new runs start on it");
            }
            Outcome::Unloaded { name, released } => {
                tracing::info!(target: "longshore::serve", package = name, %released, "unloaded");
            }
        }
    }
}

#[cfg(unix)]
struct Terminations(tokio::signal::unix::Signal);

#[cfg(unix)]
fn terminations() -> anyhow::Result<Terminations> {
    Ok(Terminations(tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?))
}

#[cfg(unix)]
impl Terminations {
    async fn next(&mut self) {
        self.0.recv().await;
    }
}

#[cfg(not(unix))]
struct Terminations;

#[cfg(not(unix))]
fn terminations() -> anyhow::Result<Terminations> {
    Ok(Terminations)
}

#[cfg(not(unix))]
impl Terminations {
    async fn next(&mut self) {
        std::future::pending::<()>().await;
    }
}
