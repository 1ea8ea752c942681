//! `longshore man`: manual pages of the command and its subcommands.

use crate::output::ExitStatus;
use anyhow::Context;
use std::path::PathBuf;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The folder to write to; it is made when it is missing
    folder: PathBuf,
}

pub(crate) fn run(args: &Args, definition: clap::Command) -> anyhow::Result<ExitStatus> {
    let folder = &args.folder;
    std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    clap_mangen::generate_to(definition, folder)
        .with_context(|| format!("cannot write to {}", folder.display()))?;
    Ok(ExitStatus::Done)
}
