//! Databases that lose answers, break off, come back, and let others go first.

use longshore_engine::embedded::EmbeddedPackage;
use longshore_engine::{Engine, Options, StartRequest};
use longshore_store::{Access, AttemptRow, RunId, RunRow, RunState, Store, TaskRow, TaskState};
use longshore_testing::{Backend, Fault, FaultProxy, Postgres};
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;

/// Longer than a host needs to find its way after any fault here.
const TIMEOUT: Duration = Duration::from_secs(60);

#[longshore_workflow::workflow(name = "chain")]
mod chain {
    use super::*;
    use longshore_workflow::{Context, TaskError, task};

    #[task]
    async fn first(context: &mut Context<Value>) -> Result<(), TaskError> {
        context.insert_as("first", 1)
    }

    #[task(dependencies = ["first"])]
    async fn second(context: &mut Context<Value>) -> Result<(), TaskError> {
        context.insert_as("second", 2)
    }
}

async fn open(url: &str) -> Engine {
    let store = Store::open(url, Access::Owner).await.expect("opens");
    let embedded = EmbeddedPackage::from_inventory("test", "1.0.0").expect("good definitions");
    Engine::open(store, Arc::new(embedded), Options::default()).await.expect("starts")
}

fn request() -> StartRequest {
    StartRequest { workflow: "chain".into(), ..StartRequest::default() }
}

async fn ended(engine: &Engine, run: RunId) -> RunState {
    match tokio::time::timeout(TIMEOUT, engine.ended(run)).await {
        Ok(ended) => ended.expect("is there"),
        Err(_) => panic!("stuck: {:?}", TaskRow::of_run(engine.store(), run).await),
    }
}

/// Every run of the database has succeeded, each task once, and none is held by anybody.
async fn nothing_is_left(engine: &Engine, runs: usize) {
    let rows = RunRow::newest(engine.store(), None, 1000).await.expect("lists");
    assert_eq!(rows.len(), runs, "none lost, none doubled");
    for row in rows {
        assert_eq!(row.state, RunState::Succeeded);
        let tasks = TaskRow::of_run(engine.store(), row.id).await.expect("loads");
        assert!(tasks.iter().all(|task| task.state == TaskState::Succeeded), "{tasks:?}");
        let attempts = AttemptRow::of_run(engine.store(), row.id).await.expect("loads");
        let numbers: Vec<_> = attempts.iter().map(|a| (a.idx, a.attempt, a.outcome.as_str())).collect();
        assert_eq!(numbers, [(0, 1, "succeeded"), (1, 1, "succeeded")]);
    }
}

async fn breaks_at_every_commit(test: &str, fault: Fault) {
    let database = Backend::postgres(test);
    let proxy = FaultProxy::start(database.url()).await;
    let engine = open(proxy.url()).await;
    let mut runs = 0;
    for n in 1.. {
        proxy.break_commit(n, fault);
        // Several at once, so that starts, claims and outcomes share transactions.
        let started = futures_util::future::join_all((0..3).map(|_| engine.start(request()))).await;
        for started in started {
            let started = started.expect("a moment's fault refuses nobody");
            assert!(!started.existing);
            assert_eq!(ended(&engine, started.run).await, RunState::Succeeded);
            runs += 1;
        }
        if !proxy.has_broken() {
            break;
        }
    }
    assert!(runs > 6, "the fault came in the middle of runs");
    nothing_is_left(&engine, runs).await;
    engine.shutdown(Duration::from_secs(5)).await;
}

longshore_testing::on_postgres! {
    async fn a_commit_whose_answer_is_lost_loses_and_doubles_nothing() {
        breaks_at_every_commit("faults::lose_reply", Fault::LoseReply).await;
    }
}

longshore_testing::on_postgres! {
    async fn a_commit_that_does_not_arrive_loses_and_doubles_nothing() {
        breaks_at_every_commit("faults::lose_request", Fault::LoseRequest).await;
    }
}

longshore_testing::on_postgres! {
    async fn a_server_that_restarts_again_and_again_loses_and_doubles_nothing() {
        let server = Arc::new(Postgres::start());
        let url = server.database("restarts");
        let engine = Arc::new(open(&url).await);
        let mut runs = 0;
        for pause_ms in [0, 3, 10, 30] {
            let starts: Vec<_> = (0..40)
                .map(|n| {
                    let engine = Arc::clone(&engine);
                    tokio::spawn(async move {
                        tokio::time::sleep(Duration::from_millis(n)).await;
                        engine.start(request()).await
                    })
                })
                .collect();
            tokio::time::sleep(Duration::from_millis(pause_ms)).await;
            let restarting = Arc::clone(&server);
            let restarted = tokio::task::spawn_blocking(move || {
                restarting.stop();
                restarting.restart();
            });
            restarted.await.expect("restarts");
            for start in starts {
                let run = start.await.expect("no panic").expect("a restart refuses nobody").run;
                assert_eq!(ended(&engine, run).await, RunState::Succeeded);
                runs += 1;
            }
        }
        nothing_is_left(&engine, runs).await;
        engine.shutdown(Duration::from_secs(5)).await;
    }
}
