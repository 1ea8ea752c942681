//! The cost of ten million finished runs for those that come.

use crate::claim::{claim_ms, own_queue, ready_tasks, series};
use crate::no_code::{NoCode, WORKFLOW, digest, succeeded};
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

/// The tasks of each run: the second one waits for the first.
const TASKS: [&str; 2] = ["a", "b"];

/// Readings of each figure.
const ROUNDS: usize = 100;

/// Runs of two tasks that ended, with their attempts, as the engine leaves them. One in a thousand failed.
async fn fill(store: &Store, runs: u64) -> anyhow::Result<()> {
    let (digest, queue) = (digest(), own_queue().get());
    // Version 7 ids of the past: they sort before those that come.
    let id = "'01900000-' || SUBSTR(CAST(10000 + i / 100000000 AS TEXT), 2) || '-7000-8000-' \
              || SUBSTR(CAST(1000000000000 + i AS TEXT), 2)";
    let state = "CASE WHEN i % 1000 = 0 THEN 'failed' ELSE 'succeeded' END";
    let host = "'0193502c-7d3a-7c11-9d27-2f1f0a6f5b11'";
    let (began, ended) = ("1700000000000 + i", "1700000000001 + i");
    for from in (0..runs).step_by(CHUNK as usize) {
        let series = series(from, CHUNK.min(runs - from));
        let mut statements = vec![format!(
            "INSERT INTO runs (id, tenant, workflow, package, version, digest, state, origin, input, open_tasks, \
             failed_tasks, created_at, finished_at) SELECT {id}, 'public', '{WORKFLOW}', 'measured', '1.0.0', \
             '{digest}', {state}, 'manual', '{{}}', 0, 0, {began}, {ended} FROM {series}"
        )];
        for (idx, task) in TASKS.iter().enumerate() {
            statements.push(format!(
                "INSERT INTO tasks (run_id, idx, id, queue, state, waiting, upstream_failed, attempt, lost, \
                 lost_together, lost_alone, token, due_at, host_id, started_at, finished_at) SELECT {id}, {idx}, \
                 '{task}', {queue}, {state}, 0, 0, 1, 0, 0, 0, 1700000000000, 0, {host}, {began}, {ended} FROM {series}"
            ));
            statements.push(format!(
                "INSERT INTO attempts (run_id, idx, attempt, host_id, started_at, finished_at, outcome) \
                 SELECT {id}, {idx}, 1, {host}, {began}, {ended}, {state} FROM {series}"
            ));
        }
        let mut tx = store.begin().await?;
        for sql in statements {
            sqlx::query(AssertSqlSafe(sql)).execute(&mut *tx).await.context("the history is written")?;
        }
        store.commit(tx).await?;
    }
    Ok(())
}

/// The median milliseconds of each figure of one database.
async fn figures(folder: &Path, rounds: usize) -> anyhow::Result<Vec<(&'static str, f64)>> {
    let open = || async { Store::open_file(&folder.join("longshore.db"), Access::Owner).await };
    let [first, second] = TASKS.map(str::to_owned);
    let tasks = [(first.clone(), Vec::new()), (second, vec![first])];
    let package = || NoCode::new(&tasks, Duration::ZERO, None);
    let mut starts = Vec::new();
    for _ in 0..5 {
        let began = Instant::now();
        let engine = package()?.open(open().await?, 512).await?;
        starts.push(ms(began));
        engine.shutdown(Duration::from_secs(1)).await;
    }
    let engine = package()?.open(open().await?, 512).await?;
    let store = engine.store().clone();
    let [mut runs, mut lists, mut failed, mut shows] = [const { Vec::new() }; 4];
    let mut shown = None;
    for _ in 0..rounds {
        let began = Instant::now();
        let request = StartRequest { workflow: WORKFLOW.into(), ..StartRequest::default() };
        let run = engine.start(request).await?.run;
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
    ready_tasks(&store, 0, 1000, &digest().to_string(), &own_queue().get().to_string()).await?;
    let claim = claim_ms(&store, engine.host(), rounds).await?;
    Ok(vec![
        ("start_of_a_host", median(starts)),
        ("claim", claim),
        ("run_of_two_tasks", median(runs)),
        ("list_50", median(lists)),
        ("list_50_failed", median(failed)),
        ("show", median(shows)),
    ])
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
    let row = |((name, ours), (_, floor)): ((&'static str, f64), (&str, f64))| {
        Row::new(name, "ms", ours)
            .floor(floor, FLOOR)
            .with("runs", runs)
            .with("gib", (gib * 100.0).round() / 100.0)
    };
    Ok(ours.into_iter().zip(floor).map(row).collect())
}
