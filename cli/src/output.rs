//! Logs to stderr, results to stdout.

use chrono::{DateTime, Local};
use comfy_table::{Table, presets::NOTHING};
use serde::Serialize;
use std::io::{IsTerminal, stderr};
use tracing_subscriber::EnvFilter;

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

/// One JSON document.
pub(crate) fn json(value: &impl Serialize) -> anyhow::Result<()> {
    println!("{}", serde_json::to_string_pretty(value)?);
    Ok(())
}

/// Aligned columns under their heads.
pub(crate) fn table(head: &[&str], rows: Vec<Vec<String>>) {
    let mut table = Table::new();
    table.load_style(NOTHING).set_header(head.iter().copied());
    table.add_rows(rows);
    for line in table.lines() {
        println!("{}", line.trim_end());
    }
}

/// A time for people, in their zone.
pub(crate) fn time(ms: i64) -> String {
    let utc = DateTime::from_timestamp_millis(ms).unwrap_or_default();
    utc.with_timezone(&Local).format("%Y-%m-%d %H:%M:%S").to_string()
}

/// A span of time for people.
pub(crate) fn span(ms: i64) -> String {
    match ms {
        ..1_000 => format!("{ms} ms"),
        1_000..60_000 => format!("{:.1} s", ms as f64 / 1000.0),
        60_000..3_600_000 => format!("{} min {} s", ms / 60_000, ms / 1000 % 60),
        _ => format!("{} h {} min", ms / 3_600_000, ms / 60_000 % 60),
    }
}
