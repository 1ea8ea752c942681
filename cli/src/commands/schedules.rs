//! `longshore schedules`.

use crate::home::{Home, now_ms};
use crate::output::{ExitStatus, Printer, relative, table, time};
use longshore_engine::decide::Schedule;
use longshore_store::{EventRow, ScheduleRow, Subject, iso};
use serde_json::{Value, json};
use std::fmt::Write;

/// Events of a schedule that are told: fires that were skipped, missed, or started nothing.
const EVENTS: i64 = 3;

/// Coming fires that are told.
const FIRES: usize = 3;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    home: Home,
    #[command(subcommand)]
    verb: Option<Verb>,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// List the schedules with their next fires
    List,
}

pub(crate) async fn run(args: Args, printer: &Printer) -> anyhow::Result<ExitStatus> {
    let Verb::List = args.verb.unwrap_or(Verb::List);
    let store = args.home.open_read_only().await?;
    let mut schedules = Vec::new();
    for row in ScheduleRow::all(&store).await? {
        let events = EventRow::newest(&store, Subject::Schedule(&row.name), EVENTS).await?;
        schedules.push((row, events));
    }
    let documents: Vec<Value> = schedules.iter().map(|(row, events)| document(row, events)).collect();
    printer.print(&json!({ "schedules": documents }), || text(&schedules))?;
    Ok(ExitStatus::Done)
}

fn document(row: &ScheduleRow, events: &[EventRow]) -> Value {
    json!({
        "name": row.name,
        "workflow": row.workflow,
        "cron": row.expression,
        "timezone": row.timezone,
        "next": fires(row).into_iter().map(iso::text).collect::<Vec<_>>(),
        "events": events,
    })
}

/// A table, and below it what was last out of the ordinary.
///
/// Writing to a String does not fail.
fn text(schedules: &[(ScheduleRow, Vec<EventRow>)]) -> String {
    if schedules.is_empty() {
        return "no schedules\n".to_owned();
    }
    let rows = schedules.iter().map(|(schedule, _)| row(schedule)).collect();
    let mut out = table(&["SCHEDULE", "STARTS", "AT", "ZONE", "NEXT", ""], rows);
    for (schedule, events) in schedules {
        if let Some(EventRow { at, kind, message, .. }) = events.first() {
            let _ = write!(out, "\n{}: {} {}\n  {message}\n", schedule.name, kind.as_str(), time(*at));
        }
    }
    out
}

/// The coming fires, the recorded one first.
fn fires(row: &ScheduleRow) -> Vec<i64> {
    let schedule = Schedule::parse(&row.expression, &row.timezone).ok();
    let after = |at: &i64| schedule.as_ref().and_then(|schedule| schedule.next_after(*at));
    std::iter::successors(row.next_at, after).take(FIRES).collect()
}

fn row(row: &ScheduleRow) -> Vec<String> {
    let zone = if row.timezone.is_empty() { "UTC" } else { &row.timezone };
    let next = row.next_at.map_or_else(|| "never".to_owned(), time);
    let until = row.next_at.map(|at| relative(at - now_ms())).unwrap_or_default();
    vec![row.name.clone(), row.workflow.clone(), row.expression.clone(), zone.to_owned(), next, until]
}
