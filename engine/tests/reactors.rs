//! Reactors of this program's own inventory: sources, graphs, records.
#![allow(missing_docs, reason = "what an author would write, without the prose")]

use longshore_engine::clock::{Clock, System};
use longshore_engine::{Engine, Health, Options, ReactorStatus};
use longshore_store::{
    CommandAnswer, CommandRow, DeadLetter, InputRow, NewCommand, OutputRow, PositionRow, ReactorCommand,
    ReactorRow, RunRow, RunState, Store,
};
use longshore_testing::{Backend, Unloadable, open_embedded};
use longshore_workflow::{
    Context, InputCache, TaskError, batch_accumulator, computation_graph, deserialize,
    passthrough_accumulator, polling_accumulator, reactor, serialize, state_accumulator, stream_accumulator,
    task, trigger, workflow,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

#[derive(Debug, Clone, Serialize, Deserialize, PartialEq)]
pub struct Price {
    pub value: f64,
}

/// Doubles what arrives.
#[passthrough_accumulator]
pub async fn doubled(event: Price) -> Price {
    if event.value == 50.0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    Price { value: event.value * 2.0 }
}

#[reactor(name = "desk", accumulators = [doubled, limit], criteria = when_any(doubled))]
pub struct Desk;

#[computation_graph(trigger = reactor("desk"), graph = {
    decide(doubled, limit) => { Buy -> order, Wait -> note },
    order -> booked,
    order -> told,
})]
pub mod desk_graph {
    use super::*;

    pub enum Decision {
        Buy(Price),
        Wait(Price),
        Nothing,
    }

    pub async fn decide(price: Option<&Price>, limit: Option<&f64>) -> Decision {
        match (price, limit) {
            (Some(price), _) if price.value < 0.0 => panic!("a price below zero"),
            (Some(price), Some(limit)) if price.value <= *limit => Decision::Buy(price.clone()),
            (Some(price), _) => Decision::Wait(price.clone()),
            (None, _) => Decision::Nothing,
        }
    }

    pub async fn order(price: &Price) -> f64 {
        tokio::task::yield_now().await;
        price.value
    }

    #[node(blocking)]
    pub fn booked(price: &f64) -> f64 {
        price + 1.0
    }

    pub async fn told(price: &f64) -> String {
        format!("bought at {price}")
    }

    pub async fn note(price: &Price) -> String {
        format!("{} is too much", price.value)
    }
}

#[workflow(name = "settle")]
pub mod settle {
    use super::*;

    #[task]
    pub async fn book(context: &mut Context<Value>) -> Result<(), TaskError> {
        let at: f64 = context.get_required("booked")?;
        context.insert_as("settled", at)
    }
}

#[trigger(on = "settle", reactor = "desk", when = context_value("booked", greater_than, 9))]
pub async fn large_orders() {}

#[stream_accumulator(type = "file", topic = "events.jsonl", state = u32)]
pub fn left(event: i64, seen: &mut u32) -> (i64, u32) {
    *seen += 1;
    (event, *seen)
}

#[stream_accumulator(type = "file", topic = "events.jsonl")]
pub fn right(event: i64) -> i64 {
    event
}

#[state_accumulator(capacity = 3)]
pub fn sum() -> VecDeque<i64>;

#[reactor(name = "ledger", accumulators = [left, right, sum], criteria = when_any(left, right), input_strategy = "sequential")]
pub struct Ledger;

#[computation_graph(trigger = reactor("ledger"), graph = { add(left, right) -> sum, add -> last, last(sum) })]
pub mod adding {
    use super::*;

    pub async fn add(left: Option<&(i64, u32)>, right: Option<&i64>) -> i64 {
        left.map_or(0, |(value, _)| *value) + right.copied().unwrap_or(0)
    }
    pub async fn sum(total: &i64) -> i64 {
        *total
    }
    pub async fn last(history: Option<&VecDeque<i64>>, total: &i64) -> (usize, i64) {
        (history.map_or(0, VecDeque::len), *total)
    }
}

#[batch_accumulator(flush_interval = "100ms", max_buffer_size = 3)]
pub fn gathered(events: Vec<u32>) -> Option<u32> {
    (!events.is_empty()).then(|| events.iter().sum())
}

static POLLS: AtomicU32 = AtomicU32::new(0);

#[polling_accumulator(interval = "20ms")]
pub async fn polled() -> Option<u32> {
    Some(POLLS.fetch_add(1, Ordering::SeqCst))
}

#[reactor(name = "both", accumulators = [gathered, polled], criteria = when_all(gathered, polled))]
pub struct Both;

#[computation_graph(trigger = reactor("both"), graph = { pair(gathered, polled) })]
pub mod pairing {
    pub async fn pair(gathered: Option<&u32>, polled: Option<&u32>) -> (u32, bool) {
        (gathered.copied().unwrap_or(0), polled.is_some())
    }
}

#[reactor(name = "stuck", accumulators = [sleepers, blockers], criteria = when_any(sleepers, blockers))]
pub struct Stuck;

#[computation_graph(trigger = reactor("stuck"), graph = { sleeps(sleepers), blocks(blockers) })]
pub mod stuck_graph {
    pub async fn sleeps(sleepers: Option<&bool>) -> bool {
        if sleepers == Some(&true) {
            std::future::pending::<()>().await;
        }
        true
    }
    pub async fn blocks(blockers: Option<&bool>) -> bool {
        while blockers == Some(&true) {
            std::thread::park();
        }
        true
    }
}

/// Called by a task.
#[computation_graph(graph = { entry -> squared })]
pub mod squares {
    use super::*;
    pub async fn entry(context: &Context<Value>) -> i64 {
        context.get("n").and_then(Value::as_i64).unwrap_or(0)
    }
    pub async fn squared(n: &i64) -> i64 {
        n * n
    }
}

#[workflow(name = "calls")]
pub mod calls {
    use super::*;

    #[task(invokes = computation_graph("squares"), post_invocation = after)]
    pub async fn square(context: &mut Context<Value>) -> Result<(), TaskError> {
        context.insert_as("n", 7)
    }

    pub async fn after(context: &mut Context<Value>) -> Result<(), TaskError> {
        let squared: i64 = context.get_required("squared")?;
        context.insert_as("plus_one", squared + 1)
    }

    #[task(invokes = computation_graph("nobody"), retry_attempts = 1, dependencies = ["square"])]
    pub async fn lost(_context: &mut Context<Value>) -> Result<(), TaskError> {
        Ok(())
    }
}

longshore_testing::for_each_backend!(
    news_fire_the_graph_and_firings_start_the_workflows_that_subscribe,
    what_cannot_be_taken_is_counted_and_kept_and_the_reactor_goes_on,
    values_and_a_pause_outlive_the_host,
    a_batch_is_flushed_by_size_and_time_and_all_waits_for_each_source,
    a_sequential_reactor_takes_every_line_of_a_file_once_and_in_order,
    inputs_are_numbered_after_all_that_a_dead_host_left,
    a_sequential_reactor_that_is_connected_anew_takes_no_line_twice,
    a_command_that_waits_keeps_no_other_waiting,
    a_command_is_kept_until_everything_is_loaded_and_then_done_or_refused,
    news_that_come_in_the_pause_of_a_graph_fire_when_it_is_over,
    an_event_of_another_program_is_recorded_once_even_when_the_host_died_before_it_forgot_it,
    a_task_calls_a_graph_and_gets_its_values,
    a_graph_that_does_not_return_is_ended_or_named_and_the_host_goes_on,
    a_source_that_floods_is_bounded_and_what_was_dropped_is_counted,
    a_batch_that_was_gathered_is_flushed_when_the_host_stops,
);

async fn engine(backend: &Backend) -> Engine {
    let graph_deadline = Duration::from_millis(200);
    let options =
        Options { stream_roots: vec![backend.folder().to_owned()], graph_deadline, ..Options::default() };
    let engine = open_embedded(backend.open().await, options).await;
    while engine.reactors().list().len() < 4 {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    engine
}

fn status(engine: &Engine, name: &str) -> ReactorStatus {
    engine.reactors().list().into_iter().find(|status| status.name == name).expect("it runs")
}

async fn until(engine: &Engine, name: &str, holds: impl Fn(&ReactorStatus) -> bool) -> ReactorStatus {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let status = status(engine, name);
        if holds(&status) {
            return status;
        }
        assert!(Instant::now() < deadline, "never: {status:#?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn push(engine: &Engine, source: &str, event: Value) {
    engine.reactors().push("desk", source, &event).await.expect("taken");
}

#[tokio::test]
async fn a_direct_call_gives_the_values_of_the_terminals() {
    let mut cache = InputCache::new();
    cache.update("doubled".into(), serialize(&Price { value: 3.0 }).expect("serializes"));
    let waits = desk_graph_compiled(&cache).await;
    assert_eq!(waits.outputs_json(), [("note", json!("3 is too much"))]);
    cache.update("limit".into(), serialize(&5.0).expect("serializes"));
    let buys = desk_graph_compiled(&cache).await;
    assert_eq!(buys.outputs_json(), [("booked", json!(4.0)), ("told", json!("bought at 3"))]);
    cache.update("limit".into(), serialize("much").expect("serializes"));
    let error = desk_graph_compiled(&cache).await;
    assert!(error.is_error() && format!("{error:?}").contains("limit"), "{error:?}");
    let mut context = Context::new();
    context.insert_as("n", 4).expect("new");
    assert_eq!(squares_compiled(&context).await.outputs_json(), [("squared", json!(16))]);
}

async fn news_fire_the_graph_and_firings_start_the_workflows_that_subscribe(backend: Backend) {
    let engine = engine(&backend).await;
    assert_eq!(status(&engine, "desk").health, Health::Starting);
    push(&engine, "limit", json!(20.0)).await;
    assert_eq!(status(&engine, "desk").fired, 0, "the limit alone fires nothing");
    let warming = Health::Warming { missing: vec!["doubled".into()] };
    until(&engine, "desk", |status| status.health == warming).await;
    push(&engine, "doubled", json!({"value": 2.0})).await;
    push(&engine, "doubled", json!({"value": 5.0})).await;
    push(&engine, "doubled", json!({"value": 50.0})).await;
    let status = until(&engine, "desk", |status| status.fired == 3).await;
    assert_eq!(status.health, Health::Live);
    let graph = &status.graphs[0];
    assert_eq!(
        graph.terminals,
        [("booked", 2), ("note", 1), ("told", 2)].map(|(k, v)| (k.to_owned(), v)).into()
    );
    assert_eq!(graph.last_outputs["note"], "100 is too much");
    engine.reactors().fire("desk", &[("doubled".into(), json!({"value": 1.0}))]).expect("fires");
    until(&engine, "desk", |status| status.graphs[0].terminals["told"] == 3).await;

    // 2.0 doubled and booked is 5, which is not enough; 5.0 is.
    for _ in 0..500 {
        let runs = RunRow::newest(engine.store(), Some(RunState::Succeeded), 10).await.expect("lists");
        if let [run] = &runs[..] {
            assert_eq!((run.origin.as_str(), run.workflow.as_str()), ("reactor:large_orders", "settle"));
            let input: Value = serde_json::from_str(&run.input).expect("JSON");
            assert_eq!(input, json!({"booked": 11.0, "told": "bought at 10"}));
            engine.shutdown(Duration::from_secs(1)).await;
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the workflow was not started");
}

async fn what_cannot_be_taken_is_counted_and_kept_and_the_reactor_goes_on(backend: Backend) {
    let engine = engine(&backend).await;
    push(&engine, "limit", json!(100.0)).await;
    push(&engine, "doubled", json!({"value": "much"})).await;
    push(&engine, "doubled", json!({"value": 1.0})).await;
    push(&engine, "limit", json!("none")).await;
    push(&engine, "doubled", json!({"value": 2.0})).await;
    push(&engine, "doubled", json!({"value": 3.0})).await;
    let seen = until(&engine, "desk", |status| status.graphs[0].terminals.get("told") == Some(&2)).await;
    assert_eq!((seen.rejected, seen.graphs[0].failed), (2, 1), "{seen:#?}");
    push(&engine, "doubled", json!({"value": -1.0})).await;
    let seen = until(&engine, "desk", |status| status.graphs[0].failed == 2).await;
    assert!(seen.graphs[0].last_error.as_ref().is_some_and(|e| e.contains("below zero")), "{seen:#?}");
    // The graph is in its pause now; after it, it goes on.
    for _ in 0..200 {
        push(&engine, "doubled", json!({"value": 4.0})).await;
        if status(&engine, "desk").graphs[0].terminals["told"] > 2 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    engine.shutdown(Duration::from_secs(1)).await;
    let rejects = DeadLetter::newest(engine.store(), "desk", 10).await.expect("lists");
    let kept: Vec<_> =
        rejects.iter().map(|r| (r.source.as_str(), r.field.as_str(), r.payload.as_str())).collect();
    assert_eq!(kept, [("limit", ".", "\"none\""), ("doubled", "value", "{\"value\":\"much\"}")]);

    let unknown = engine.reactors().push("desk", "limit", &json!(1)).await.expect_err("it has stopped");
    assert_eq!(unknown.code(), "LS0606");
}

async fn values_and_a_pause_outlive_the_host(backend: Backend) {
    let first = engine(&backend).await;
    push(&first, "limit", json!(20.0)).await;
    first.reactors().pause("desk", true).expect("pauses");
    push(&first, "doubled", json!({"value": 1.0})).await;
    let refused = first.reactors().push("desk", "nobody", &json!(1)).await;
    assert_eq!(refused.expect_err("unknown").code(), "LS0607");
    let huge = json!("x".repeat(1 << 20));
    let refused = first.reactors().push("desk", "limit", &huge).await;
    assert_eq!(refused.expect_err("too large").code(), "LS0608");
    first.shutdown(Duration::from_secs(1)).await;
    drop(first);
    let again = engine(&backend).await;
    let status = status(&again, "desk");
    assert!(status.paused && status.sources[1].has_value, "{status:#?}");
    again.reactors().pause("desk", false).expect("goes on");
    push(&again, "doubled", json!({"value": 1.0})).await;
    until(&again, "desk", |status| status.fired == 1).await;
    again.shutdown(Duration::from_secs(1)).await;
}

async fn a_batch_is_flushed_by_size_and_time_and_all_waits_for_each_source(backend: Backend) {
    let engine = engine(&backend).await;
    for n in [1, 2, 3] {
        engine.reactors().push("both", "gathered", &json!(n)).await.expect("taken");
    }
    let full = until(&engine, "both", |status| status.fired >= 1).await;
    assert_eq!(full.graphs[0].last_outputs["pair"], json!([6, true]));
    engine.reactors().push("both", "gathered", &json!(40)).await.expect("taken");
    until(&engine, "both", |status| status.graphs[0].last_outputs["pair"] == json!([40, true])).await;
    engine.shutdown(Duration::from_secs(1)).await;
}

async fn a_sequential_reactor_takes_every_line_of_a_file_once_and_in_order(backend: Backend) {
    let line = |n: i64| {
        let source = if n % 2 == 0 { "left" } else { "right" };
        format!("{{\"source\":\"{source}\",\"event\":{n}}}\n")
    };
    let lines: String = (1..=1000).map(line).collect();
    std::fs::write(
        backend.folder().join("events.jsonl"),
        format!("{{\"source\":\"left\",\"event\":\"x\"}}\n{lines}"),
    )
    .expect("writes");
    let first = engine(&backend).await;
    until(&first, "ledger", |status| status.fired == 1000 && status.pending == 0).await;
    assert!(first.reactors().is_drained());
    first.shutdown(Duration::from_secs(1)).await;
    let rejects = DeadLetter::newest(first.store(), "ledger", 10).await.expect("lists");
    assert_eq!((rejects.len(), rejects[0].source.as_str()), (1, "left"));
    drop(first);

    std::fs::write(
        backend.folder().join("events.jsonl"),
        format!("{{\"source\":\"left\",\"event\":\"x\"}}\n{lines}{}", line(1001)),
    )
    .expect("appends");
    let again = engine(&backend).await;
    until(&again, "ledger", |status| status.fired == 1001 && status.pending == 0).await;
    let outputs = OutputRow::after(again.store(), "ledger", 0, 10_000).await.expect("loads");
    let sums: Vec<(i64, i64)> = outputs
        .iter()
        .filter(|output| output.terminal == "sum")
        .map(|output| (output.seq, deserialize(&output.value).expect("a number")))
        .collect();
    // Input 1 is the one that could not be taken.
    let expected: Vec<(i64, i64)> = (1..=1001).map(|n| (n + 1, if n == 1 { 1 } else { 2 * n - 1 })).collect();
    assert_eq!(sums, expected);
    again.shutdown(Duration::from_secs(1)).await;
}

/// More than a reactor takes in while it is paused.
const LEFT: i64 = 100_600;

/// Leaves the ledger paused, with more inputs than it takes in.
async fn leave_a_full_ledger(backend: &Backend) {
    let store = backend.open().await;
    let payload = serialize(&1_i64).expect("a number");
    let rows: Vec<InputRow> =
        (1..=LEFT).map(|seq| InputRow { seq, source: "right".into(), payload: payload.clone() }).collect();
    let mut tx = store.begin().await.expect("begins");
    ReactorRow::set_paused(&mut tx, "ledger", true, 1).await.expect("pauses");
    InputRow::insert(&mut tx, "ledger", &rows).await.expect("inserts");
    store.commit(tx).await.expect("commits");
}

async fn inputs_are_numbered_after_all_that_a_dead_host_left(backend: Backend) {
    leave_a_full_ledger(&backend).await;
    let engine = engine(&backend).await;
    until(&engine, "ledger", |status| status.pending == LEFT as u64).await;
    engine.reactors().pause("ledger", false).expect("goes on");
    engine.reactors().push("ledger", "right", &json!(2)).await.expect("recorded");
    until(&engine, "ledger", |status| status.pending == 0).await;
    let last = OutputRow::after(engine.store(), "ledger", LEFT, 10).await.expect("lists");
    assert!(last.iter().all(|row| row.seq == LEFT + 1) && last.len() == 2, "{last:?}");
    engine.shutdown(Duration::from_secs(1)).await;
}

async fn a_sequential_reactor_that_is_connected_anew_takes_no_line_twice(backend: Backend) {
    const LINES: u64 = 2000;
    let lines: String = (0..LINES).map(|n| format!("{{\"source\":\"right\",\"event\":{n}}}\n")).collect();
    std::fs::write(backend.folder().join("events.jsonl"), &lines).expect("writes");
    let packages = Unloadable::new();
    let options = Options { stream_roots: vec![backend.folder().to_owned()], ..Options::default() };
    let engine = Engine::open(backend.open().await, packages.clone(), options).await.expect("starts");
    while !engine.reactors().list().iter().any(|status| status.name == "ledger") {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let taken = |status: &ReactorStatus| status.sources.iter().map(|source| source.events).sum::<u64>();
    // In the middle of the file, and at its end.
    until(&engine, "ledger", |status| taken(status) > 0).await;
    packages.subscribe("ledger");
    until(&engine, "ledger", |status| taken(status) == LINES && status.pending == 0).await;
    packages.subscribe("ledger");
    let more = std::fs::OpenOptions::new().append(true).open(backend.folder().join("events.jsonl"));
    std::io::Write::write_all(&mut more.expect("opens"), b"{\"source\":\"right\",\"event\":-1}\n")
        .expect("appends");
    until(&engine, "ledger", |status| taken(status) > LINES && status.pending == 0).await;
    let outputs = OutputRow::after(engine.store(), "ledger", 0, 10_000).await.expect("lists");
    let last = outputs.iter().map(|row| row.seq).max().expect("some");
    assert_eq!(last, LINES as i64 + 1, "each line is one input");
    engine.shutdown(Duration::from_secs(1)).await;
}

/// Asks a reactor for something, at a time. Returns the id of the command.
async fn ask(
    store: &Store,
    (reactor, command): (&str, ReactorCommand),
    (source, payload): (&str, &str),
    at: i64,
) -> String {
    let asked = NewCommand { reactor, command, source, payload, actor: "alice", reason: "a test" };
    CommandRow::ask(store, &asked, at).await.expect("asks")
}

async fn a_command_that_waits_keeps_no_other_waiting(backend: Backend) {
    leave_a_full_ledger(&backend).await;
    let engine = engine(&backend).await;
    until(&engine, "ledger", |status| status.pending >= LEFT as u64).await;
    let store = engine.store().clone();
    let ask = async |reactor: &str, command, source: &str, event: &str| {
        ask(&store, (reactor, command), (source, event), 1).await
    };
    let full = ask("ledger", ReactorCommand::Push, "right", "2").await;
    ask("desk", ReactorCommand::Push, "doubled", r#"{"value": 1.0}"#).await;
    until(&engine, "desk", |status| status.fired == 1).await;
    assert_eq!(CommandRow::answer(&store, &full).await.expect("looks"), CommandAnswer::Waiting);
    ask("ledger", ReactorCommand::Resume, "", "").await;
    until(&engine, "ledger", |status| status.pending == 0 && status.fired == LEFT as u64 + 1).await;
    engine.shutdown(Duration::from_secs(1)).await;
}

async fn a_command_is_kept_until_everything_is_loaded_and_then_done_or_refused(backend: Backend) {
    let packages = Unloadable::new();
    packages.set_loaded(false);
    packages.set_settled(false);
    let engine =
        Engine::open(backend.open().await, packages.clone(), Options::default()).await.expect("starts");
    let store = engine.store().clone();
    let ask =
        async |reactor: &str| ask(&store, (reactor, ReactorCommand::Pause), ("", ""), System.now_ms()).await;
    let answered = async |id: &str| loop {
        match CommandRow::answer(&store, id).await.expect("looks") {
            CommandAnswer::Waiting => tokio::time::sleep(Duration::from_millis(10)).await,
            answer => break answer,
        }
    };
    let (known, unknown) = (ask("desk").await, ask("nobody").await);
    tokio::time::sleep(Duration::from_millis(1200)).await;
    for id in [&known, &unknown] {
        assert_eq!(CommandRow::answer(&store, id).await.expect("looks"), CommandAnswer::Waiting);
    }
    packages.set_loaded(true);
    packages.set_settled(true);
    assert_eq!(answered(&known).await, CommandAnswer::Done);
    assert!(status(&engine, "desk").paused);
    let CommandAnswer::Refused { code, message } = answered(&unknown).await else { panic!("nobody did it") };
    assert_eq!(code, "LS0606");
    assert!(message.contains("nobody"), "{message}");
    engine.shutdown(Duration::from_secs(1)).await;
}

async fn news_that_come_in_the_pause_of_a_graph_fire_when_it_is_over(backend: Backend) {
    let engine = engine(&backend).await;
    push(&engine, "doubled", json!({ "value": -1.0 })).await;
    until(&engine, "desk", |status| status.graphs[0].failed == 1).await;
    push(&engine, "doubled", json!({ "value": 3.0 })).await;
    let made_up = until(&engine, "desk", |status| status.graphs[0].calls == 1).await;
    assert_eq!(made_up.fired, 2);
    assert_eq!(made_up.graphs[0].last_outputs["note"], "6 is too much");
    engine.shutdown(Duration::from_secs(1)).await;
}

async fn an_event_of_another_program_is_recorded_once_even_when_the_host_died_before_it_forgot_it(
    backend: Backend,
) {
    let engine = engine(&backend).await;
    let store = engine.store().clone();
    let ask = async |event: &str| ask(&store, ("ledger", ReactorCommand::Push), ("right", event), 1).await;
    let none_waits = async || {
        while !CommandRow::waiting(&store).await.expect("looks").is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    ask("1").await;
    until(&engine, "ledger", |status| status.sources.iter().any(|s| s.events == 1) && status.pending == 0)
        .await;
    none_waits().await;
    assert_eq!(PositionRow::of(&store, "ledger").await.expect("loads"), [], "what is done is forgotten");
    // As if the next one had been recorded by a host that died then. Its id is older than that of the one before: another
    // program made it, whose clock is behind.
    let id = "00000000-0000-7000-8000-000000000000";
    let mut tx = store.begin().await.expect("begins");
    let sql = "INSERT INTO reactor_commands (id, reactor, command, source, payload, at) VALUES ($1, 'ledger', 'push', 'right', '2', 1)";
    let recorded = PositionRow { stream: format!("command/{id}"), position: String::new() };
    PositionRow::put(&mut tx, "ledger", &[recorded]).await.expect("records");
    sqlx::query(sql).bind(id).execute(&mut *tx).await.expect("asks");
    store.commit(tx).await.expect("commits");
    none_waits().await;
    let events: u64 = status(&engine, "ledger").sources.iter().map(|source| source.events).sum();
    assert_eq!(events, 1, "it was forgotten, and not done again");
    // One that was not recorded is done, however old its id.
    let mut tx = store.begin().await.expect("begins");
    sqlx::query(sql).bind(id).execute(&mut *tx).await.expect("asks");
    store.commit(tx).await.expect("commits");
    none_waits().await;
    until(&engine, "ledger", |status| status.sources.iter().map(|s| s.events).sum::<u64>() == 2).await;
    engine.shutdown(Duration::from_secs(1)).await;
}

async fn a_task_calls_a_graph_and_gets_its_values(backend: Backend) {
    let engine = engine(&backend).await;
    let request = longshore_engine::StartRequest { workflow: "calls".into(), ..Default::default() };
    let run = engine.start(request).await.expect("starts").run;
    let report = engine.wait(run).await.expect("ends");
    assert_eq!(report.context.get(), r#"{"n":7,"plus_one":50,"squared":49}"#);
    let error = report.error.expect("no such graph");
    assert!(error.contains("computation graph `nobody`"), "{error}");
    engine.shutdown(Duration::from_secs(1)).await;
}

async fn a_graph_that_does_not_return_is_ended_or_named_and_the_host_goes_on(backend: Backend) {
    let engine = engine(&backend).await;
    engine.reactors().push("stuck", "sleepers", &json!(true)).await.expect("taken");
    let ended = until(&engine, "stuck", |status| status.graphs[0].failed == 1).await;
    assert!(ended.graphs[0].last_error.as_ref().is_some_and(|e| e.contains("within 200 ms")), "{ended:#?}");
    engine.reactors().push("stuck", "sleepers", &json!(false)).await.expect("taken");

    // A program's own graph blocks whoever pushes: here a thread of its own, which is lost.
    let (reactors, runtime) = (engine.reactors().clone(), tokio::runtime::Handle::current());
    std::thread::spawn(move || {
        // The graph may be in its pause; the one after it blocks.
        for _ in 0..100 {
            let _ = runtime.block_on(reactors.push("stuck", "blockers", &json!(true)));
            std::thread::sleep(Duration::from_millis(20));
        }
    });
    let stuck = until(&engine, "stuck", |status| matches!(status.health, Health::Degraded { .. })).await;
    assert!(
        matches!(&stuck.health, Health::Degraded { reason } if reason.contains("has not returned")),
        "{stuck:#?}"
    );
    push(&engine, "limit", json!(20.0)).await;
    push(&engine, "doubled", json!({"value": 1.0})).await;
    until(&engine, "desk", |status| status.fired == 1).await;
}

async fn a_source_that_floods_is_bounded_and_what_was_dropped_is_counted(backend: Backend) {
    let engine = engine(&backend).await;
    engine.reactors().pause("desk", true).expect("pauses");
    for n in 0..1000 {
        push(&engine, "doubled", json!({ "value": f64::from(n) })).await;
    }
    let flooded = status(&engine, "desk");
    assert_eq!((flooded.pending, flooded.dropped, flooded.fired), (1, 999, 0), "{flooded:#?}");
    engine.reactors().pause("desk", false).expect("goes on");
    let newest = until(&engine, "desk", |status| status.fired == 1).await;
    assert_eq!(newest.graphs[0].last_outputs["note"], "1998 is too much");
    engine.shutdown(Duration::from_secs(1)).await;
}

async fn a_batch_that_was_gathered_is_flushed_when_the_host_stops(backend: Backend) {
    let first = engine(&backend).await;
    first.reactors().push("both", "gathered", &json!(5)).await.expect("taken");
    first.shutdown(Duration::from_secs(10)).await;
    drop(first);
    let again = engine(&backend).await;
    until(&again, "both", |status| status.sources[0].has_value).await;
    again.shutdown(Duration::from_secs(1)).await;
}
