//! The `longshore` command.

mod args;
mod build_error;
mod commands;
mod dispatch;
mod error;
mod home;
mod keys;
mod output;
mod packaging;
mod progress;
mod registry;
mod replace;
mod request;
mod stdio;
mod stop_signals;
mod version;
mod view;

use clap::Parser;
use output::Printer;
use std::process::ExitCode;

fn main() -> ExitCode {
    longshore_reconciler::run_child_if_requested();
    stdio::print_if_requested();
    // Does nothing unless failpoints are compiled in, which only tests do.
    let _failpoints = fail::FailScenario::setup();
    let args = match args::Args::try_parse() {
        Ok(args) => args,
        Err(error) => return error::report_usage(&error),
    };
    let is_host = matches!(args.command, args::Command::Serve(_));
    output::init_logs(args.verbose, args.json, is_host);
    let printer = Printer::new(args.json);
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return error::report(&anyhow::Error::from(error).context("no runtime"), &printer),
    };
    let result = runtime.block_on(dispatch::dispatch(args.command, &printer));
    // Work that was abandoned (a blocked probe, a hung package) does not keep the program.
    runtime.shutdown_timeout(std::time::Duration::from_millis(200));
    match result {
        Ok(status) => status.into(),
        Err(error) => error::report(&error, &printer),
    }
}
