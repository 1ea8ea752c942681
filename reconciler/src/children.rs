//! This same binary, started as a probe or as the process of a package.

use crate::probe;

/// Does a child's part when this process was started as one, and does not return then. Call it first thing in
/// `main`, before any thread is started: probes and isolated packages are children of the host's own binary.
pub fn serve_if_asked() {
    let mut arguments = std::env::args_os().skip(1);
    let Some(first) = arguments.next() else { return };
    if first == probe::ARGUMENT {
        probe::serve(arguments.next());
    }
    #[cfg(unix)]
    if first == ISOLATED {
        crate::isolate::child::serve(arguments.next());
    }
}

/// The first argument of the process of a package; the second is its orders.
pub(crate) const ISOLATED: &str = "__longshore-package";

/// How a child ended, and the last thing it said.
pub(crate) fn how_it_ended(status: std::process::ExitStatus, stderr: &str) -> String {
    #[cfg(unix)]
    let signal = std::os::unix::process::ExitStatusExt::signal(&status);
    #[cfg(not(unix))]
    let signal: Option<i32> = None;
    let mut how = match signal {
        Some(signal) => signal_text(signal),
        None => format!("it ended with {status}"),
    };
    // What the standard library adds about backtraces says nothing about the end.
    let says = |line: &&str| {
        !line.trim().is_empty() && !line.starts_with("note: ") && !line.starts_with("skipping backtrace")
    };
    if let Some(last) = stderr.lines().rev().find(says) {
        how.push_str(&format!("; it last said: {}", last.trim()));
    }
    how
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
