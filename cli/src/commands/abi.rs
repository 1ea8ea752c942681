//! `longshore abi`.

use crate::output::{ExitStatus, Printer};
use longshore_package::{Drift, HostAbi, PackageRecord, Policy, check_compatibility};
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

/// Fields in the order in which they are shown.
type Fields = Vec<(&'static str, Value)>;

pub(crate) fn run(args: &Args, printer: &Printer) -> anyhow::Result<ExitStatus> {
    let (fields, refusals) = match &args.file {
        None => (of_host(), None),
        Some(file) => {
            let build = args.target.clone().map_or(BuildChoice::Any, BuildChoice::Of);
            let record = read(file, &build, &VerifyOptions::default())?.record.package;
            (of_package(&record), Some(check_compatibility(&record, Policy::Relaxed).refusals))
        }
    };
    let named = fields.iter().map(|(name, value)| ((*name).to_owned(), value.clone()));
    let mut document = Value::Object(named.collect());
    if let Some(refusals) = &refusals {
        let finding =
            |drift: &Drift| json!({ "code": drift.code(), "message": drift.to_string(), "fix": drift.fix() });
        document["findings"] = refusals.iter().map(finding).collect();
    }
    printer.print(&document, || text(&fields, refusals.as_deref()))?;
    Ok(ExitStatus::Done)
}

fn of_host() -> Fields {
    let host = HostAbi::this();
    vec![
        ("longshore", env!("CARGO_PKG_VERSION").into()),
        ("interface", host.interface_version.into()),
        ("interface_hash", host.interface_hash.as_str().into()),
        ("wire_hash", host.wire_hash().into()),
        ("fidius_abi", FIDIUS_ABI.into()),
        ("compiler", env!("LONGSHORE_RUSTC").into()),
        ("target", env!("LONGSHORE_TRIPLE").into()),
    ]
}

/// Packages of a release have its fidius ABI: they do not record it.
fn of_package(record: &PackageRecord) -> Fields {
    vec![
        ("longshore", record.sdk.as_str().into()),
        ("interface", record.interface_version.into()),
        ("interface_hash", record.interface_hash.as_str().into()),
        ("wire_hash", HostAbi::of_record(record, record).wire_hash().into()),
        ("compiler", record.compiler.as_str().into()),
        ("target", record.target.as_str().into()),
        ("panic", record.panic.as_str().into()),
    ]
}

fn text(fields: &Fields, refusals: Option<&[Drift]>) -> String {
    let shown = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let line = |(name, value): &(&str, Value)| format!("{:<15} {}\n", name.replace('_', " "), shown(value));
    let mut out: String = fields.iter().map(line).collect();
    match refusals {
        None => {}
        Some([]) => out.push_str("this host can call it\n"),
        Some(refusals) => {
            let line = |drift: &Drift| format!("  {}: {drift}; {}\n", drift.code(), drift.fix());
            out.push_str("this host cannot call it:\n");
            out.extend(refusals.iter().map(line));
        }
    }
    out
}
