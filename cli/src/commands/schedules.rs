//! `longshore schedules`.

use crate::home::{Home, now_ms};
use crate::output::{ExitStatus, Printer, relative, table, time};
use longshore_engine::decide::Schedule;
use longshore_store::{ScheduleRow, iso};
use serde_json::{Value, json};

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
    let rows = ScheduleRow::all(&args.home.open_read_only().await?).await?;
    let documents: Vec<Value> = rows.iter().map(document).collect();
    printer.print(&json!({ "schedules": documents }), || {
        if rows.is_empty() {
            return "no schedules\n".to_owned();
        }
        table(&["SCHEDULE", "STARTS", "AT", "ZONE", "NEXT", ""], rows.iter().map(row).collect())
    })?;
    Ok(ExitStatus::Done)
}

fn document(row: &ScheduleRow) -> Value {
    json!({
        "name": row.name,
        "workflow": row.workflow,
        "cron": row.expression,
        "timezone": row.timezone,
        "next": fires(row).into_iter().map(iso::text).collect::<Vec<_>>(),
    })
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
