//! `longshore serve`.

use crate::args::Serve;
use crate::failure::Failure;
use crate::host::{Host, Kind};
use longshore_reconciler::{Outcome, Report, source};
use std::process::ExitCode;
use std::time::Duration;

pub(crate) async fn run(args: Serve, json: bool) -> anyhow::Result<ExitCode> {
    let mut directories = args.directories.clone();
    if directories.is_empty() {
        directories = source::directories_of_environment();
    }
    if directories.is_empty() {
        let own = args.home.home.join("packages");
        std::fs::create_dir_all(&own)?;
        directories.push(own);
    }
    if let Some(missing) = directories.iter().find(|d| !d.exists()) {
        return Err(Failure::NotACrate { path: missing.clone() }.into());
    }
    // Before anything is opened: what is told to stop from now on closes what it opened.
    let mut terminate = terminations()?;
    let shown: Vec<String> = directories.iter().map(|d| d.display().to_string()).collect();
    let kind = Kind {
        directories,
        slots: args.slots,
        triggers: true,
        strict: args.strict,
        reactors: true,
        replay: false,
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
            Outcome::Retired { name } => {
                tracing::info!(target: "longshore::serve", package = name, "retired: its file is gone");
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
