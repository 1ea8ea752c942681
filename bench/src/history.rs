//! Ten million finished runs: what they cost those that come.

use crate::instant::{Instant as Package, WORKFLOW, succeeded};
use crate::probe::{claim_ms, own_queue, ready_tasks};
use crate::row::{Row, median};
use anyhow::Context;
use longshore_engine::{RunReport, StartRequest};
use longshore_store::{Access, RunRow, RunState, Store};
use sqlx::AssertSqlSafe;
use std::path::Path;
use std::time::{Duration, Instant};

const FLOOR: &str = "the same in a database without a history";

/// Runs that are written by one statement.
const CHUNK: u64 = 100_000;

/// Readings of each figure.
const ROUNDS: usize = 100;

/// Runs of two tasks that ended, with their attempts, as the engine leaves them. One in a thousand failed.
async fn fill(store: &Store, runs: u64) -> anyhow::Result<()> {
    let digest = crate::instant::digest();
    let mut done = 0;
    while done < runs {
        let chunk = CHUNK.min(runs - done);
        let series = format!(
            "(WITH RECURSIVE s(i) AS (SELECT {done} UNION ALL SELECT i + 1 FROM s WHERE i < {}) SELECT i FROM s)",
            done + chunk - 1
        );
        // Version 7 ids of the past: they sort before those that come.
        let id = "'01900000-' || SUBSTR(CAST(10000 + i / 100000000 AS TEXT), 2) || '-7000-8000-' || SUBSTR(CAST(1000000000000 + i AS TEXT), 2)";
        let state = "CASE WHEN i % 1000 = 0 THEN 'failed' ELSE 'succeeded' END";
        let host = "'0193502c-7d3a-7c11-9d27-2f1f0a6f5b11'";
        let mut tx = store.begin().await?;
        for sql in [
            format!(
                "INSERT INTO runs (id, tenant, workflow, package, version, digest, state, origin, input, open_tasks, failed_tasks, created_at, finished_at) SELECT {id}, 'public', '{WORKFLOW}', 'measured', '1.0.0', '{digest}', {state}, 'manual', '{{}}', 0, 0, 1700000000000 + i, 1700000000001 + i FROM {series}"
            ),
            format!(
                "INSERT INTO tasks (run_id, idx, id, queue, state, waiting, upstream_failed, attempt, lost, lost_together, lost_alone, token, due_at, host_id, started_at, finished_at) SELECT {id}, 0, 'a', 5795278478123456789, {state}, 0, 0, 1, 0, 0, 0, 1700000000000, 0, {host}, 1700000000000 + i, 1700000000001 + i FROM {series}"
            ),
            format!(
                "INSERT INTO tasks (run_id, idx, id, queue, state, waiting, upstream_failed, attempt, lost, lost_together, lost_alone, token, due_at, host_id, started_at, finished_at) SELECT {id}, 1, 'b', 5795278478123456789, {state}, 0, 0, 1, 0, 0, 0, 1700000000000, 0, {host}, 1700000000000 + i, 1700000000001 + i FROM {series}"
            ),
            format!(
                "INSERT INTO attempts (run_id, idx, attempt, host_id, started_at, finished_at, outcome) SELECT {id}, 0, 1, {host}, 1700000000000 + i, 1700000000001 + i, {state} FROM {series}"
            ),
            format!(
                "INSERT INTO attempts (run_id, idx, attempt, host_id, started_at, finished_at, outcome) SELECT {id}, 1, 1, {host}, 1700000000000 + i, 1700000000001 + i, {state} FROM {series}"
            ),
        ] {
            sqlx::query(AssertSqlSafe(sql)).execute(&mut *tx).await.context("the history is written")?;
        }
        store.commit(tx).await?;
        done += chunk;
    }
    Ok(())
}

/// The figures of one database, in milliseconds: a host's start, a claim, a run, a list, a list of what failed, one run
/// shown.
async fn figures(folder: &Path, rounds: usize) -> anyhow::Result<[f64; 6]> {
    let open = || async { Store::open_file(&folder.join("longshore.db"), Access::Owner).await };
    let package = || {
        Package::new(
            &[("a".to_owned(), Vec::new()), ("b".to_owned(), vec!["a".to_owned()])],
            Duration::ZERO,
            None,
        )
    };
    let mut starts = Vec::new();
    for _ in 0..5 {
        let began = Instant::now();
        let engine = package()?.open(open().await?, 512).await?;
        starts.push(ms(began));
        engine.shutdown(Duration::from_secs(1)).await;
    }
    let engine = package()?.open(open().await?, 512).await?;
    let store = engine.store().clone();
    let (mut runs, mut lists, mut failed, mut shows, mut shown) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new(), None);
    for _ in 0..rounds {
        let began = Instant::now();
        let run =
            engine.start(StartRequest { workflow: WORKFLOW.into(), ..StartRequest::default() }).await?.run;
        succeeded(&engine, run).await?;
        runs.push(ms(began));
        let began = Instant::now();
        RunRow::newest(&store, None, 50).await?;
        lists.push(ms(began));
        let began = Instant::now();
        RunRow::newest(&store, Some(RunState::Failed), 50).await?;
        failed.push(ms(began));
        let began = Instant::now();
        RunReport::load(&store, *shown.get_or_insert(run)).await?;
        shows.push(ms(began));
    }
    engine.shutdown(Duration::from_secs(1)).await;
    let digest = crate::instant::digest().to_string();
    ready_tasks(&store, 0, 1000, &digest, &own_queue().get().to_string()).await?;
    let claim = claim_ms(&store, engine.host(), rounds).await?;
    Ok([median(starts), claim, median(runs), median(lists), median(failed), median(shows)])
}

fn ms(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1000.0
}

pub(crate) async fn run(smoke: bool) -> anyhow::Result<Vec<Row>> {
    let (runs, rounds) = if smoke { (10_000, 5) } else { (10_000_000, ROUNDS) };
    let (empty, full) = (tempfile::tempdir()?, tempfile::tempdir_in(crate::package::target())?);
    let path = full.path().join("longshore.db");
    let store = Store::open_file(&path, Access::Owner).await?;
    fill(&store, runs).await?;
    store.close().await;
    drop(store);
    let gib = std::fs::metadata(&path)?.len() as f64 / f64::from(1 << 30);
    let floor = figures(empty.path(), rounds).await?;
    let ours = figures(full.path(), rounds).await?;
    let names = ["start_of_a_host", "claim", "run_of_two_tasks", "list_50", "list_50_failed", "show"];
    let row = |(at, name): (usize, &&str)| {
        Row::new(*name, "ms", ours[at])
            .floor(floor[at], FLOOR)
            .with("runs", runs)
            .with("gib", (gib * 100.0).round() / 100.0)
    };
    Ok(names.iter().enumerate().map(row).collect())
}
