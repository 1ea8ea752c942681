//! Logs to stderr, results to stdout.

use crate::stdio::{self, errln};
use anyhow::Context;
use chrono::{DateTime, Local};
use comfy_table::{Table, presets::NOTHING};
use longshore_store::RunState;
use serde::Serialize;
use std::borrow::Cow;
use std::io::ErrorKind;
use std::path::Path;
use std::process::ExitCode;
use tracing_subscriber::EnvFilter;

/// The exit status of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ExitStatus {
    /// The command did what it was asked.
    Done,
    /// It failed, or found a problem.
    Failed,
    /// It was not understood.
    Usage,
    /// The run ended as failed or cancelled.
    RunFailed,
    /// It was interrupted by a stop signal.
    Interrupted,
}

impl From<ExitStatus> for ExitCode {
    fn from(status: ExitStatus) -> Self {
        Self::from(match status {
            ExitStatus::Done => 0,
            ExitStatus::Failed => 1,
            ExitStatus::Usage => 2,
            ExitStatus::RunFailed => 3,
            // As shells count a program that SIGINT ended.
            ExitStatus::Interrupted => 130,
        })
    }
}

/// Prints results: text for people, or one JSON document for programs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Printer {
    json: bool,
}

impl Printer {
    pub(crate) fn new(json: bool) -> Self {
        Self { json }
    }

    /// True when a program reads the result.
    pub(crate) fn is_json(&self) -> bool {
        self.json
    }

    /// Prints a result: `document` as JSON, or `text`, which ends its own lines.
    pub(crate) fn print<T: Serialize>(
        &self,
        document: &T,
        text: impl FnOnce() -> String,
    ) -> anyhow::Result<()> {
        if self.json {
            write_out(&format!("{}\n", serde_json::to_string_pretty(document)?))
        } else {
            write_out(&plain(&text()))
        }
    }

    /// A remark for people beside the result.
    pub(crate) fn remark(&self, text: &str) {
        if !self.json {
            errln!("{}", plain(text));
        }
    }
}

/// Writes to stdout. Whoever read it may have seen enough (`| head`): that is not a failure of the command.
pub(crate) fn write_out(text: &str) -> anyhow::Result<()> {
    match stdio::write_out(text.as_bytes()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        written => Ok(written.context("the result could not be written")?),
    }
}

/// A text of which a terminal only shows the letters: names and messages of strangers may hold sequences that move the
/// cursor, change the title or turn the direction of writing.
pub(crate) fn plain(text: &str) -> Cow<'_, str> {
    let is_plain = |c: char| match c {
        '\n' | '\t' => true,
        // Marks and overrides of the direction of writing.
        '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => false,
        c => !c.is_control(),
    };
    if text.chars().all(is_plain) {
        return Cow::Borrowed(text);
    }
    let escape = |c: char| if is_plain(c) { c.to_string() } else { c.escape_default().to_string() };
    Cow::Owned(text.chars().map(escape).collect())
}

/// Log lines go to stderr: text for a terminal, JSON for programs that asked for JSON. A host tells of its runs.
pub(crate) fn init_logs(verbose: u8, json: bool, is_host: bool) {
    let level = match verbose {
        0 if is_host => "warn,longshore::package=info,longshore::run=info,longshore::serve=info",
        // It shows the run itself.
        0 => "warn,longshore::package=info,longshore::run=off",
        1 => "info,longshore=debug",
        _ => "debug,longshore=trace",
    };
    // What the subscriber says of its own failures goes to the descriptor whose lines it logs: it would never end.
    let logs = tracing_subscriber::fmt().with_writer(stdio::Err::default).log_internal_errors(false);
    let logs = logs.with_env_filter(filter(level));
    if json {
        logs.json().flatten_event(true).init();
    } else {
        logs.with_ansi(shows_colors()).with_target(false).compact().init();
    }
}

/// The filter of `RUST_LOG`, or else this. Lines that packages print pass it, unless it names them.
fn filter(default: &str) -> EnvFilter {
    const PRINTED: &str = "longshore::package";
    match std::env::var("RUST_LOG").ok().filter(|wanted| !wanted.is_empty()) {
        Some(wanted) if wanted.contains(PRINTED) => EnvFilter::new(wanted),
        Some(wanted) => EnvFilter::new(format!("{wanted},{PRINTED}::printed=info")),
        None => EnvFilter::new(default),
    }
}

/// True of a terminal that shows colors, unless somebody wants none.
fn shows_colors() -> bool {
    let is_set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let is_dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    stdio::Err::is_terminal() && !is_set("NO_COLOR") && !is_dumb
}

/// Aligned columns under their heads.
pub(crate) fn table(head: &[&str], rows: Vec<Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_style(NOTHING).set_header(head.iter().copied());
    table.add_rows(rows);
    table.lines().map(|line| format!("{}\n", line.trim_end())).collect()
}

/// A path as a person would type it here: relative to the working directory when it is below that.
pub(crate) fn path(text: &str) -> String {
    let here = std::env::current_dir().ok();
    let below =
        here.and_then(|here| Path::new(text).strip_prefix(here).ok().map(|p| p.display().to_string()));
    below.filter(|below| !below.is_empty()).unwrap_or_else(|| text.to_owned())
}

/// A subject of conditions, with its path as a person would type it.
pub(crate) fn subject(recorded: &str) -> String {
    match recorded.strip_prefix("file/") {
        Some(file) => format!("file/{}", path(file)),
        None => recorded.to_owned(),
    }
}

/// The state of a run. A run that is green although tasks of it were skipped says so.
pub(crate) fn state(state: RunState, skipped_tasks: i64) -> String {
    match skipped_tasks {
        0 => state.as_str().to_owned(),
        n => format!("{}, {n} skipped after a failure", state.as_str()),
    }
}

/// A time in the local zone, which it names.
pub(crate) fn time(ms: i64) -> String {
    let utc = DateTime::from_timestamp_millis(ms).unwrap_or_default();
    utc.with_timezone(&Local).format("%Y-%m-%d %H:%M:%S %:z").to_string()
}

/// A time that comes, or has passed.
pub(crate) fn relative(until_ms: i64) -> String {
    if until_ms < 0 { format!("{} ago", span(-until_ms)) } else { format!("in {}", span(until_ms)) }
}

/// A span of time in the unit that suits it.
pub(crate) fn span(ms: i64) -> String {
    match ms {
        ..1_000 => format!("{ms} ms"),
        1_000..60_000 => format!("{:.1} s", ms as f64 / 1000.0),
        60_000..3_600_000 => format!("{} min {} s", ms / 60_000, ms / 1000 % 60),
        3_600_000..86_400_000 => format!("{} h {} min", ms / 3_600_000, ms / 60_000 % 60),
        _ => format!("{} d {} h", ms / 86_400_000, ms / 3_600_000 % 24),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_stranger_writes_is_shown_and_not_obeyed() {
        assert_eq!(plain("a table\twith\nlines: \u{e9}\u{4e2d}"), "a table\twith\nlines: \u{e9}\u{4e2d}");
        assert_eq!(plain("\x1b]0;title\x07\r\u{9b}2J"), "\\u{1b}]0;title\\u{7}\\r\\u{9b}2J");
        assert_eq!(plain("safe\u{202e}exe.txt"), "safe\\u{202e}exe.txt");
    }
}
