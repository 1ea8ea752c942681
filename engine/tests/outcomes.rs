//! How tasks end, and what follows from it: retries that an error asks for, values that JSON does not have, fallbacks.

use longshore_engine::clock::Manual;
use longshore_engine::{Engine, Options, RunReport, StartRequest};
use longshore_store::{
    AttemptRow, EventKind, EventRow, RunId, RunRow, RunState, Subject, TaskRow, TaskState,
};
use longshore_testing::{Backend, open_embedded};
use longshore_workflow::{Context, TaskError, task};
use serde_json::Value;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::Semaphore;

const TIMEOUT: Duration = Duration::from_secs(60);

#[longshore_workflow::workflow(name = "final")]
mod final_errors {
    use super::*;

    #[task(retry_attempts = 5, retry_delay_ms = 0)]
    async fn says_so(_context: &mut Context<Value>) -> Result<(), TaskError> {
        Err(TaskError::failed("there is no such city").permanent())
    }

    #[task(retry_attempts = 5, retry_delay_ms = 0)]
    async fn lacks_its_input(context: &mut Context<Value>) -> Result<(), TaskError> {
        context.get_required::<u64>("days").map(drop)
    }

    #[task(retry_attempts = 2, retry_delay_ms = 0)]
    async fn may_recover(_context: &mut Context<Value>) -> Result<(), TaskError> {
        Err(TaskError::failed("not yet"))
    }
}

#[longshore_workflow::workflow(name = "told_when")]
mod told_when {
    use super::*;

    #[task(retry_attempts = 2, retry_delay_ms = 0)]
    async fn only(_context: &mut Context<Value>) -> Result<(), TaskError> {
        Err(TaskError::failed("429").retry_after(Duration::from_secs(7200)))
    }
}

#[longshore_workflow::workflow(name = "not_a_number")]
mod not_a_number {
    use super::*;
    use std::collections::BTreeMap;

    #[task(retry_attempts = 1)]
    async fn mean(context: &mut Context<Value>) -> Result<(), TaskError> {
        context.insert_as("none", None::<f64>)?;
        context.insert_as("statistics", BTreeMap::from([("mean", f64::NAN)]))
    }
}

#[longshore_workflow::workflow(name = "fallback")]
mod fallback {
    use super::*;

    #[task(retry_attempts = 1)]
    async fn download(_context: &mut Context<Value>) -> Result<(), TaskError> {
        Err(TaskError::failed("503"))
    }

    #[task(dependencies = ["download"], trigger_rules = task_failed("download"))]
    async fn cached(_context: &mut Context<Value>) -> Result<(), TaskError> {
        Ok(())
    }

    #[task(dependencies = ["download"])]
    async fn fresh_only(_context: &mut Context<Value>) -> Result<(), TaskError> {
        Ok(())
    }

    #[task(dependencies = ["download", "cached"])]
    async fn publish(_context: &mut Context<Value>) -> Result<(), TaskError> {
        Ok(())
    }
}

#[longshore_workflow::workflow(name = "not_a_fallback")]
mod not_a_fallback {
    use super::*;

    #[task(retry_attempts = 1)]
    async fn download(_context: &mut Context<Value>) -> Result<(), TaskError> {
        Err(TaskError::failed("503"))
    }

    #[task]
    async fn other(_context: &mut Context<Value>) -> Result<(), TaskError> {
        Ok(())
    }

    #[task(
        dependencies = ["download", "other"],
        trigger_rules = any(none(task_failed("download")), task_success("other"))
    )]
    async fn goes_on(_context: &mut Context<Value>) -> Result<(), TaskError> {
        Ok(())
    }
}

/// Gives way to nobody: cancelled, it goes on until it is allowed to end.
static HOLD: Semaphore = Semaphore::const_new(0);

#[longshore_workflow::workflow(name = "stubborn")]
mod stubborn {
    use super::*;

    #[task]
    async fn holds_on(_context: &mut Context<Value>) -> Result<(), TaskError> {
        let allowed =
            tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(HOLD.acquire()));
        allowed.map_err(|e| TaskError::failed(e.to_string()))?.forget();
        Ok(())
    }

    #[task(dependencies = ["holds_on"])]
    async fn next(_context: &mut Context<Value>) -> Result<(), TaskError> {
        Ok(())
    }
}

#[longshore_workflow::workflow(name = "endless")]
mod endless {
    use super::*;

    #[task]
    async fn only(_context: &mut Context<Value>) -> Result<(), TaskError> {
        std::future::pending().await
    }
}

/// What callbacks were told, by run of a test.
static TOLD: Mutex<Vec<String>> = Mutex::new(Vec::new());

#[longshore_workflow::workflow(name = "callbacks")]
mod callbacks {
    use super::*;

    async fn panics(_task: &str, _context: &Context<Value>) {
        panic!("in a callback");
    }

    async fn tells(task: &str, error: &TaskError, context: &Context<Value>) {
        let test = context.get("test").and_then(Value::as_str).unwrap_or_default();
        TOLD.lock().expect("sound").push(format!("{test} {task}: {error}"));
    }

    #[task(on_success = panics)]
    async fn succeeds(_context: &mut Context<Value>) -> Result<(), TaskError> {
        Ok(())
    }

    #[task(dependencies = ["succeeds"], retry_attempts = 3, retry_delay_ms = 0, on_failure = tells)]
    async fn fails(_context: &mut Context<Value>) -> Result<(), TaskError> {
        Err(TaskError::failed("again"))
    }

    #[task(dependencies = ["succeeds"], retry_attempts = 2, retry_delay_ms = 0, on_failure = tells)]
    async fn panicking(_context: &mut Context<Value>) -> Result<(), TaskError> {
        panic!("in a task")
    }
}

longshore_testing::for_each_backend!(
    callbacks_are_made_once_and_change_nothing,
    a_cancelled_run_has_ended_when_its_attempts_have_stopped,
    a_run_whose_host_died_while_it_was_cancelled_ends_with_the_next_host,
    an_attempt_that_a_shutdown_cancels_leaves_a_record,
    an_error_that_is_final_is_not_tried_again,
    a_task_is_tried_again_when_its_error_says,
    a_number_that_json_has_not_is_an_error_that_names_its_key,
    what_comes_after_a_fallback_runs_and_the_run_says_what_was_skipped,
    a_rule_that_asks_for_no_failure_takes_none_up,
);

async fn ended(engine: &Engine, workflow: &str) -> RunReport {
    let request = StartRequest { workflow: workflow.into(), ..StartRequest::default() };
    let run = engine.start(request).await.expect("starts").run;
    tokio::time::timeout(TIMEOUT, engine.wait(run)).await.expect("in time").expect("is there")
}

fn states(report: &RunReport) -> Vec<(&str, &str)> {
    report.tasks.iter().map(|task| (task.id.as_str(), task.state.as_str())).collect()
}

async fn an_error_that_is_final_is_not_tried_again(backend: Backend) {
    let engine = open_embedded(backend.open().await, Options::default()).await;
    let report = ended(&engine, "final").await;
    let mut attempts: Vec<_> =
        report.tasks.iter().map(|task| (task.id.as_str(), task.history.len())).collect();
    attempts.sort_unstable();
    assert_eq!(attempts, [("lacks_its_input", 1), ("may_recover", 2), ("says_so", 1)]);
    engine.shutdown(Duration::from_secs(5)).await;
}

async fn a_task_is_tried_again_when_its_error_says(backend: Backend) {
    let clock = Manual::at(1_000_000);
    let options = Options { clock: Arc::new(clock.clone()), ..Options::default() };
    let engine = open_embedded(backend.open().await, options).await;
    let request = StartRequest { workflow: "told_when".into(), ..StartRequest::default() };
    let run = engine.start(request).await.expect("starts").run;
    while AttemptRow::of_run(engine.store(), run).await.expect("loads").is_empty() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    clock.advance(Duration::from_secs(7200));
    let report = tokio::time::timeout(TIMEOUT, engine.wait(run)).await.expect("in time").expect("is there");
    let history = &report.tasks[0].history;
    assert_eq!(history[1].started_at - history[0].finished_at, 7_200_000);
    engine.shutdown(Duration::from_secs(5)).await;
}

async fn a_number_that_json_has_not_is_an_error_that_names_its_key(backend: Backend) {
    let engine = open_embedded(backend.open().await, Options::default()).await;
    let report = ended(&engine, "not_a_number").await;
    let error = report.error.expect("it failed");
    assert!(error.contains("context key `statistics`: the number at `mean` is NaN or infinite"), "{error}");
    engine.shutdown(Duration::from_secs(5)).await;
}

async fn what_comes_after_a_fallback_runs_and_the_run_says_what_was_skipped(backend: Backend) {
    let engine = open_embedded(backend.open().await, Options::default()).await;
    let report = ended(&engine, "fallback").await;
    assert_eq!(report.state, RunState::Succeeded);
    let states: Vec<_> = states(&report);
    for expected in [("cached", "succeeded"), ("fresh_only", "skipped"), ("publish", "succeeded")] {
        assert!(states.contains(&expected), "{states:?}");
    }
    let events = EventRow::newest(engine.store(), Subject::Run(report.run_id), 10).await.expect("lists");
    let told: Vec<_> = events.iter().map(|event| (event.kind, event.message.as_str())).collect();
    assert_eq!(told, [(EventKind::SkippedTasks, "`fresh_only` skipped: a task above failed")]);
    engine.shutdown(Duration::from_secs(5)).await;
}

async fn a_rule_that_asks_for_no_failure_takes_none_up(backend: Backend) {
    let engine = open_embedded(backend.open().await, Options::default()).await;
    let report = ended(&engine, "not_a_fallback").await;
    assert!(states(&report).contains(&("goes_on", "succeeded")));
    assert_eq!(report.state, RunState::Failed, "nobody took the failure up");
    engine.shutdown(Duration::from_secs(5)).await;
}

/// The attempts of a run: which task, its number, how it ended.
async fn attempts(engine: &Engine, run: RunId) -> Vec<(i64, i64, &'static str)> {
    let rows = AttemptRow::of_run(engine.store(), run).await.expect("loads");
    rows.iter().map(|row| (row.idx, row.attempt, row.outcome.as_str())).collect()
}

async fn state(engine: &Engine, run: RunId) -> RunState {
    RunRow::find(engine.store(), run).await.expect("finds").expect("is there").state
}

async fn until_state(engine: &Engine, run: RunId, expected: RunState) {
    let reached = tokio::time::timeout(TIMEOUT, async {
        while state(engine, run).await != expected {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    reached.await.expect("in time");
}

/// Starts a run and returns when its first attempt is handed over.
async fn begun(engine: &Engine, workflow: &str, origin: &str) -> RunId {
    let request =
        StartRequest { workflow: workflow.into(), origin: origin.to_owned(), ..StartRequest::default() };
    let mut progress = engine.progress();
    let run = engine.start(request).await.expect("starts").run;
    while progress.recv().await.expect("goes on").run != run {}
    run
}

async fn a_cancelled_run_has_ended_when_its_attempts_have_stopped(backend: Backend) {
    let engine = open_embedded(backend.open().await, Options::default()).await;
    let run = begun(&engine, "stubborn", "cron:nightly").await;
    assert!(engine.cancel(run).await.expect("asks"));
    until_state(&engine, run, RunState::Cancelling).await;
    assert!(
        RunRow::origin_is_busy(engine.store(), "cron:nightly").await.expect("looks"),
        "nothing overlaps it"
    );
    assert!(!engine.cancel(run).await.expect("asks"), "it is being cancelled already");
    let states = |tasks: Vec<TaskRow>| tasks.iter().map(|task| task.state.as_str()).collect::<Vec<_>>();
    assert_eq!(states(TaskRow::of_run(engine.store(), run).await.expect("loads")), ["running", "cancelled"]);
    HOLD.add_permits(1);
    let ended = tokio::time::timeout(TIMEOUT, engine.ended(run)).await.expect("in time").expect("is there");
    assert_eq!(ended, RunState::Cancelled);
    let report = engine.wait(run).await.expect("is there");
    assert_eq!(report.error, None);
    assert!(!RunRow::origin_is_busy(engine.store(), "cron:nightly").await.expect("looks"));
    assert_eq!(attempts(&engine, run).await.len(), 1);
    engine.shutdown(Duration::from_secs(5)).await;
}

async fn a_run_whose_host_died_while_it_was_cancelled_ends_with_the_next_host(backend: Backend) {
    let first = open_embedded(backend.open().await, Options::default()).await;
    let run = begun(&first, "stubborn", "").await;
    assert!(first.cancel(run).await.expect("asks"));
    until_state(&first, run, RunState::Cancelling).await;
    drop(first);
    let second = open_embedded(backend.open().await, Options::default()).await;
    until_state(&second, run, RunState::Cancelled).await;
    assert_eq!(attempts(&second, run).await, [(0, 1, "lost")]);
    HOLD.add_permits(1);
    second.shutdown(Duration::from_secs(5)).await;
}

async fn an_attempt_that_a_shutdown_cancels_leaves_a_record(backend: Backend) {
    let first = open_embedded(backend.open().await, Options::default()).await;
    let run = begun(&first, "endless", "").await;
    first.shutdown(Duration::ZERO).await;
    assert_eq!(attempts(&first, run).await, [(0, 1, "cancelled")]);
    drop(first);
    let second = open_embedded(backend.open().await, Options::default()).await;
    let task = async || TaskRow::of_run(second.store(), run).await.expect("loads").swap_remove(0);
    while task().await.state != TaskState::Running {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(second.cancel(run).await.expect("asks"));
    until_state(&second, run, RunState::Cancelled).await;
    assert_eq!(attempts(&second, run).await, [(0, 1, "cancelled"), (0, 2, "cancelled")]);
    second.shutdown(Duration::from_secs(5)).await;
}

async fn callbacks_are_made_once_and_change_nothing(backend: Backend) {
    let engine = open_embedded(backend.open().await, Options::default()).await;
    let params = serde_json::json!({ "test": backend.url() }).as_object().cloned().expect("an object");
    let request = StartRequest { workflow: "callbacks".into(), params, ..StartRequest::default() };
    let run = engine.start(request).await.expect("starts").run;
    let report = tokio::time::timeout(TIMEOUT, engine.wait(run)).await.expect("in time").expect("is there");
    let mut attempts: Vec<_> =
        report.tasks.iter().map(|task| (task.id.as_str(), task.history.len())).collect();
    attempts.sort_unstable();
    assert_eq!(attempts, [("fails", 3), ("panicking", 2), ("succeeds", 1)]);
    let told = || -> Vec<String> {
        let all = TOLD.lock().expect("sound");
        let mut told: Vec<String> =
            all.iter().filter_map(|text| text.strip_prefix(backend.url())).map(str::to_owned).collect();
        told.sort_unstable();
        told
    };
    // They are made after the outcome was reported.
    while told().len() < 2 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    tokio::time::sleep(Duration::from_millis(50)).await;
    let told = told();
    assert_eq!(told.len(), 2, "{told:?}");
    assert_eq!(told[0], " fails: again");
    assert!(told[1].starts_with(" panicking: panicked") && told[1].contains("in a task"), "{told:?}");
    engine.shutdown(Duration::from_secs(5)).await;
}
