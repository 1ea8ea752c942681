//! Exits of children in words.

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
