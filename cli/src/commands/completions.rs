//! `longshore completions`: a script that completes the command line.

use crate::output::ExitStatus;
use clap_complete::Shell;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The shell: bash, zsh, fish, elvish or powershell
    shell: Shell,
}

pub(crate) fn run(args: &Args, mut definition: clap::Command) -> anyhow::Result<ExitStatus> {
    clap_complete::generate(args.shell, &mut definition, "longshore", &mut std::io::stdout());
    Ok(ExitStatus::Done)
}
