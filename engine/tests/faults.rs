//! Databases that lose answers, break off, come back, and let others go first.

use longshore_engine::clock::Manual;
use longshore_engine::{Engine, Options, StartRequest};
use longshore_store::{Access, AttemptRow, RunId, RunRow, RunState, Store, TaskRow, TaskState};
use longshore_testing::{Backend, Fault, FaultProxy, Postgres, Unloadable, open_embedded};
use serde_json::Value;
use sqlx::{AnyConnection, Connection};
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;

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

static GATE: Semaphore = Semaphore::const_new(0);

#[longshore_workflow::workflow(name = "gated")]
mod gated {
    use super::*;
    use longshore_workflow::{Context, TaskError, task};

    #[task]
    async fn first(_context: &mut Context<Value>) -> Result<(), TaskError> {
        GATE.acquire().await.map_err(|e| TaskError::failed(e.to_string()))?.forget();
        Ok(())
    }

    #[task(dependencies = ["first"])]
    async fn second(_context: &mut Context<Value>) -> Result<(), TaskError> {
        Ok(())
    }
}

async fn open(url: &str) -> Engine {
    open_embedded(Store::open(url, Access::Owner).await.expect("opens"), Options::default()).await
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
    breaks_at_commits(test, fault, 1..=i64::MAX).await;
}

/// Breaks the first COMMIT of a few runs, the second, and so on, until they need no more of them.
async fn breaks_at_commits(test: &str, fault: Fault, commits: RangeInclusive<i64>) {
    let database = Backend::postgres(test);
    let proxy = FaultProxy::start(database.url()).await;
    let engine = open(proxy.url()).await;
    let mut runs = 0;
    for n in commits {
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
    async fn a_commit_whose_answer_comes_twice_loses_and_doubles_nothing() {
        breaks_at_commits("faults::double_reply", Fault::DoubleReply, 1..=3).await;
    }
}

longshore_testing::on_postgres! {
    async fn a_connection_that_falls_silent_loses_and_doubles_nothing_and_is_not_waited_for_for_ever() {
        breaks_at_commits("faults::silence", Fault::Silence, 1..=3).await;
    }
}

longshore_testing::on_postgres! {
    async fn connections_that_are_slow_and_cut_again_and_again_lose_and_double_nothing() {
        let database = Backend::postgres("faults::cut");
        let proxy = FaultProxy::start(database.url()).await;
        let engine = open(proxy.url()).await;
        proxy.delay(Duration::from_millis(1));
        let mut runs = 0;
        for pause_ms in [0, 5, 10, 20, 40] {
            let cut = async {
                tokio::time::sleep(Duration::from_millis(pause_ms)).await;
                proxy.cut();
            };
            let starts = futures_util::future::join_all((0..3).map(|_| engine.start(request())));
            let (started, ()) = tokio::join!(starts, cut);
            for started in started {
                let run = started.expect("a cut refuses nobody").run;
                assert_eq!(ended(&engine, run).await, RunState::Succeeded);
                runs += 1;
            }
        }
        nothing_is_left(&engine, runs).await;
        engine.shutdown(Duration::from_secs(5)).await;
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

longshore_testing::on_postgres! {
    async fn an_outcome_whose_definition_is_gone_waits_for_it() {
        let database = Backend::postgres("faults::definition_gone");
        let proxy = FaultProxy::start(database.url()).await;
        let store = Store::open(proxy.url(), Access::Owner).await.expect("opens");
        let packages = Unloadable::new();
        let engine = Engine::open(store, packages.clone(), Options::default()).await.expect("starts");
        let request = StartRequest { workflow: "gated".into(), ..StartRequest::default() };
        let run = engine.start(request).await.expect("starts").run;
        // A scan for cancelled runs has just been committed: the next commit is that of the outcome.
        let scans = proxy.commits();
        while proxy.commits() == scans {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        // The run is forgotten with the transaction that fails, and is not known when it is read again.
        packages.set_loaded(false);
        proxy.break_commit(1, Fault::LoseRequest);
        GATE.add_permits(1);
        while !proxy.has_broken() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let commits = proxy.commits();
        while proxy.commits() < commits + 2 {
            engine.wake();
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let tasks = TaskRow::of_run(engine.store(), run).await.expect("loads");
        assert_eq!((tasks[0].state, tasks[1].state), (TaskState::Running, TaskState::Waiting));
        packages.set_loaded(true);
        engine.wake();
        assert_eq!(ended(&engine, run).await, RunState::Succeeded);
        let attempts = AttemptRow::of_run(engine.store(), run).await.expect("loads");
        assert_eq!(attempts.len(), 2, "what was done is not done again");
        engine.shutdown(Duration::from_secs(5)).await;
    }
}

longshore_testing::on_postgres! {
    async fn a_start_whose_commit_is_unknown_says_so_when_the_database_stays_away() {
        let database = Backend::postgres("faults::start_unknown");
        let proxy = FaultProxy::start(database.url()).await;
        let clock = Manual::at(1_000_000);
        let store = Store::open(proxy.url(), Access::Owner).await.expect("opens");
        let options = Options { clock: Arc::new(clock.clone()), ..Options::default() };
        let engine = Arc::new(open_embedded(store, options).await);
        // The first one ends before the fault is set.
        let first = engine.start(request()).await.expect("starts").run;
        assert_eq!(ended(&engine, first).await, RunState::Succeeded);
        proxy.break_commit(1, Fault::LoseServer);
        let starting = tokio::spawn({
            let engine = Arc::clone(&engine);
            async move { engine.start(request()).await }
        });
        while !starting.is_finished() {
            clock.advance(Duration::from_secs(1));
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let error = starting.await.expect("no panic").expect_err("nobody knows");
        assert_eq!(error.code(), "LS0609", "{error}");
        let longshore_engine::Error::StartUnknown { run, .. } = error else { panic!("{error}") };
        proxy.restore();
        while RunRow::find(engine.store(), run).await.is_err() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        // It was recorded after all, and is executed.
        let waiting = tokio::time::timeout(TIMEOUT, async {
            while RunRow::find(engine.store(), run).await.expect("finds").expect("is there").state != RunState::Succeeded {
                clock.advance(Duration::from_secs(1));
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        });
        waiting.await.expect("it goes on");
    }
}

#[longshore_workflow::workflow(name = "endless")]
mod endless {
    use super::*;
    use longshore_workflow::{Context, TaskError, task};

    #[task]
    async fn only(_context: &mut Context<Value>) -> Result<(), TaskError> {
        std::future::pending().await
    }
}

longshore_testing::on_postgres! {
    async fn an_attempt_ends_whose_run_was_cancelled_by_a_commit_with_a_lost_answer() {
        let database = Backend::postgres("faults::cancel");
        let proxy = FaultProxy::start(database.url()).await;
        let engine = open(proxy.url()).await;
        let request = StartRequest { workflow: "endless".into(), ..StartRequest::default() };
        let run = engine.start(request).await.expect("starts").run;
        let digest = RunRow::find(engine.store(), run).await.expect("finds").expect("is there").digest;
        // Asked for in the database, so that the commit that breaks is that of the engine.
        let client = Store::open(database.url(), Access::Client).await.expect("opens");
        proxy.break_commit(1, Fault::LoseReply);
        assert!(RunRow::request_cancel(&client, run, None, 1).await.expect("asks"));
        engine.wake();
        assert_eq!(ended(&engine, run).await, RunState::Cancelled);
        let cancelled = tokio::time::timeout(TIMEOUT, async {
            while engine.in_flight(&digest).await > 0 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        });
        cancelled.await.expect("its slot is free again");
        engine.shutdown(Duration::from_secs(5)).await;
    }
}

/// Ends the session that keeps other hosts out, and returns when it is gone.
async fn end_the_hosts_session(url: &str) {
    let mut connection = AnyConnection::connect(url).await.expect("connects");
    let locks = "FROM pg_locks WHERE locktype = 'advisory' \
                 AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
    let end = sqlx::AssertSqlSafe(format!("SELECT pg_terminate_backend(pid) {locks}"));
    sqlx::query(end).execute(&mut connection).await.expect("ends it");
    let count = format!("SELECT COUNT(*) {locks}");
    while sqlx::query_scalar::<_, i64>(sqlx::AssertSqlSafe(count.clone()))
        .fetch_one(&mut connection)
        .await
        .expect("counts")
        > 0
    {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

longshore_testing::on_postgres! {
    async fn a_host_whose_session_was_ended_keeps_others_out_again() {
        let database = Backend::postgres("faults::session");
        let clock = Manual::at(1_000_000);
        let options = Options { clock: Arc::new(clock.clone()), ..Options::default() };
        let engine = open_embedded(database.open().await, options).await;
        end_the_hosts_session(database.url()).await;
        clock.advance(Duration::from_secs(5));
        let run = engine.start(request()).await.expect("starts").run;
        assert_eq!(ended(&engine, run).await, RunState::Succeeded);
        let second = Store::open(database.url(), Access::Owner).await.expect_err("the first is there");
        assert_eq!(second.code(), "LS0508");
        engine.shutdown(Duration::from_secs(5)).await;
    }
}

longshore_testing::on_postgres! {
    async fn a_host_ends_that_another_one_has_replaced() {
        let database = Backend::postgres("faults::replaced");
        let clock = Manual::at(1_000_000);
        let options = Options { clock: Arc::new(clock.clone()), ..Options::default() };
        let first = open_embedded(database.open().await, options).await;
        end_the_hosts_session(database.url()).await;
        let second = open(database.url()).await;
        clock.advance(Duration::from_secs(5));
        tokio::time::timeout(TIMEOUT, first.stopped()).await.expect("it writes nothing any more");
        let run = second.start(request()).await.expect("starts").run;
        assert_eq!(ended(&second, run).await, RunState::Succeeded);
        second.shutdown(Duration::from_secs(5)).await;
    }
}

longshore_testing::for_each_backend!(
    a_claim_that_does_not_read_ends_its_run_and_no_other,
    what_a_replaced_host_claimed_before_it_noticed_is_taken_over,
);

async fn what_a_replaced_host_claimed_before_it_noticed_is_taken_over(database: Backend) {
    let clock = Manual::at(1_000_000);
    let options = Options { slots: 1, clock: Arc::new(clock.clone()), ..Options::default() };
    let engine = open_embedded(database.open().await, options).await;
    let endless = || StartRequest { workflow: "endless".into(), ..StartRequest::default() };
    let first = engine.start(endless()).await.expect("starts").run;
    let second = engine.start(endless()).await.expect("starts").run;
    // As the host would that was replaced by this one, a moment ago.
    let mut tx = engine.store().begin().await.expect("begins");
    let sql = "UPDATE tasks SET state = 'running', token = 1, attempt = 1, started_at = 1, host_id = $1 WHERE run_id = $2";
    let other = longshore_store::HostId::new().to_string();
    sqlx::query(sql).bind(other).bind(second.to_string()).execute(&mut *tx).await.expect("claims");
    engine.store().commit(tx).await.expect("commits");
    assert!(engine.cancel(first).await.expect("asks"));
    assert_eq!(ended(&engine, first).await, RunState::Cancelled);
    let taken_over = tokio::time::timeout(TIMEOUT, async {
        while TaskRow::of_run(engine.store(), second).await.expect("loads")[0].host != Some(engine.host()) {
            clock.advance(Duration::from_secs(5));
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    taken_over.await.expect("it goes on here");
    let attempts = AttemptRow::of_run(engine.store(), second).await.expect("loads");
    assert_eq!(attempts.iter().map(|a| (a.attempt, a.outcome.as_str())).collect::<Vec<_>>(), [(1, "lost")]);
    engine.shutdown(Duration::ZERO).await;
}

async fn a_claim_that_does_not_read_ends_its_run_and_no_other(database: Backend) {
    let first = open_embedded(database.open().await, Options::default()).await;
    let endless = || StartRequest { workflow: "endless".into(), ..StartRequest::default() };
    let damaged = first.start(endless()).await.expect("starts").run;
    let other = first.start(endless()).await.expect("starts").run;
    drop(first);
    let store = database.open().await;
    let mut tx = store.begin().await.expect("begins");
    let sql = "UPDATE tasks SET started_at = NULL WHERE run_id = $1";
    sqlx::query(sql).bind(damaged.to_string()).execute(&mut *tx).await.expect("damages");
    store.commit(tx).await.expect("commits");
    store.close().await;
    drop(store);
    let engine = open_embedded(database.open().await, Options::default()).await;
    assert_eq!(ended(&engine, damaged).await, RunState::Failed);
    assert_eq!(
        RunRow::find(engine.store(), other).await.expect("finds").expect("is there").state,
        RunState::Running
    );
    engine.shutdown(Duration::ZERO).await;
}

#[longshore_workflow::workflow(name = "forbidden")]
mod forbidden {
    use super::*;
    use longshore_workflow::{Context, TaskError, task};

    #[task(retry_attempts = 1)]
    async fn only(context: &mut Context<Value>) -> Result<(), TaskError> {
        context.insert_as("word", "forbidden")
    }
}

longshore_testing::on_postgres! {
    async fn a_start_that_the_database_refuses_is_refused_alone() {
        let database = Backend::postgres("faults::refused_start");
        let engine = open_embedded(database.open().await, Options::default()).await;
        let bad = || StartRequest { dedup_key: Some("a\0b".into()), ..request() };
        let starts = (0..30).map(|n| engine.start(if n % 10 == 7 { bad() } else { request() }));
        for (n, started) in futures_util::future::join_all(starts).await.into_iter().enumerate() {
            match started {
                Ok(started) => assert_eq!(ended(&engine, started.run).await, RunState::Succeeded),
                Err(error) => {
                    assert_eq!(n % 10, 7, "{error}");
                    assert_eq!(error.code(), "LS0513", "{error}");
                }
            }
        }
        nothing_is_left(&engine, 27).await;
        engine.shutdown(Duration::from_secs(5)).await;
    }
}

longshore_testing::on_postgres! {
    async fn an_outcome_that_the_database_refuses_fails_its_run_and_no_other() {
        let database = Backend::postgres("faults::refused_outcome");
        let engine = open_embedded(database.open().await, Options::default()).await;
        let mut tx = engine.store().begin().await.expect("begins");
        let rule = "ALTER TABLE tasks ADD CONSTRAINT words CHECK (patch IS NULL OR patch NOT LIKE '%forbidden%')";
        sqlx::query(rule).execute(&mut *tx).await.expect("a rule of this database");
        engine.store().commit(tx).await.expect("commits");
        let workflow = |n| if n == 5 { "forbidden" } else { "chain" };
        let start = |n| StartRequest { workflow: workflow(n).into(), ..StartRequest::default() };
        let started = futures_util::future::join_all((0..20).map(|n| engine.start(start(n)))).await;
        for (n, started) in started.into_iter().enumerate() {
            let run = started.expect("starts").run;
            let report = tokio::time::timeout(TIMEOUT, engine.wait(run)).await.expect("in time").expect("is there");
            let error = report.error.unwrap_or_default();
            if n == 5 {
                assert!(error.contains("its outcome could not be recorded: LS0513"), "{error}");
            } else {
                assert_eq!((report.state, error.as_str()), (RunState::Succeeded, ""));
            }
        }
        engine.shutdown(Duration::from_secs(5)).await;
    }
}
