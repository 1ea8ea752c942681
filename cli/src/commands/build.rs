//! `longshore build`.

use crate::output::{ExitStatus, Printer};
use crate::packaging::{BuildOptions, build};
use serde_json::json;
use std::path::PathBuf;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Folder of the crate
    #[arg(default_value = ".")]
    path: PathBuf,
    /// Optimise
    #[arg(long)]
    release: bool,
    /// Target triple; the host's by default
    #[arg(long)]
    target: Option<String>,
    /// Where to put the package file; the crate's target folder by default
    #[arg(short, long)]
    out: Option<PathBuf>,
}

pub(crate) fn run(args: Args, printer: &Printer) -> anyhow::Result<ExitStatus> {
    let options = BuildOptions { release: args.release, target: args.target, out: args.out };
    let built = build(&args.path, &options)?;
    let document = json!({
        "file": built.file,
        "name": built.name,
        "version": built.version,
        "digest": built.digest,
        "bytes": built.bytes,
    });
    printer.print(&document, || {
        let (name, version, digest) = (&built.name, &built.version, built.digest.short());
        format!("{name} {version} ({digest})\n{}\n", built.file.display())
    })?;
    Ok(ExitStatus::Done)
}
