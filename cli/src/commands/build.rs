//! `longshore build`.

use crate::output::{ExitStatus, Printer};
use crate::packaging::{BuildOptions, build};
use std::path::PathBuf;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Folder of the crate
    #[arg(default_value = ".")]
    path: PathBuf,
    /// Optimise
    #[arg(long)]
    release: bool,
    /// Target triple, which may be given several times for one package file; cargo's own choice by default
    #[arg(long = "target", value_name = "TRIPLE")]
    targets: Vec<String>,
    /// Where to put the package file; the crate's target folder by default
    #[arg(short, long)]
    out: Option<PathBuf>,
}

pub(crate) fn run(args: Args, printer: &Printer) -> anyhow::Result<ExitStatus> {
    let options = BuildOptions { release: args.release, targets: args.targets, out: args.out };
    let built = build(&args.path, &options)?;
    printer.print(&built.document(), || built.text())?;
    Ok(ExitStatus::Done)
}
