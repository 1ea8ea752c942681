//! Deletes what has ended and is not kept any more, in batches that keep nobody waiting.

use crate::clock::Clock;
use crate::decide::{Sweep, before};
use crate::model::retention::Retention;
use longshore_store::{Error, Log, RunAge, RunId, RunPage, Store};
use std::sync::Arc;
use std::time::Duration;

/// The interval at which it is looked for.
const INTERVAL: Duration = Duration::from_secs(60 * 60);

/// The time after the start of a host when it is looked for first.
const FIRST: Duration = Duration::from_secs(60);

/// Runs that are looked at together.
const PAGE: i64 = 1000;

/// Runs that are deleted in one transaction.
const BATCH: usize = 10;

/// Events that are deleted in one transaction.
const LOG_BATCH: i64 = 1000;

/// Pause between two transactions: others write too.
const PAUSE: Duration = Duration::from_millis(20);

/// Numbers of the rows that were deleted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Runs, with their tasks and attempts.
    pub runs: u64,
    /// Events of hosts, packages and schedules.
    pub events: u64,
    /// Dead letters.
    pub dead_letters: u64,
}

/// Deletes what is not kept, from time to time, until it is aborted.
pub(crate) async fn run(store: Store, retention: Retention, clock: Arc<dyn Clock>) {
    let mut next = clock.uptime() + FIRST;
    loop {
        clock.sleep_until(next).await;
        match prune(&store, &retention, clock.now_ms()).await {
            Ok(pruned) if pruned != Pruned::default() => {
                let Pruned { runs, events, dead_letters } = pruned;
                tracing::info!(runs, events, dead_letters, "deleted what is not kept");
            }
            Ok(_) => {}
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(error, "what is not kept was not deleted; it is tried again");
            }
        }
        next = clock.uptime() + INTERVAL;
    }
}

/// Deletes what is not kept. It may end anywhere: what is left is deleted the next time.
///
/// # Errors
/// [`Error`] of the database.
pub async fn prune(store: &Store, retention: &Retention, now: i64) -> Result<Pruned, Error> {
    let runs = prune_runs(store, retention, now).await?;
    let events = prune_log(store, Log::Events, before(now, retention.events)).await?;
    let dead_letters = prune_log(store, Log::DeadLetters, before(now, retention.dead_letters)).await?;
    Ok(Pruned { runs, events, dead_letters })
}

async fn prune_runs(store: &Store, retention: &Retention, now: i64) -> Result<u64, Error> {
    let mut sweep = Sweep::new(retention, now);
    let (mut last, mut deleted) = (None::<String>, 0);
    loop {
        let page = RunPage::after(store, last.as_deref(), PAGE).await?;
        if page.last.is_none() {
            return Ok(deleted);
        }
        last = page.last;
        // One that does not read is left for somebody to look at.
        let expired = page.runs.iter().filter(|run| sweep.is_expired(run)).map(|run| run.id);
        for batch in expired.collect::<Vec<RunId>>().chunks(BATCH) {
            let mut tx = store.begin().await?;
            deleted += RunAge::delete(&mut tx, batch).await?;
            store.commit(tx).await?;
            tokio::time::sleep(PAUSE).await;
        }
    }
}

async fn prune_log(store: &Store, log: Log, time: i64) -> Result<u64, Error> {
    let mut deleted = 0;
    loop {
        let mut tx = store.begin().await?;
        let batch = log.delete_before(&mut tx, time, LOG_BATCH).await?;
        store.commit(tx).await?;
        deleted += batch;
        if batch < LOG_BATCH as u64 {
            return Ok(deleted);
        }
        tokio::time::sleep(PAUSE).await;
    }
}
