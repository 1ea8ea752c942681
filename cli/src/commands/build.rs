//! `longshore build`.

use crate::output::{ExitStatus, Printer};
use crate::packaging::{BuildOptions, BuildSystem, build, content, emit};
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
    /// Print a file by which another build system builds and stages the package, and build nothing
    #[arg(long, value_name = "SYSTEM", conflicts_with_all = ["content_hash", "targets", "out", "release"])]
    emit: Option<BuildSystem>,
    /// The folder for the package file, or the file itself (NAME.longshore); the crate's target folder by default
    #[arg(short, long)]
    out: Option<PathBuf>,
}

pub(crate) fn run(args: Args, printer: &Printer) -> anyhow::Result<ExitStatus> {
    if let Some(system) = args.emit {
        let text = emit(&args.path, system)?;
        printer.print(&json!({ "text": text }), || text.clone())?;
        return Ok(ExitStatus::Done);
    }
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
