//! Logs to stderr, results to stdout.

use chrono::{DateTime, Local};
use comfy_table::{Table, presets::NOTHING};
use serde::Serialize;
use std::io::{IsTerminal, stderr};
use std::process::ExitCode;
use tracing_subscriber::EnvFilter;

/// The exit status of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ExitStatus {
    /// The command did what it was asked.
    Done,
    /// It failed, or found a problem.
    Failed,
    /// The run ended as failed or cancelled.
    RunFailed,
    /// It was interrupted by Ctrl-C.
    Interrupted,
}

impl From<ExitStatus> for ExitCode {
    fn from(status: ExitStatus) -> Self {
        Self::from(match status {
            ExitStatus::Done => 0,
            ExitStatus::Failed => 1,
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
            println!("{}", serde_json::to_string_pretty(document)?);
        } else {
            print!("{}", text());
        }
        Ok(())
    }

    /// A remark for people beside the result.
    pub(crate) fn remark(&self, text: &str) {
        if !self.json {
            eprintln!("{text}");
        }
    }
}

/// Log lines go to stderr: text for a terminal, JSON for programs that asked for JSON.
pub(crate) fn init_logs(verbose: u8, json: bool) {
    let level = match verbose {
        0 => "warn,longshore::package=info,longshore::serve=info",
        1 => "info,longshore=debug",
        _ => "debug,longshore=trace",
    };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(level));
    let logs = tracing_subscriber::fmt().with_env_filter(filter).with_writer(stderr);
    if json {
        logs.json().flatten_event(true).init();
    } else {
        logs.with_ansi(stderr().is_terminal()).with_target(false).compact().init();
    }
}

/// Aligned columns under their heads.
pub(crate) fn table(head: &[&str], rows: Vec<Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_style(NOTHING).set_header(head.iter().copied());
    table.add_rows(rows);
    table.lines().map(|line| format!("{}\n", line.trim_end())).collect()
}

/// A time in the local zone.
pub(crate) fn time(ms: i64) -> String {
    let utc = DateTime::from_timestamp_millis(ms).unwrap_or_default();
    utc.with_timezone(&Local).format("%Y-%m-%d %H:%M:%S").to_string()
}

/// A span of time in the unit that suits it.
pub(crate) fn span(ms: i64) -> String {
    match ms {
        ..1_000 => format!("{ms} ms"),
        1_000..60_000 => format!("{:.1} s", ms as f64 / 1000.0),
        60_000..3_600_000 => format!("{} min {} s", ms / 60_000, ms / 1000 % 60),
        _ => format!("{} h {} min", ms / 3_600_000, ms / 60_000 % 60),
    }
}
