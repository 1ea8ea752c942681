//! More work than slots: what is finished first.

use longshore_engine::{Engine, Options, StartRequest};
use longshore_store::{AttemptRow, RunId, RunRow, RunState};
use longshore_testing::{Backend, open_embedded};
use serde_json::Value;
use std::time::Duration;

const RUNS: usize = 100;

#[longshore_workflow::workflow(name = "chain")]
mod chain {
    use super::*;
    use longshore_workflow::{Context, TaskError, task};

    #[task]
    async fn first(_context: &mut Context<Value>) -> Result<(), TaskError> {
        tokio::time::sleep(Duration::from_millis(2)).await;
        Ok(())
    }

    #[task(dependencies = ["first"])]
    async fn second(_context: &mut Context<Value>) -> Result<(), TaskError> {
        Ok(())
    }

    #[task(dependencies = ["second"])]
    async fn third(_context: &mut Context<Value>) -> Result<(), TaskError> {
        Ok(())
    }
}

#[longshore_workflow::workflow(name = "short")]
mod short {
    use super::*;
    use longshore_workflow::{Context, TaskError, task};

    #[task]
    async fn only(_context: &mut Context<Value>) -> Result<(), TaskError> {
        Ok(())
    }
}

longshore_testing::for_each_backend!(
    the_oldest_run_is_finished_before_the_next_begins,
    a_run_of_another_workflow_does_not_wait_for_a_backlog,
    a_backlog_that_another_host_left_is_finished_in_order,
    a_backlog_that_has_no_room_in_memory_is_finished_in_order,
);

async fn open(backend: &Backend, slots: usize) -> Engine {
    open_embedded(backend.open().await, Options { slots, ..Options::default() }).await
}

async fn start(engine: &Engine, workflow: &str, runs: usize) -> Vec<RunId> {
    let request = || StartRequest { workflow: workflow.into(), ..StartRequest::default() };
    let mut started = Vec::new();
    for _ in 0..runs {
        started.push(engine.start(request()).await.expect("starts").run);
    }
    started
}

async fn all_succeed(engine: &Engine, runs: &[RunId]) {
    for run in runs {
        let ended = tokio::time::timeout(Duration::from_secs(60), engine.ended(*run)).await;
        assert_eq!(ended.expect("in time").expect("is there"), RunState::Succeeded);
    }
}

/// The runs that ended, in the order of their last attempts' ends; ties in the order of their starts.
async fn order(engine: &Engine, runs: &[RunId]) -> Vec<usize> {
    let mut ends = Vec::new();
    for (place, run) in runs.iter().enumerate() {
        let row = RunRow::find(engine.store(), *run).await.expect("finds").expect("is there");
        ends.push((row.finished_at.expect("it ended"), place));
    }
    ends.sort_unstable();
    ends.into_iter().map(|(_, place)| place).collect()
}

async fn the_oldest_run_is_finished_before_the_next_begins(backend: Backend) {
    let engine = open(&backend, 1).await;
    let runs = start(&engine, "chain", RUNS).await;
    all_succeed(&engine, &runs).await;
    assert!(order(&engine, &runs).await.is_sorted());
    // All were started long before the first of them ended.
    let mut began_before = 0;
    let first = RunRow::find(engine.store(), runs[0]).await.expect("finds").expect("is there");
    for run in &runs {
        let attempts = AttemptRow::of_run(engine.store(), *run).await.expect("loads");
        began_before += usize::from(attempts[0].started_at < first.finished_at.expect("it ended"));
    }
    assert!(began_before < RUNS / 2, "{began_before} of {RUNS} began before the first ended");
    engine.shutdown(Duration::from_secs(5)).await;
}

async fn a_run_of_another_workflow_does_not_wait_for_a_backlog(backend: Backend) {
    let engine = open(&backend, 1).await;
    let backlog = start(&engine, "chain", RUNS).await;
    let short = start(&engine, "short", 1).await;
    all_succeed(&engine, &short).await;
    let last = RunRow::find(engine.store(), backlog[RUNS - 1]).await.expect("finds").expect("is there");
    assert_eq!(last.state, RunState::Running, "the backlog goes on");
    all_succeed(&engine, &backlog).await;
    engine.shutdown(Duration::from_secs(5)).await;
}

async fn a_backlog_that_another_host_left_is_finished_in_order(backend: Backend) {
    let first = open(&backend, 1).await;
    let runs = start(&first, "chain", RUNS).await;
    first.shutdown(Duration::ZERO).await;
    drop(first);
    let engine = open(&backend, 1).await;
    all_succeed(&engine, &runs).await;
    assert!(order(&engine, &runs).await.is_sorted());
    engine.shutdown(Duration::from_secs(5)).await;
}

async fn a_backlog_that_has_no_room_in_memory_is_finished_in_order(backend: Backend) {
    // Room for a few of the runs.
    let options = Options { slots: 2, max_cached_bytes: 4096, ..Options::default() };
    let engine = open_embedded(backend.open().await, options).await;
    let runs = start(&engine, "chain", RUNS).await;
    all_succeed(&engine, &runs).await;
    for run in &runs {
        let attempts = AttemptRow::of_run(engine.store(), *run).await.expect("loads");
        assert_eq!(attempts.len(), 3, "each task was executed once");
    }
    engine.shutdown(Duration::from_secs(5)).await;
}
