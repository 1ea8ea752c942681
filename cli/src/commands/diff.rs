//! `longshore diff`.

use crate::args::Diff;
use crate::output;
use longshore_package::{Change, StaticRecord, diff};
use longshore_reconciler::artifact::{Checks, accept};
use serde_json::json;
use std::path::Path;
use std::process::ExitCode;

pub(crate) fn run(args: &Diff, json: bool) -> anyhow::Result<ExitCode> {
    let record =
        |path: &Path| -> anyhow::Result<StaticRecord> { Ok(accept(path, &Checks::default())?.record) };
    let (old, new) = (record(&args.old)?, record(&args.new)?);
    let changes = diff(&old, &new);
    if json {
        let version = |record: &StaticRecord| format!("{} {}", record.package.name, record.package.version);
        output::json(&json!({ "old": version(&old), "new": version(&new), "changes": changes }))?;
        return Ok(ExitCode::SUCCESS);
    }
    println!("{} {} to {} {}", old.package.name, old.package.version, new.package.name, new.package.version);
    show(&changes);
    Ok(ExitCode::SUCCESS)
}

/// Changes, one a line.
pub(super) fn show(changes: &[Change]) {
    if changes.is_empty() {
        println!("  every entry is the same");
    }
    for change in changes {
        println!("  {change}");
    }
}
