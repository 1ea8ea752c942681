//! `longshore doctor`.

mod finding;
mod home;
mod krate;

use crate::home::Home;
use crate::output::{ExitStatus, Printer};
use crate::packaging::is_crate;
use finding::{Finding, State};
use serde_json::json;
use std::fmt::Write;
use std::path::{Path, PathBuf};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Folder of a crate to look at; by default this folder when it is one, and the home when it has a database
    path: Option<PathBuf>,
    #[command(flatten)]
    home: Home,
}

pub(crate) async fn run(args: Args, printer: &Printer) -> anyhow::Result<ExitStatus> {
    let here = Path::new(".");
    let path = args.path.clone().or_else(|| is_crate(here).then(|| here.to_owned()));
    let mut findings = Vec::new();
    if let Some(path) = &path {
        findings.extend(krate::look(path).await);
    }
    // A home that is not there is no fault of a crate.
    if path.is_none() || args.home.has_file() {
        findings.extend(home::look(&args.home).await);
    }
    let is_well = findings.iter().all(|finding| finding.state != State::Fault);
    printer.print(&json!({ "well": is_well, "findings": findings }), || text(&findings))?;
    Ok(if is_well { ExitStatus::Done } else { ExitStatus::Failed })
}

fn text(findings: &[Finding]) -> String {
    let mut out = String::new();
    for Finding { subject, state, message, code, fix } in findings {
        let word = match state {
            State::Ok => "ok",
            State::Warning => "warning",
            State::Fault => "fault",
        };
        let code = if code.is_empty() { String::new() } else { format!("[{code}]") };
        // Writing to a String does not fail.
        let _ = writeln!(out, "{word}{code} {subject}: {message}");
        if !fix.is_empty() {
            let _ = writeln!(out, "  fix: {fix}");
        }
    }
    out
}
