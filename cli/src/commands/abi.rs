//! `longshore abi`.

use crate::output::{ExitStatus, Printer};
use longshore_package::{HostAbi, PackageRecord, Policy, check_compatibility};
use longshore_reconciler::artifact::{BuildChoice, VerifyOptions, read};
use longshore_workflow_plugin::FIDIUS_ABI;
use serde_json::{Value, json};
use std::path::PathBuf;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A `.longshore` file or a library; this host by default
    file: Option<PathBuf>,
    /// The build to show; that for this machine by default, or else the first
    #[arg(long, value_name = "TRIPLE", requires = "file")]
    target: Option<String>,
}

pub(crate) fn run(args: &Args, printer: &Printer) -> anyhow::Result<ExitStatus> {
    let (document, findings) = match &args.file {
        None => (of_host(), None),
        Some(file) => {
            let build = args.target.clone().map_or(BuildChoice::Any, BuildChoice::Of);
            let record = read(file, &build, &VerifyOptions::default())?.record.package;
            (of_package(&record), Some(findings(&record)))
        }
    };
    let mut with_findings = document.clone();
    if let Some(findings) = &findings {
        with_findings["findings"] = json!(
            findings
                .iter()
                .map(|(code, message, fix)| { json!({ "code": code, "message": message, "fix": fix }) })
                .collect::<Vec<_>>()
        );
    }
    printer.print(&with_findings, || text(&document, findings.as_deref()))?;
    Ok(ExitStatus::Done)
}

fn of_host() -> Value {
    let host = HostAbi::this();
    json!({
        "longshore": env!("CARGO_PKG_VERSION"),
        "interface": host.interface_version,
        "interface_hash": host.interface_hash,
        "wire_hash": host.wire_hash(),
        "fidius_abi": FIDIUS_ABI,
        "compiler": env!("LONGSHORE_RUSTC"),
        "target": env!("LONGSHORE_TRIPLE"),
    })
}

/// Packages of a release have its fidius ABI: they do not record it.
fn of_package(record: &PackageRecord) -> Value {
    json!({
        "longshore": record.sdk,
        "interface": record.interface_version,
        "interface_hash": record.interface_hash,
        "wire_hash": HostAbi::of_record(record, record).wire_hash(),
        "compiler": record.compiler,
        "target": record.target,
        "panic": record.panic,
    })
}

/// The reasons for which this host would refuse a package, with their codes and fixes.
fn findings(record: &PackageRecord) -> Vec<(&'static str, String, &'static str)> {
    let found = check_compatibility(record, Policy::Relaxed);
    found.refusals.iter().map(|drift| (drift.code(), drift.to_string(), drift.fix())).collect()
}

fn text(document: &Value, findings: Option<&[(&'static str, String, &'static str)]>) -> String {
    let shown = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let fields = document.as_object().into_iter().flatten();
    let mut out: String = ORDER
        .iter()
        .filter_map(|wanted| fields.clone().find(|(name, _)| name == wanted))
        .map(|(name, value)| format!("{:<15} {}\n", name.replace('_', " "), shown(value)))
        .collect();
    match findings {
        None => {}
        Some([]) => out.push_str("this host can call it\n"),
        Some(findings) => {
            let line = |(code, message, fix): &(&str, String, &str)| format!("  {code}: {message}; {fix}\n");
            out.push_str("this host cannot call it:\n");
            out.extend(findings.iter().map(line));
        }
    }
    out
}

const ORDER: [&str; 8] =
    ["longshore", "interface", "interface_hash", "wire_hash", "fidius_abi", "compiler", "target", "panic"];
