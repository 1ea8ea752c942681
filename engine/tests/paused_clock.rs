//! Retries, shutdowns, schedules and polls that take hours, on a clock that stands still until the test moves it.

use longshore_engine::clock::Manual;
use longshore_engine::{Engine, Keep, Options, Retention, StartRequest};
use longshore_store::{
    AttemptRow, EventKind, EventRow, RunId, RunRow, RunState, ScheduleRow, Subject, TaskRow,
};
use longshore_testing::{Backend, Unloadable, open_embedded};
use longshore_workflow::{TriggerError, TriggerResult};
use serde_json::Value;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const HOUR: Duration = Duration::from_secs(3600);
const MILLISECOND: Duration = Duration::from_millis(1);

/// 2026-01-05 10:30 UTC, a Monday.
const HALF_PAST_TEN: i64 = 1_767_609_000_000;

/// Tasks whose first attempt has failed.
static SEEN: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
static POLLS: AtomicUsize = AtomicUsize::new(0);
/// Tests whose triggers fire run one at a time: they count in `POLLS`.
static TRIGGERS: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

#[longshore_workflow::workflow(name = "patient")]
mod patient {
    use super::*;
    use longshore_workflow::{Context, TaskError, TaskHandle, task};

    #[task(
        retry_attempts = 2,
        retry_delay_ms = 3_600_000,
        retry_max_delay_ms = 3_600_000,
        retry_jitter = false
    )]
    async fn twice(_context: &mut Context<Value>, handle: &mut TaskHandle) -> Result<(), TaskError> {
        let first = SEEN.lock().expect("sound").insert(handle.task_execution_id().to_owned());
        if first { Err(TaskError::failed("not yet")) } else { Ok(()) }
    }
}

#[longshore_workflow::workflow(name = "bounded")]
mod bounded {
    use super::*;
    use longshore_workflow::{Context, TaskError, task};

    #[task]
    async fn endless(_context: &mut Context<Value>) -> Result<(), TaskError> {
        std::future::pending().await
    }
}

#[longshore_workflow::workflow(name = "instant")]
mod instant {
    use super::*;
    use longshore_workflow::{Context, TaskError, task};

    #[task]
    async fn only(_context: &mut Context<Value>) -> Result<(), TaskError> {
        Ok(())
    }
}

#[longshore_workflow::trigger(on = "instant", cron = "0 * * * *")]
async fn hourly() {}

#[longshore_workflow::trigger(on = "instant", poll_interval = "1h")]
async fn looks() -> Result<TriggerResult, TriggerError> {
    POLLS.fetch_add(1, Ordering::SeqCst);
    Ok(TriggerResult::Skip)
}

longshore_testing::for_each_backend!(
    a_retry_waits_for_its_delay,
    a_retry_waits_no_longer_when_the_clock_is_set_back,
    a_retry_waits_no_longer_under_a_host_whose_clock_is_behind,
    what_is_behind_the_tasks_of_a_cancelled_run_is_claimed_at_once,
    an_engine_that_stops_cancels_what_runs_when_the_grace_is_over,
    an_engine_that_may_take_for_ever_stops_when_nothing_runs,
    a_cron_trigger_fires_at_its_instants_and_once_for_those_that_passed,
    a_schedule_goes_on_after_a_clock_that_once_ran_ahead,
    a_package_that_comes_back_makes_up_for_nothing_that_passed_while_it_was_removed,
    a_poll_runs_at_once_and_then_at_its_interval,
    runs_that_are_not_kept_are_deleted_with_all_that_is_theirs,
);

struct Paused {
    engine: Engine,
    clock: Manual,
}

impl Paused {
    async fn open(backend: &Backend, triggers: bool) -> Self {
        let clock = Manual::at(HALF_PAST_TEN);
        let options = Options { triggers, clock: Arc::new(clock.clone()), ..Options::default() };
        Self { engine: open_embedded(backend.open().await, options).await, clock }
    }

    async fn start(&self, workflow: &str) -> RunId {
        let request = StartRequest { workflow: workflow.into(), ..StartRequest::default() };
        self.engine.start(request).await.expect("starts").run
    }

    async fn ended(&self, run: RunId) -> RunState {
        let ended = tokio::time::timeout(Duration::from_secs(30), self.engine.ended(run)).await;
        ended.expect("ends in time").expect("is there")
    }

    /// Returns when the writer has done all that is due: a run that was started after it has ended.
    async fn settle(&self) {
        let run = self.start("instant").await;
        assert_eq!(self.ended(run).await, RunState::Succeeded);
    }

    /// Whether something holds once the scheduler has slept, if it did.
    async fn after_a_nap(&self, holds: impl AsyncFn() -> bool) -> bool {
        let holds = holds().await;
        if !holds {
            self.clock.advance(NAP);
        }
        holds
    }

    /// When the cron trigger started the runs that have ended; an open one would hold the next back.
    async fn fired(&self) -> Vec<i64> {
        let runs = RunRow::newest(self.engine.store(), None, 100).await.expect("lists");
        let ended = |run: &&RunRow| run.origin == "cron:hourly" && run.state.is_terminal();
        let mut fired: Vec<i64> = runs.iter().filter(ended).map(|run| run.created_at).collect();
        fired.sort_unstable();
        fired
    }
}

async fn until(what: &str, holds: impl AsyncFn() -> bool) {
    for _ in 0..6000 {
        if holds().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("never: {what}");
}

async fn a_retry_waits_for_its_delay(backend: Backend) {
    let paused = Paused::open(&backend, false).await;
    let run = paused.start("patient").await;
    let attempts = async || AttemptRow::of_run(paused.engine.store(), run).await.expect("loads").len();
    until("it failed", async || attempts().await == 1).await;
    paused.clock.advance(HOUR - MILLISECOND);
    paused.settle().await;
    assert_eq!(attempts().await, 1, "a millisecond is left");
    paused.clock.advance(MILLISECOND);
    assert_eq!(paused.ended(run).await, RunState::Succeeded);
    let report = paused.engine.wait(run).await.expect("is there");
    let history = &report.tasks[0].history;
    assert_eq!(history[1].started_at - history[0].finished_at, HOUR.as_millis() as i64);
    paused.engine.shutdown(HOUR).await;
}

async fn a_retry_waits_no_longer_when_the_clock_is_set_back(backend: Backend) {
    let paused = Paused::open(&backend, false).await;
    let run = paused.start("patient").await;
    let attempts = async || AttemptRow::of_run(paused.engine.store(), run).await.expect("loads").len();
    until("it failed", async || attempts().await == 1).await;
    paused.clock.set_back(HOUR * 24);
    paused.clock.advance(HOUR);
    assert_eq!(paused.ended(run).await, RunState::Succeeded);
    paused.engine.shutdown(HOUR).await;
}

async fn a_retry_waits_no_longer_under_a_host_whose_clock_is_behind(backend: Backend) {
    let paused = Paused::open(&backend, false).await;
    let run = paused.start("patient").await;
    let attempts = async || AttemptRow::of_run(paused.engine.store(), run).await.expect("loads").len();
    until("it failed", async || attempts().await == 1).await;
    paused.engine.shutdown(HOUR).await;
    drop(paused);
    let clock = Manual::at(HALF_PAST_TEN - 24 * HOUR.as_millis() as i64);
    let options = Options { triggers: false, clock: Arc::new(clock.clone()), ..Options::default() };
    let paused = Paused { engine: open_embedded(backend.open().await, options).await, clock };
    paused.settle().await;
    assert_eq!(AttemptRow::of_run(paused.engine.store(), run).await.expect("loads").len(), 1);
    paused.clock.advance(HOUR);
    assert_eq!(paused.ended(run).await, RunState::Succeeded);
    paused.engine.shutdown(HOUR).await;
}

async fn what_is_behind_the_tasks_of_a_cancelled_run_is_claimed_at_once(backend: Backend) {
    let clock = Manual::at(HALF_PAST_TEN);
    let options = Options { slots: 1, triggers: false, clock: Arc::new(clock.clone()), ..Options::default() };
    let paused = Paused { engine: open_embedded(backend.open().await, options).await, clock };
    let endless = paused.start("bounded").await;
    let queued = [paused.start("bounded").await, paused.start("bounded").await];
    let last = paused.start("instant").await;
    for run in queued.into_iter().chain([endless]) {
        assert!(paused.engine.cancel(run).await.expect("asks"));
    }
    // The clock stands still: no timer comes to its help.
    assert_eq!(paused.ended(last).await, RunState::Succeeded);
    paused.engine.shutdown(HOUR).await;
}

async fn an_engine_that_stops_cancels_what_runs_when_the_grace_is_over(backend: Backend) {
    let paused = Arc::new(Paused::open(&backend, false).await);
    let run = paused.start("bounded").await;
    let state =
        async |run| TaskRow::of_run(paused.engine.store(), run).await.expect("loads")[0].state.as_str();
    let stopping = tokio::spawn({
        let paused = Arc::clone(&paused);
        async move { paused.engine.shutdown(HOUR).await }
    });
    // The grace begins when the writer gets to it: what is started is not claimed any more.
    until("it stops", async || state(paused.start("instant").await).await == "ready").await;
    assert_eq!((state(run).await, stopping.is_finished()), ("running", false), "it has an hour");
    // Once: the clock stands still while the attempt is put back, as its time for that is bounded too.
    paused.clock.advance(HOUR);
    stopping.await.expect("no panic");
    assert_eq!(state(run).await, "ready", "the next host goes on");
}

async fn an_engine_that_may_take_for_ever_stops_when_nothing_runs(backend: Backend) {
    let paused = Paused::open(&backend, false).await;
    paused.settle().await;
    let stopped = tokio::time::timeout(Duration::from_secs(30), paused.engine.shutdown(Duration::MAX)).await;
    stopped.expect("it does not wait");
    let refused =
        paused.engine.start(StartRequest { workflow: "instant".into(), ..StartRequest::default() }).await;
    assert_eq!(refused.expect_err("it has stopped").code(), "LS0605");
}

async fn a_cron_trigger_fires_at_its_instants_and_once_for_those_that_passed(backend: Backend) {
    let _alone = TRIGGERS.lock().await;
    let paused = Paused::open(&backend, true).await;
    let eleven = HALF_PAST_TEN + HOUR.as_millis() as i64 / 2;
    // A clock that moves before the schedule is recorded would move its first instant with it.
    let recorded = async || ScheduleRow::all(paused.engine.store()).await.expect("lists");
    until("it is recorded", async || !recorded().await.is_empty()).await;
    assert_eq!(recorded().await[0].next_at, Some(eleven));
    assert_eq!(paused.fired().await, Vec::<i64>::new());
    paused.clock.advance(HOUR / 2);
    until("it fires", async || paused.fired().await == [eleven]).await;
    paused.clock.advance(HOUR * 3);
    let two = eleven + 3 * HOUR.as_millis() as i64;
    until("it fires again", async || paused.fired().await == [eleven, two]).await;
    let missed = async || {
        let events = EventRow::newest(paused.engine.store(), Subject::Schedule("hourly"), 10).await;
        let events = events.expect("lists").into_iter().filter(|event| event.kind == EventKind::Missed);
        events.map(|event| event.message).collect::<Vec<_>>()
    };
    until("it is told", async || !missed().await.is_empty()).await;
    assert_eq!(missed().await, ["2 earlier fires passed while no host ran; fired once for the latest"]);
    paused.engine.shutdown(HOUR).await;
}

/// Longer than the scheduler sleeps.
const NAP: Duration = Duration::from_secs(31);

async fn a_schedule_goes_on_after_a_clock_that_once_ran_ahead(backend: Backend) {
    let _alone = TRIGGERS.lock().await;
    let paused = Paused::open(&backend, true).await;
    let next = async || ScheduleRow::all(paused.engine.store()).await.expect("lists").first()?.next_at;
    let hour = HOUR.as_millis() as i64;
    let eleven = HALF_PAST_TEN + hour / 2;
    until("it is recorded", async || next().await == Some(eleven)).await;
    paused.clock.advance(HOUR * 24);
    until("it fires", async || next().await == Some(eleven + 24 * hour)).await;
    paused.clock.set_back(HOUR * 24);
    until("it is recorded anew", async || paused.after_a_nap(async || next().await == Some(eleven)).await)
        .await;
    let fired = paused.fired().await.len();
    paused.clock.advance(HOUR / 2);
    until("it fires", async || paused.fired().await.len() == fired + 1).await;
    paused.engine.shutdown(HOUR).await;
}

async fn a_package_that_comes_back_makes_up_for_nothing_that_passed_while_it_was_removed(backend: Backend) {
    let _alone = TRIGGERS.lock().await;
    let clock = Manual::at(HALF_PAST_TEN);
    let packages = Unloadable::new();
    let options = Options { clock: Arc::new(clock.clone()), ..Options::default() };
    let engine = Engine::open(backend.open().await, packages.clone(), options).await.expect("starts");
    let paused = Paused { engine, clock };
    let recorded = async || ScheduleRow::all(paused.engine.store()).await.expect("lists");
    until("it is recorded", async || !recorded().await.is_empty()).await;
    packages.set_loaded(false);
    until("it is forgotten", async || paused.after_a_nap(async || recorded().await.is_empty()).await).await;
    paused.clock.advance(HOUR * 5);
    packages.set_loaded(true);
    until("it is recorded", async || paused.after_a_nap(async || !recorded().await.is_empty()).await).await;
    assert!(recorded().await[0].next_at > Some(HALF_PAST_TEN + (HOUR * 5).as_millis() as i64));
    assert_eq!(paused.fired().await, Vec::<i64>::new());
    paused.engine.shutdown(HOUR).await;
}

async fn runs_that_are_not_kept_are_deleted_with_all_that_is_theirs(backend: Backend) {
    let clock = Manual::at(HALF_PAST_TEN);
    let keep = Keep { age: HOUR * 10, newest: 2 };
    let retention = Some(Retention { succeeded: keep, ..Retention::default() });
    let options =
        Options { triggers: false, retention, clock: Arc::new(clock.clone()), ..Options::default() };
    let paused = Paused { engine: open_embedded(backend.open().await, options).await, clock };
    let open = paused.start("bounded").await;
    let mut ended = Vec::new();
    for _ in 0..4 {
        let run = paused.start("instant").await;
        assert_eq!(paused.ended(run).await, RunState::Succeeded);
        ended.push(run);
    }
    let store = paused.engine.store();
    let left = async || {
        let rows = RunRow::newest(store, None, 100).await.expect("lists");
        rows.into_iter().rev().map(|row| row.id).collect::<Vec<_>>()
    };
    paused.clock.advance(HOUR);
    until("two are deleted", async || left().await == [open, ended[2], ended[3]]).await;
    for run in &ended[..2] {
        assert!(TaskRow::of_run(store, *run).await.expect("loads").is_empty());
        assert!(AttemptRow::of_run(store, *run).await.expect("loads").is_empty());
    }
    until("all but the open one are deleted", async || {
        paused.clock.advance(HOUR * 10);
        left().await == [open]
    })
    .await;
    assert!(paused.engine.cancel(open).await.expect("asks"));
    paused.engine.shutdown(HOUR).await;
}

async fn a_poll_runs_at_once_and_then_at_its_interval(backend: Backend) {
    let _alone = TRIGGERS.lock().await;
    let before = POLLS.load(Ordering::SeqCst);
    let paused = Paused::open(&backend, true).await;
    let polls = || POLLS.load(Ordering::SeqCst) - before;
    until("it polls", async || polls() == 1).await;
    paused.clock.advance(HOUR);
    until("it polls again", async || polls() == 2).await;
    paused.engine.shutdown(HOUR).await;
}
