//! A package's log lines in the host's tracing, with run, task and attempt.

use longshore_workflow_plugin::wire::{LogRecord, Wire};
use std::fmt::Write;

/// Which attempt a line belongs to.
#[derive(Debug, Clone)]
pub(crate) struct Named {
    pub(crate) run: String,
    pub(crate) task: String,
    pub(crate) attempt: u32,
}

/// Emits a line that a package sent. One that does not decode is dropped: its sender is the package itself.
pub(crate) fn emit(package: &str, bytes: &[u8], name_of: impl FnOnce(u64) -> Option<Named>) {
    let Ok(record) = LogRecord::decode(bytes) else { return };
    let named = name_of(record.lease);
    let (run, task, attempt) = match &named {
        Some(named) => (named.run.as_str(), named.task.as_str(), named.attempt),
        None => ("", "", 0),
    };
    let mut message = record.message;
    for (key, value) in &record.fields {
        // Writing to a String does not fail.
        let _ = write!(message, " {key}={value}");
    }
    let module = record.target.as_str();
    macro_rules! line {
        ($level:ident) => {
            tracing::event!(
                target: "longshore::package",
                tracing::Level::$level,
                package,
                run,
                task,
                attempt,
                module,
                "{message}"
            )
        };
    }
    match record.level {
        1 => line!(ERROR),
        2 => line!(WARN),
        3 => line!(INFO),
        4 => line!(DEBUG),
        _ => line!(TRACE),
    }
}
