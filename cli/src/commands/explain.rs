//! `longshore explain`.

use crate::error::CliError;
use crate::output::{ExitStatus, Printer};
use include_dir::{Dir, include_dir};
use serde_json::json;

/// The page of every code, so that an installed binary has them.
static PAGES: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/errors");

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The code, as in LS0107
    code: String,
}

pub(crate) fn run(args: &Args, printer: &Printer) -> anyhow::Result<ExitStatus> {
    let code = args.code.to_ascii_uppercase();
    let page = PAGES.get_file(format!("{code}.md")).and_then(|file| file.contents_utf8());
    let page = page.ok_or_else(|| CliError::NoPage { code: args.code.clone() })?;
    printer.print(&json!({ "code": code, "page": page }), || page.to_owned())?;
    Ok(ExitStatus::Done)
}
