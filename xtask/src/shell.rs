//! Commands that a task runs, as a person would type them.

use anyhow::{Context, ensure};
use std::path::Path;
use std::process::{Command, Stdio};

/// Runs a command line in a folder; words are separated by spaces, and nothing is quoted.
///
/// # Errors
/// When it does not start, or does not succeed.
pub(crate) fn run(root: &Path, line: &str, environment: &[(&str, &str)]) -> anyhow::Result<()> {
    let status =
        command(root, line, environment)?.status().with_context(|| format!("`{line}` does not start"))?;
    ensure!(status.success(), "`{line}` failed: {status}");
    Ok(())
}

/// Runs a command line and returns what it prints.
///
/// # Errors
/// When it does not start, or does not succeed.
pub(crate) fn output(root: &Path, line: &str) -> anyhow::Result<String> {
    let mut command = command(root, line, &[])?;
    let output =
        command.stderr(Stdio::inherit()).output().with_context(|| format!("`{line}` does not start"))?;
    let printed =
        String::from_utf8(output.stdout).with_context(|| format!("`{line}` does not print UTF-8"))?;
    ensure!(output.status.success(), "`{line}` failed: {}\n{printed}", output.status);
    Ok(printed)
}

fn command(root: &Path, line: &str, environment: &[(&str, &str)]) -> anyhow::Result<Command> {
    let mut words = line.split_whitespace();
    let mut command = Command::new(words.next().context("a command line has a program")?);
    command.args(words).current_dir(root).envs(environment.iter().copied());
    Ok(command)
}
