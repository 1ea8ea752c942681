//! `longshore db prune`.

use crate::commands::keep::KeepOptions;
use crate::home::now_ms;
use crate::output::{ExitStatus, Printer};
use crate::request::decision::Decision;
use longshore_engine::{Pruned, prune};
use longshore_store::{EventKind, EventRow, Store, Subject};
use serde_json::json;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    keep: KeepOptions,
    #[command(flatten)]
    decision: Decision,
}

pub(super) async fn run(store: &Store, args: &Args, printer: &Printer) -> anyhow::Result<ExitStatus> {
    let pruned = match args.keep.retention() {
        Some(retention) => prune(store, &retention, now_ms()).await?,
        None => Pruned::default(),
    };
    let Pruned { runs, events, dead_letters } = pruned;
    let deleted = format!("{runs} runs, {events} events and {dead_letters} dead letters");
    record(store, &deleted, &args.decision).await?;
    let document = json!({ "runs": runs, "events": events, "dead_letters": dead_letters });
    printer.print(&document, || format!("deleted {deleted}\n"))?;
    Ok(ExitStatus::Done)
}

async fn record(store: &Store, deleted: &str, decision: &Decision) -> anyhow::Result<()> {
    let message = format!("deleted {deleted} for {}: {}", decision.actor, decision.reason);
    let mut tx = store.begin().await?;
    EventRow::append(&mut tx, Subject::Database, EventKind::Pruned, &message, now_ms()).await?;
    Ok(store.commit(tx).await?)
}
