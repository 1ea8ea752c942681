//! Exits of children in words.

use crate::error::is_shortage;

/// The exit status of a child that left processes behind and ended well otherwise.
pub(crate) const LEFT_PROCESSES: i32 = 83;

/// The exit status of a child for which there was no process.
pub(crate) const NO_PROCESS: i32 = 84;

/// The exit status of a child that is not of its host's build.
pub(crate) const OTHER_BUILD: i32 = 85;

/// True of an exit that the library caused: a fault of its code, or an exit of its own. Whoever kills a process from
/// outside (the system when memory is short, an operator, a limit) says nothing about the library.
pub(crate) fn is_own_exit(status: std::process::ExitStatus, output: &str) -> bool {
    #[cfg(unix)]
    let signal = std::os::unix::process::ExitStatusExt::signal(&status);
    #[cfg(not(unix))]
    let signal: Option<i32> = None;
    // SIGILL, SIGTRAP, SIGABRT, SIGBUS, SIGFPE, SIGSEGV, SIGSYS.
    let faulted = signal.is_none_or(|signal| [4, 5, 6, 7, 8, 11, 31].contains(&signal));
    let by_us = status.code().is_some_and(|code| [NO_PROCESS, OTHER_BUILD].contains(&code));
    faulted && !by_us && !is_shortage(output)
}

/// The exit of a child, with the last line it printed.
pub(crate) fn describe_exit(status: std::process::ExitStatus, stderr: &str) -> String {
    #[cfg(unix)]
    let signal = std::os::unix::process::ExitStatusExt::signal(&status);
    #[cfg(not(unix))]
    let signal: Option<i32> = None;
    let mut exit = match signal {
        Some(signal) => signal_text(signal),
        None => format!("it ended with {status}"),
    };
    // The standard library's lines about backtraces say nothing about the exit.
    let informs = |line: &&str| {
        !line.trim().is_empty() && !line.starts_with("note: ") && !line.starts_with("skipping backtrace")
    };
    if let Some(last) = stderr.lines().rev().find(informs) {
        exit.push_str(&format!("; its last line: {}", last.trim()));
    }
    exit
}

/// A signal in words.
pub(crate) fn signal_text(signal: i32) -> String {
    let name = match signal {
        4 => "illegal instruction",
        6 => "abort",
        7 => "bus error",
        8 => "arithmetic error",
        9 => "killed",
        11 => "segmentation fault",
        24 => "processor time used up",
        31 => "forbidden system call",
        _ => "see signal(7)",
    };
    format!("signal {signal} ({name})")
}
