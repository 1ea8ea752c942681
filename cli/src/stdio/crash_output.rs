//! Crash output: the lines that are in the pipe when a process dies, which it does not read any more.
//!
//! A process of its own holds the pipe, does nothing while the command lives, and prints what is left of it afterwards: the
//! message of an abort or of a stack overflow, for one.

use std::fs::File;
use std::io::{self, Read, Write, pipe};
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

/// The argument that makes this program the process that prints the rest.
const ARGUMENT: &str = "__longshore_crash_output";

/// Most bytes that are printed.
const MAX_OUTPUT: u64 = 64 * 1024;

/// The process that prints what this one leaves in the pipe. It ends with this one, or when this is dropped.
pub(super) struct CrashOutput {
    _alive: io::PipeWriter,
}

impl CrashOutput {
    /// None when it cannot be started: the command goes on without.
    pub(super) fn begin(printed: &io::PipeReader, err: &File) -> Option<Self> {
        let (life, alive) = pipe().ok()?;
        let program = std::env::current_exe().ok()?;
        let mut command = Command::new(program);
        // Its stdin is the pipe, its stdout the sign that this process lives; a Ctrl-C on the terminal is not for it.
        command.arg(ARGUMENT).stdin(printed.try_clone().ok()?).stdout(Stdio::from(life)).process_group(0);
        command.stderr(err.try_clone().ok()?).spawn().ok()?;
        Some(Self { _alive: alive })
    }
}

/// Becomes the process that prints what another one left, when that is what this one was started for.
pub(crate) fn print_if_requested() {
    if std::env::args_os().nth(1).is_none_or(|argument| argument != ARGUMENT) {
        return;
    }
    // Its failure has nobody to be told to.
    let _ = print_rest();
    std::process::exit(0);
}

fn print_rest() -> io::Result<()> {
    let life = io::stdout().as_fd().try_clone_to_owned()?;
    // Ends when the other process does.
    io::copy(&mut File::from(life), &mut io::sink())?;
    let printed = io::stdin().as_fd().try_clone_to_owned()?;
    // Somebody whom it started may have the pipe still, and print nothing: what is there counts.
    nix::fcntl::fcntl(&printed, nix::fcntl::FcntlArg::F_SETFL(nix::fcntl::OFlag::O_NONBLOCK))?;
    let mut words = Vec::new();
    let mut printed = File::from(printed).take(MAX_OUTPUT);
    // What was read before the pipe was empty is in there, whatever ended it.
    let _ = printed.read_to_end(&mut words);
    io::stderr().write_all(&words)
}
