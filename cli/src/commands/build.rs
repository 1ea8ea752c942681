//! `longshore build`.

use crate::args::Build;
use crate::build::{How, build};
use crate::output;
use serde_json::json;
use std::process::ExitCode;

pub(crate) fn run(args: Build, json: bool) -> anyhow::Result<ExitCode> {
    let how = How { release: args.release, target: args.target, out: args.out };
    let built = build(&args.path, &how)?;
    if json {
        output::json(&json!({
            "file": built.file,
            "name": built.name,
            "version": built.version,
            "digest": built.digest,
            "bytes": built.bytes,
        }))?;
    } else {
        println!("{} {} ({})", built.name, built.version, built.digest.short());
        println!("{}", built.file.display());
    }
    Ok(ExitCode::SUCCESS)
}
