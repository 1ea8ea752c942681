//! `longshore build`.

use crate::output::{ExitStatus, Printer};
use crate::packaging::{BuildOptions, build, content};
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
    /// Target triple, which may be given several times for one package file; cargo's own choice by default
    #[arg(long = "target", value_name = "TRIPLE")]
    targets: Vec<String>,
    /// Build here, also where somebody built the same before (`prebuilt` in longshore.toml)
    #[arg(long)]
    no_prebuilt: bool,
    /// Print the content hash of the crate, by which such a build is found, and build nothing
    #[arg(long)]
    content_hash: bool,
    /// Where to put the package file; the crate's target folder by default
    #[arg(short, long)]
    out: Option<PathBuf>,
}

pub(crate) fn run(args: Args, printer: &Printer) -> anyhow::Result<ExitStatus> {
    let options = BuildOptions {
        release: args.release,
        targets: args.targets,
        out: args.out,
        prebuilt: !args.no_prebuilt,
        ..BuildOptions::default()
    };
    if args.content_hash {
        let (name, content, target) = content(&args.path, &options)?;
        let document = json!({ "name": name, "content_hash": content, "target": target });
        printer.print(&document, || format!("{content}\n"))?;
        return Ok(ExitStatus::Done);
    }
    let built = build(&args.path, &options)?;
    printer.print(&built.document(), || built.text())?;
    Ok(ExitStatus::Done)
}
