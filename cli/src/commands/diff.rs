//! `longshore diff`.

use crate::output::{ExitStatus, Printer};
use crate::view;
use longshore_package::{StaticRecord, diff};
use longshore_reconciler::artifact::{VerifyOptions, verify};
use serde_json::json;
use std::path::{Path, PathBuf};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The old package: a `.longshore` file or a library
    old: PathBuf,
    /// The new package
    new: PathBuf,
}

pub(crate) fn run(args: &Args, printer: &Printer) -> anyhow::Result<ExitStatus> {
    let record =
        |path: &Path| -> anyhow::Result<StaticRecord> { Ok(verify(path, &VerifyOptions::default())?.record) };
    let (old, new) = (record(&args.old)?, record(&args.new)?);
    let changes = diff(&old, &new);
    let (old, new) = (old.package, new.package);
    let package = |name: &str, version: &str| json!({ "name": name, "version": version });
    let document = json!({
        "old": package(&old.name, &old.version),
        "new": package(&new.name, &new.version),
        "changes": changes,
    });
    printer.print(&document, || {
        let title = format!("{} {} to {} {}\n", old.name, old.version, new.name, new.version);
        title + &view::changes::text(&changes)
    })?;
    Ok(ExitStatus::Done)
}
