//! More work than slots: when the first run ends, and what the ready tasks of packages that nobody loaded cost.

use crate::claim::{claim_ms, own_queue, ready_tasks};
use crate::no_code::{NoCode, WORKFLOW, digest, succeeded};
use crate::row::{Row, median};
use longshore_engine::StartRequest;
use longshore_store::{Access, HostId, Store};
use sqlx::AssertSqlSafe;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

const SLOTS: usize = 10;

pub(crate) async fn run(smoke: bool) -> anyhow::Result<Vec<Row>> {
    Ok(vec![first_of_the_runs(smoke).await?, foreign_digests(smoke).await?])
}

/// Chains of ten tasks of ten milliseconds, all at once, on ten slots: the share of the time when the first has ended.
async fn first_of_the_runs(smoke: bool) -> anyhow::Result<Row> {
    let runs = if smoke { 50 } else { 1000 };
    let above = |i: usize| if i == 0 { Vec::new() } else { vec![format!("t{}", i - 1)] };
    let tasks: Vec<_> = (0..10).map(|i| (format!("t{i}"), above(i))).collect();
    let folder = tempfile::tempdir()?;
    let store = Store::open_file(&folder.path().join("bench.db"), Access::Owner).await?;
    let engine = Arc::new(NoCode::new(&tasks, Duration::from_millis(10), None)?.open(store, SLOTS).await?);
    let began = Instant::now();
    let mut waiting = tokio::task::JoinSet::new();
    for _ in 0..runs {
        let engine = Arc::clone(&engine);
        waiting.spawn(async move {
            let request = StartRequest { workflow: WORKFLOW.into(), ..StartRequest::default() };
            succeeded(&engine, engine.start(request).await?.run).await?;
            anyhow::Ok(began.elapsed().as_secs_f64())
        });
    }
    let mut ends = Vec::with_capacity(runs);
    while let Some(end) = waiting.join_next().await {
        ends.push(end??);
    }
    let total = ends.iter().copied().fold(0.0, f64::max);
    let first = ends.iter().copied().fold(total, f64::min);
    engine.shutdown(Duration::from_secs(1)).await;
    // What the slots allow: the tasks of all runs, one after the other on each slot.
    let least = runs as f64 * 10.0 * 0.01 / SLOTS as f64;
    Ok(Row::new(format!("first_of_{runs}_runs"), "% of the time", first / total * 100.0)
        .with("half_of_the_runs_percent", (median(ends) / total * 100.0).round())
        .with("seconds", (total * 100.0).round() / 100.0)
        .with("seconds_of_the_slots", least))
}

/// A claim among so many ready tasks of another digest, over the same claim without them.
async fn foreign_digests(smoke: bool) -> anyhow::Result<Row> {
    let (foreign, digests, rounds) = if smoke { (2000, 10, 5) } else { (200_000, 100, 200) };
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("bench.db");
    let host = HostId::new();
    let store = Store::open_file(&path, Access::Owner).await?;
    ready_tasks(&store, 0, 5000, &digest().to_string(), &own_queue().get().to_string()).await?;
    let store = reopened(store, &path).await?;
    let alone = claim_ms(&store, host, rounds).await?;
    ready_tasks(&store, 10_000, foreign, &"9".repeat(64), "1").await?;
    let store = reopened(store, &path).await?;
    let among = claim_ms(&store, host, rounds).await?;
    // The same tasks, in many queues.
    let mut tx = store.begin().await?;
    let sql =
        format!("UPDATE tasks SET queue = CAST(SUBSTR(run_id, 25) AS BIGINT) % {digests} WHERE queue = 1");
    sqlx::query(AssertSqlSafe(sql)).execute(&mut *tx).await?;
    store.commit(tx).await?;
    let store = reopened(store, &path).await?;
    let of_many = claim_ms(&store, host, rounds).await?;
    store.close().await;
    Ok(Row::new("foreign_digests", "ms/claim", among)
        .floor(alone, "the same claim without them")
        .with("foreign_tasks", foreign)
        .with(&format!("in_{digests}_queues_ms"), (of_many * 1000.0).round() / 1000.0))
}

/// The database opened anew: what a log still holds is read in another way.
async fn reopened(store: Store, path: &Path) -> anyhow::Result<Store> {
    store.close().await;
    drop(store);
    Ok(Store::open_file(path, Access::Owner).await?)
}
