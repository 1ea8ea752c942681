//! Runs of this program's own inventory, on a real SQLite file.

use longshore_engine::embedded::EmbeddedPackage;
use longshore_engine::{Engine, Options, Packages, RunReport, StartRequest, note_waiting_runs};
use longshore_store::{
    Access, AttemptRow, ConditionRow, Digest, RunId, RunRow, RunState, Store, TaskRow, TaskState,
};
use longshore_testing::{Backend, open_embedded};
use longshore_workflow::MAX_CONTEXT_BYTES;
use serde_json::{Value, json};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::time::Duration;

static FLAKY_CALLS: AtomicU32 = AtomicU32::new(0);
static SLEEPING: AtomicUsize = AtomicUsize::new(0);
static GATE: AtomicUsize = AtomicUsize::new(0);
static HOLDING: AtomicUsize = AtomicUsize::new(0);
static LET_GO: AtomicBool = AtomicBool::new(false);
static STALLED: AtomicUsize = AtomicUsize::new(0);
static GO_ON: AtomicBool = AtomicBool::new(false);

#[longshore_workflow::workflow(name = "chain", params(start: i64, step: i64 = 10))]
mod chain {
    use super::*;
    use longshore_workflow::{Context, TaskError, task};

    #[task]
    async fn first(context: &mut Context<Value>) -> Result<(), TaskError> {
        let start: i64 = context.get_required("start")?;
        context.insert_as("total", start)
    }

    #[task(dependencies = ["first"])]
    fn second(context: &mut Context<Value>) -> Result<(), TaskError> {
        let total: i64 = context.get_required("total")?;
        let step: i64 = context.get_required("step")?;
        context.remove("step");
        context.update("total", json!(total + step))?;
        Ok(())
    }

    #[task(dependencies = ["second"], retry_attempts = 3, retry_delay_ms = 1)]
    async fn flaky(context: &mut Context<Value>) -> Result<(), TaskError> {
        if FLAKY_CALLS.fetch_add(1, Ordering::SeqCst) % 3 < 2 {
            return Err(TaskError::failed("not yet"));
        }
        context.insert_as("flaky", true)
    }
}

#[longshore_workflow::workflow(name = "sized", params(text: String))]
mod sized {
    use super::*;
    use longshore_workflow::{Context, TaskError, task};

    #[task]
    async fn only(_context: &mut Context<Value>) -> Result<(), TaskError> {
        Ok(())
    }
}

#[longshore_workflow::workflow(name = "branches")]
mod branches {
    use super::*;
    use longshore_workflow::{Context, TaskError, task};

    #[task(retry_attempts = 1)]
    async fn fails(_context: &mut Context<Value>) -> Result<(), TaskError> {
        Err(TaskError::failed("broken"))
    }

    #[task(dependencies = ["fails"])]
    async fn after(_context: &mut Context<Value>) -> Result<(), TaskError> {
        Ok(())
    }

    #[task(dependencies = ["after"])]
    async fn far_after(_context: &mut Context<Value>) -> Result<(), TaskError> {
        Ok(())
    }

    #[task(dependencies = ["fails"], trigger_rules = task_failed("fails"))]
    async fn cleanup(context: &mut Context<Value>) -> Result<(), TaskError> {
        context.insert_as("cleaned", true)
    }

    #[task(dependencies = ["cleanup"], trigger_rules = context_value("cleaned", equals, false))]
    async fn gated(_context: &mut Context<Value>) -> Result<(), TaskError> {
        Ok(())
    }

    #[task(dependencies = ["gated"])]
    async fn after_gated(_context: &mut Context<Value>) -> Result<(), TaskError> {
        Ok(())
    }
}

#[longshore_workflow::workflow(name = "panics")]
mod panics {
    use super::*;
    use longshore_workflow::{Context, TaskError, task};

    #[task(retry_attempts = 1)]
    async fn explode(_context: &mut Context<Value>) -> Result<(), TaskError> {
        let empty: Vec<i32> = Vec::new();
        let _ = empty[SLEEPING.load(Ordering::SeqCst) + 7];
        Ok(())
    }
}

#[longshore_workflow::workflow(name = "waits")]
mod waits {
    use super::*;
    use longshore_workflow::{Context, TaskError, task};

    #[task]
    async fn sleeper(_context: &mut Context<Value>) -> Result<(), TaskError> {
        SLEEPING.fetch_add(1, Ordering::SeqCst);
        tokio::time::sleep(Duration::from_secs(3600)).await;
        Ok(())
    }
}

#[longshore_workflow::workflow(name = "defers")]
mod defers {
    use super::*;
    use longshore_workflow::{Context, TaskError, TaskHandle, task};

    #[task]
    async fn waiter(context: &mut Context<Value>, handle: &mut TaskHandle) -> Result<(), TaskError> {
        handle.defer_until(|| async { GATE.load(Ordering::SeqCst) > 0 }, Duration::from_millis(5)).await?;
        context.insert_as("key", handle.task_execution_id())
    }
}

/// Attempts that saw that they were cancelled.
static TIDIED: AtomicUsize = AtomicUsize::new(0);

#[longshore_workflow::workflow(name = "tidies")]
mod tidies {
    use super::*;
    use longshore_workflow::{Context, TaskError, TaskHandle, task};

    #[task]
    async fn waits_for_it(_context: &mut Context<Value>, handle: &mut TaskHandle) -> Result<(), TaskError> {
        SLEEPING.fetch_add(1, Ordering::SeqCst);
        handle.cancelled().await;
        tokio::time::sleep(Duration::from_millis(20)).await;
        TIDIED.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }

    #[task]
    async fn asks(_context: &mut Context<Value>, handle: &mut TaskHandle) -> Result<(), TaskError> {
        SLEEPING.fetch_add(1, Ordering::SeqCst);
        while !handle.is_cancelled() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        TIDIED.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }

    #[task]
    async fn goes_on(_context: &mut Context<Value>, handle: &mut TaskHandle) -> Result<(), TaskError> {
        handle.is_cancelled();
        SLEEPING.fetch_add(1, Ordering::SeqCst);
        std::future::pending().await
    }
}

/// Executions of `hands_over`.
static HANDED: AtomicUsize = AtomicUsize::new(0);

#[longshore_workflow::workflow(name = "hands_over")]
mod hands_over {
    use super::*;
    use longshore_workflow::{Context, TaskError, TaskHandle, task};

    #[task(retry_attempts = 1)]
    async fn stops(_context: &mut Context<Value>, handle: &mut TaskHandle) -> Result<(), TaskError> {
        if HANDED.fetch_add(1, Ordering::SeqCst) > 0 {
            return Ok(());
        }
        handle.cancelled().await;
        Err(TaskError::failed("it was told to stop"))
    }
}

#[longshore_workflow::workflow(name = "opens")]
mod opens {
    use super::*;
    use longshore_workflow::{Context, TaskError, task};

    #[task]
    async fn opener(_context: &mut Context<Value>) -> Result<(), TaskError> {
        GATE.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }
}

#[longshore_workflow::workflow(name = "held")]
mod held {
    use super::*;
    use longshore_workflow::{Context, TaskError, task};

    #[task]
    async fn holder(context: &mut Context<Value>) -> Result<(), TaskError> {
        HOLDING.fetch_add(1, Ordering::SeqCst);
        while !LET_GO.load(Ordering::SeqCst) {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        context.insert_as("held", true)
    }

    #[task(dependencies = ["holder"])]
    async fn after(_context: &mut Context<Value>) -> Result<(), TaskError> {
        Ok(())
    }
}

#[longshore_workflow::workflow(name = "stalls")]
mod stalls {
    use super::*;
    use longshore_workflow::{Context, TaskError, task};

    #[task]
    async fn staller(_context: &mut Context<Value>) -> Result<(), TaskError> {
        STALLED.fetch_add(1, Ordering::SeqCst);
        while !GO_ON.load(Ordering::SeqCst) {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        Ok(())
    }

    #[task(dependencies = ["staller"])]
    async fn after(_context: &mut Context<Value>) -> Result<(), TaskError> {
        Ok(())
    }
}

/// The tests share the counters of this program's tasks: one runs at a time, from zero.
async fn alone() -> tokio::sync::MutexGuard<'static, ()> {
    static ALONE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());
    let alone = ALONE.lock().await;
    FLAKY_CALLS.store(0, Ordering::SeqCst);
    for count in [&SLEEPING, &GATE, &HOLDING, &STALLED] {
        count.store(0, Ordering::SeqCst);
    }
    for flag in [&LET_GO, &GO_ON] {
        flag.store(false, Ordering::SeqCst);
    }
    alone
}

longshore_testing::for_each_backend!(
    a_chain_passes_its_context_on_and_retries_what_fails,
    a_failure_that_is_taken_up_does_not_fail_the_run,
    a_panic_is_a_failed_attempt_with_its_place,
    a_cancelled_run_stops_and_a_deferred_task_frees_its_slot,
    a_task_that_looks_out_for_its_cancellation_has_time_to_tidy_up,
    a_task_that_stops_because_its_host_does_has_not_failed,
    a_second_start_with_the_same_key_finds_the_first_run,
    bad_starts_are_refused_with_what_there_is,
    a_second_host_on_the_same_database_is_refused_and_a_stopped_one_leaves_its_work,
    a_run_whose_rows_were_changed_by_hand_ends_with_the_reason_and_the_others_go_on,
    an_outcome_whose_claim_was_lost_changes_nothing_and_those_beside_it_count,
    a_task_that_becomes_ready_behind_the_hosts_back_is_found,
    a_run_whose_workflow_was_changed_waits_and_says_so,
    a_run_whose_tasks_have_other_ids_is_not_executed,
);

async fn engine(backend: &Backend, slots: usize) -> Engine {
    open_embedded(backend.open().await, Options { slots, ..Options::default() }).await
}

fn request(workflow: &str, params: Value) -> StartRequest {
    let Value::Object(params) = params else { panic!("params are an object") };
    StartRequest { workflow: workflow.into(), params, ..StartRequest::default() }
}

async fn run(engine: &Engine, workflow: &str, params: Value) -> RunReport {
    let started = engine.start(request(workflow, params)).await.expect("starts");
    let ended = tokio::time::timeout(Duration::from_secs(30), engine.wait(started.run)).await;
    ended.expect("ends in time").expect("is there")
}

fn states(report: &RunReport) -> Vec<(&str, TaskState, i64)> {
    report.tasks.iter().map(|t| (t.id.as_str(), t.state, t.attempts)).collect()
}

async fn a_chain_passes_its_context_on_and_retries_what_fails(backend: Backend) {
    let _alone = alone().await;
    let engine = engine(&backend, 8).await;
    let report = run(&engine, "chain", json!({"start": 1})).await;
    assert_eq!(report.state, RunState::Succeeded, "{:?}", report.error);
    assert_eq!(report.context.get(), r#"{"flaky":true,"start":1,"total":11}"#);
    assert_eq!(report.tasks[2].attempts, 3);
    let outcomes: Vec<_> = report.tasks[2].history.iter().map(|a| a.outcome.as_str()).collect();
    assert_eq!(outcomes, ["failed", "failed", "succeeded"]);
    engine.shutdown(Duration::from_secs(5)).await;
}

async fn a_failure_that_is_taken_up_does_not_fail_the_run(backend: Backend) {
    let _alone = alone().await;
    let engine = engine(&backend, 8).await;
    let report = run(&engine, "branches", json!({})).await;
    assert_eq!(report.state, RunState::Succeeded, "{:?}", report.error);
    assert_eq!(report.skipped_tasks, 2, "what a green run did not do");
    let expected = [
        ("fails", TaskState::Failed, 1),
        ("after", TaskState::Skipped, 0),
        ("cleanup", TaskState::Succeeded, 1),
        ("far_after", TaskState::Skipped, 0),
        ("gated", TaskState::Skipped, 0),
        ("after_gated", TaskState::Succeeded, 1),
    ];
    let mut sorted = states(&report);
    sorted.sort_by_key(|(id, ..)| expected.iter().position(|(e, ..)| e == id));
    assert_eq!(sorted, expected);
}

async fn a_panic_is_a_failed_attempt_with_its_place(backend: Backend) {
    let _alone = alone().await;
    let engine = engine(&backend, 8).await;
    let report = run(&engine, "panics", json!({})).await;
    assert_eq!(report.state, RunState::Failed);
    let error = report.error.expect("an error");
    assert!(
        error.contains("`explode` failed after 1 attempt: panicked at")
            && error.contains("index out of bounds"),
        "{error}"
    );
    let attempt = report.tasks[0].history[0].error.as_ref().expect("recorded");
    assert_eq!(attempt["panicked"], true);
    assert!(attempt["backtrace"].as_str().is_some_and(|text| text.contains("explode")));
}

async fn a_cancelled_run_stops_and_a_deferred_task_frees_its_slot(backend: Backend) {
    let _alone = alone().await;
    let engine = engine(&backend, 1).await;
    let before = SLEEPING.load(Ordering::SeqCst);
    let sleeping = engine.start(request("waits", json!({}))).await.expect("starts");
    while SLEEPING.load(Ordering::SeqCst) == before {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    assert!(engine.cancel(sleeping.run).await.expect("asks"));
    let report = engine.wait(sleeping.run).await.expect("ends");
    assert_eq!((report.state, report.tasks[0].state), (RunState::Cancelled, TaskState::Cancelled));
    assert!(!engine.cancel(sleeping.run).await.expect("asks"));

    let deferred = engine.start(request("defers", json!({}))).await.expect("starts");
    assert_eq!(run(&engine, "opens", json!({})).await.state, RunState::Succeeded);
    let report = engine.wait(deferred.run).await.expect("ends");
    assert_eq!(report.state, RunState::Succeeded);
    assert!(report.context.get().contains(&format!("{}/waiter", report.run_id)));
}

async fn a_task_that_looks_out_for_its_cancellation_has_time_to_tidy_up(backend: Backend) {
    let _alone = alone().await;
    let engine = engine(&backend, 8).await;
    let (before, tidied) = (SLEEPING.load(Ordering::SeqCst), TIDIED.load(Ordering::SeqCst));
    let started = engine.start(request("tidies", json!({}))).await.expect("starts");
    while SLEEPING.load(Ordering::SeqCst) < before + 3 {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    assert!(engine.cancel(started.run).await.expect("asks"));
    // The one that does not stop by itself is ended all the same.
    let report = engine.wait(started.run).await.expect("ends");
    assert_eq!(report.state, RunState::Cancelled);
    assert_eq!(TIDIED.load(Ordering::SeqCst), tidied + 2);
    engine.shutdown(Duration::from_secs(5)).await;
}

async fn a_task_that_stops_because_its_host_does_has_not_failed(backend: Backend) {
    let _alone = alone().await;
    HANDED.store(0, Ordering::SeqCst);
    let first = engine(&backend, 8).await;
    let started = first.start(request("hands_over", json!({}))).await.expect("starts");
    while HANDED.load(Ordering::SeqCst) == 0 {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    first.shutdown(Duration::ZERO).await;
    drop(first);
    let second = engine(&backend, 8).await;
    let report = second.wait(started.run).await.expect("ends");
    assert_eq!((report.state, HANDED.load(Ordering::SeqCst)), (RunState::Succeeded, 2));
    second.shutdown(Duration::from_secs(5)).await;
}

async fn a_second_start_with_the_same_key_finds_the_first_run(backend: Backend) {
    let _alone = alone().await;
    let engine = engine(&backend, 8).await;
    let keyed = || StartRequest { dedup_key: Some("k".into()), ..request("opens", json!({})) };
    let (first, second) = tokio::join!(engine.start(keyed()), engine.start(keyed()));
    let (first, second) = (first.expect("starts"), second.expect("starts"));
    assert_eq!(first.run, second.run);
    assert!(first.existing != second.existing);
}

async fn bad_starts_are_refused_with_what_there_is(backend: Backend) {
    let _alone = alone().await;
    let engine = engine(&backend, 8).await;
    let error = engine.start(request("chian", json!({}))).await.expect_err("unknown");
    assert_eq!(error.code(), "LS0601");
    assert!(error.fix().contains("chain"), "{}", error.fix());
    let error = engine.start(request("chain", json!({"start": "one"}))).await.expect_err("a string");
    assert_eq!(error.to_string(), "param `start` is not a i64: \"one\" is not of type \"integer\"");
    assert_eq!(error.code(), "LS0602");
    let error = engine.wait(RunId::new()).await.expect_err("no such run");
    assert_eq!(error.code(), "LS0603");
    let large = "x".repeat(MAX_CONTEXT_BYTES);
    let error = engine.start(request("sized", json!({ "text": large }))).await.expect_err("too large");
    assert_eq!(error.code(), "LS0604");
    engine.shutdown(Duration::ZERO).await;
    let error = engine.start(request("chain", json!({ "start": 1 }))).await.expect_err("stopped");
    assert_eq!(error.code(), "LS0605");
}

async fn a_second_host_on_the_same_database_is_refused_and_a_stopped_one_leaves_its_work(backend: Backend) {
    let _alone = alone().await;
    let first = engine(&backend, 8).await;
    let second = Store::open(backend.url(), Access::Owner).await;
    assert_eq!(second.expect_err("locked").code(), "LS0508");
    let sleeping = first.start(request("waits", json!({}))).await.expect("starts");
    first.shutdown(Duration::ZERO).await;
    drop(first);

    let again = engine(&backend, 8).await;
    assert!(again.cancel(sleeping.run).await.expect("asks"));
    let report = again.wait(sleeping.run).await.expect("ends");
    assert_eq!(report.state, RunState::Cancelled);
}

async fn a_run_whose_rows_were_changed_by_hand_ends_with_the_reason_and_the_others_go_on(backend: Backend) {
    let _alone = alone().await;
    let first = engine(&backend, 8).await;
    let broken = first.start(request("waits", json!({}))).await.expect("starts").run;
    first.shutdown(Duration::ZERO).await;
    let mut tx = first.store().begin().await.expect("begins");
    sqlx::query("UPDATE runs SET input = 'no JSON'").execute(&mut *tx).await.expect("updates");
    first.store().commit(tx).await.expect("commits");
    drop(first);

    let again = engine(&backend, 8).await;
    let state = again.ended(broken).await.expect("ends");
    assert_eq!(state, RunState::Failed);
    let row = RunRow::find(again.store(), broken).await.expect("finds").expect("is there");
    let error = row.error.expect("an error");
    assert!(error.starts_with("LS0512 table runs") && error.contains("column input"), "{error}");
    assert_eq!(run(&again, "opens", json!({})).await.state, RunState::Succeeded);
}

async fn an_outcome_whose_claim_was_lost_changes_nothing_and_those_beside_it_count(backend: Backend) {
    let _alone = alone().await;
    let first = engine(&backend, 8).await;
    let mut runs = Vec::new();
    for _ in 0..4 {
        runs.push(first.start(request("held", json!({}))).await.expect("starts").run);
    }
    while HOLDING.load(Ordering::SeqCst) < 4 {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    // What another host does that takes a task over.
    let mut tx = first.store().begin().await.expect("begins");
    let sql = "UPDATE tasks SET token = token + 1000000 WHERE run_id = $1 AND idx = 0";
    sqlx::query(sql).bind(runs[0].to_string()).execute(&mut *tx).await.expect("updates");
    first.store().commit(tx).await.expect("commits");
    LET_GO.store(true, Ordering::SeqCst);
    for run in &runs[1..] {
        assert_eq!(first.ended(*run).await.expect("ends"), RunState::Succeeded);
    }
    first.shutdown(Duration::from_secs(5)).await;
    let tasks = TaskRow::of_run(first.store(), runs[0]).await.expect("loads");
    assert_eq!((tasks[0].state, tasks[1].state), (TaskState::Running, TaskState::Waiting));
    assert_eq!(AttemptRow::of_run(first.store(), runs[0]).await.expect("loads"), []);
    drop(first);

    let again = engine(&backend, 8).await;
    let report = again.wait(runs[0]).await.expect("ends");
    assert_eq!(report.state, RunState::Succeeded);
    assert_eq!(states(&report), [("holder", TaskState::Succeeded, 2), ("after", TaskState::Succeeded, 1)]);
    let attempts = AttemptRow::of_run(again.store(), runs[0]).await.expect("loads");
    let outcomes: Vec<&str> = attempts.iter().map(|attempt| attempt.outcome.as_str()).collect();
    assert_eq!(outcomes, ["lost", "succeeded", "succeeded"]);
}

async fn a_task_that_becomes_ready_behind_the_hosts_back_is_found(backend: Backend) {
    let _alone = alone().await;
    let engine = engine(&backend, 8).await;
    let run = engine.start(request("stalls", json!({}))).await.expect("starts").run;
    while STALLED.load(Ordering::SeqCst) == 0 {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let change = async |sql: &'static str| {
        let mut tx = engine.store().begin().await.expect("begins");
        sqlx::query(sql).bind(run.to_string()).execute(&mut *tx).await.expect("updates");
        engine.store().commit(tx).await.expect("commits");
    };
    // It seems to wait for one more: what this host remembers is wrong.
    change("UPDATE tasks SET waiting = 2 WHERE run_id = $1 AND idx = 1").await;
    GO_ON.store(true, Ordering::SeqCst);
    let until = async |first, second| loop {
        let tasks = TaskRow::of_run(engine.store(), run).await.expect("loads");
        if (tasks[0].state, tasks[1].state) == (first, second) {
            return tasks[1].waiting;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    assert_eq!(until(TaskState::Succeeded, TaskState::Waiting).await, 1, "one of two is resolved");
    // What another host does that ends the other one.
    change("UPDATE tasks SET waiting = 0, state = 'ready' WHERE run_id = $1 AND idx = 1").await;
    let ended = tokio::time::timeout(Duration::from_secs(30), engine.wait(run)).await;
    assert_eq!(ended.expect("within a heartbeat").expect("ends").state, RunState::Succeeded);
}

async fn a_run_whose_workflow_was_changed_waits_and_says_so(backend: Backend) {
    let _alone = alone().await;
    let first = engine(&backend, 8).await;
    let run = first.start(request("stalls", json!({}))).await.expect("starts").run;
    let pinned = RunRow::find(first.store(), run).await.expect("finds").expect("is there").digest;
    first.shutdown(Duration::ZERO).await;
    // As if an earlier version of this program had begun it.
    let earlier = Digest::parse(&format!("{}{}", "0".repeat(16), "f".repeat(48))).expect("a digest");
    let repin = async |store: &Store, from: &Digest, to: &Digest| {
        let mut tx = store.begin().await.expect("begins");
        let moved = RunRow::migrate(&mut tx, from, (&"public".into(), "stalls"), to, "1.0.0").await;
        assert_eq!(moved.expect("moves"), 1);
        store.commit(tx).await.expect("commits");
    };
    repin(first.store(), &pinned, &earlier).await;
    drop(first);

    let second = engine(&backend, 8).await;
    let embedded = EmbeddedPackage::from_inventory("test", "1.0.0").expect("good definitions");
    note_waiting_runs(second.store(), &embedded.catalog(), 1).await.expect("notes");
    assert_eq!(self::run(&second, "opens", json!({})).await.state, RunState::Succeeded, "others go on");
    let row = RunRow::find(second.store(), run).await.expect("finds").expect("is there");
    assert_eq!(row.state, RunState::Running);
    let conditions = ConditionRow::all(second.store()).await.expect("lists");
    assert!(
        conditions[0].reason == "LS0610" && conditions[0].message.starts_with("1 open runs"),
        "{conditions:?}"
    );
    second.shutdown(Duration::ZERO).await;
    repin(second.store(), &earlier, &pinned).await;
    drop(second);

    GO_ON.store(true, Ordering::SeqCst);
    let third = engine(&backend, 8).await;
    assert_eq!(third.ended(run).await.expect("ends"), RunState::Succeeded);
    note_waiting_runs(third.store(), &embedded.catalog(), 2).await.expect("notes");
    assert_eq!(ConditionRow::all(third.store()).await.expect("lists"), []);
}

async fn a_run_whose_tasks_have_other_ids_is_not_executed(backend: Backend) {
    let _alone = alone().await;
    let first = engine(&backend, 8).await;
    let run = first.start(request("waits", json!({}))).await.expect("starts").run;
    first.shutdown(Duration::ZERO).await;
    let mut tx = first.store().begin().await.expect("begins");
    sqlx::query("UPDATE tasks SET id = 'another'").execute(&mut *tx).await.expect("updates");
    first.store().commit(tx).await.expect("commits");
    drop(first);

    let before = SLEEPING.load(Ordering::SeqCst);
    let second = engine(&backend, 8).await;
    assert_eq!(second.ended(run).await.expect("ends"), RunState::Failed);
    assert_eq!(SLEEPING.load(Ordering::SeqCst), before, "nothing was executed in its place");
    let error = RunRow::find(second.store(), run).await.expect("finds").expect("is there").error;
    assert!(error.as_deref().is_some_and(|e| e.contains("column id holds `another`")), "{error:?}");
}
