//! The `longshore` command.

mod args;
mod build;
mod commands;
mod failure;
mod host;
mod output;
mod progress;

use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    longshore_reconciler::serve_if_asked();
    // Does nothing unless failpoints are compiled in, which only tests do.
    let _failpoints = fail::FailScenario::setup();
    let args = args::Args::parse();
    output::init_logs(args.verbose, args.json);
    let json = args.json;
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failure::report(&anyhow::Error::from(error).context("no runtime"), json),
    };
    let result = runtime.block_on(commands::dispatch(args));
    // Work that was abandoned (a blocked probe, a hung package) does not keep the program.
    runtime.shutdown_timeout(std::time::Duration::from_millis(200));
    match result {
        Ok(code) => code,
        Err(error) => failure::report(&error, json),
    }
}
