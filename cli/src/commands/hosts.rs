//! `longshore hosts`.

use crate::home::{Home, now_ms};
use crate::output::{ExitStatus, Printer, span, table, time};
use longshore_store::HostRow;
use serde_json::{Value, json};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Hosts to list, the one that was seen last first
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(i64).range(1..=10_000))]
    limit: i64,
    #[command(flatten)]
    home: Home,
}

pub(crate) async fn run(args: Args, printer: &Printer) -> anyhow::Result<ExitStatus> {
    let store = args.home.open_read_only().await?;
    let hosts = HostRow::newest(&store, args.limit).await?;
    let documents: Vec<Value> = hosts.iter().map(document).collect();
    printer.print(&json!({ "hosts": documents }), || text(&hosts))?;
    Ok(ExitStatus::Done)
}

/// A host as JSON, with its state.
pub(crate) fn document(host: &HostRow) -> Value {
    let mut document = json!(host);
    document["state"] = state_of(host, now_ms()).into();
    document
}

/// The hosts in lines.
pub(crate) fn text(hosts: &[HostRow]) -> String {
    if hosts.is_empty() {
        return "no host has run on this database\n".to_owned();
    }
    let now = now_ms();
    let row = |host: &HostRow| {
        let seen = format!("{} ago", span(now.saturating_sub(host.seen_at)));
        let state = state_of(host, now).to_owned();
        vec![host.name.clone(), host.pid.to_string(), state, time(host.started_at), seen, host.id.clone()]
    };
    table(&["HOST", "PID", "STATE", "STARTED", "SEEN", "ID"], hosts.iter().map(row).collect())
}

/// A host that is not there and did not say that it stops has died.
fn state_of(host: &HostRow, now: i64) -> &'static str {
    match host.stopped_at {
        Some(_) if host.died == 0 => "stopped",
        None if host.is_alive(now) => "running",
        Some(_) | None => "died",
    }
}
