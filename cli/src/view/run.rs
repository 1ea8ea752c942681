//! A run that has ended.

use crate::output::{ExitStatus, span, state};
use crate::view::backtrace::of_author;
use longshore_engine::RunReport;
use longshore_store::{RunState, TaskState};
use serde_json::{Map, Value};
use std::fmt::Write;

/// Longest value of a context key that is printed, in bytes.
const MAX_VALUE: usize = 100;

/// The exit status of a command whose run this is.
pub(crate) fn status_of(report: &RunReport) -> ExitStatus {
    if report.state == RunState::Succeeded { ExitStatus::Done } else { ExitStatus::RunFailed }
}

/// Writing to a String does not fail.
fn write_backtrace(out: &mut String, report: &RunReport, task: &str, backtrace: &str) {
    let (own, others) = of_author(backtrace);
    for frame in own {
        let _ = writeln!(out, "    in {frame}");
    }
    let run = report.run_id;
    let _ = writeln!(
        out,
        "    {others} more frames of `{task}` are not the package's: `longshore runs show {run} --json`"
    );
}

/// What became of it, and where it is recorded.
///
/// Writing to a String does not fail.
pub(crate) fn text(report: &RunReport, database: &str) -> String {
    let mut out = String::new();
    let took = report.finished_at.map(|end| span(end - report.created_at)).unwrap_or_default();
    let _ = writeln!(out, "{} {} in {took}", report.workflow, state(report.state, report.skipped_tasks));
    if let Some(error) = &report.error {
        let _ = writeln!(out, "  {error}");
    }
    for task in report.tasks.iter().filter(|t| t.state == TaskState::Failed) {
        let backtrace =
            task.history.last().and_then(|a| a.error.as_ref()?.get("backtrace")?.as_str().map(str::to_owned));
        if let Some(backtrace) = backtrace {
            write_backtrace(&mut out, report, &task.id, &backtrace);
        }
    }
    let context: Map<String, Value> = serde_json::from_str(report.context.get()).unwrap_or_default();
    for (key, value) in context {
        let text = value.to_string();
        let cut = text.floor_char_boundary(MAX_VALUE);
        let _ = writeln!(out, "  {key} = {}{}", &text[..cut], if cut < text.len() { " .." } else { "" });
    }
    let _ = writeln!(out, "record: run {} in {}", report.run_id, database.trim_start_matches("sqlite:"));
    out
}
