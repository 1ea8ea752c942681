//! Firings that start workflows: their keys, their tenants, starts that are refused, replays beside a host's own reactors.
#![allow(missing_docs, reason = "what an author would write, without the prose")]

use longshore_engine::{Engine, Options, ReactorStatus};
use longshore_store::{
    CommandAnswer, CommandRow, DeadLetter, InputRow, NewCommand, ReactorCommand, RunRow, RunState, Store,
};
use longshore_testing::{Backend, open_embedded};
use longshore_workflow::{
    Context, TaskError, computation_graph, passthrough_accumulator, reactor, task, trigger, workflow,
};
use serde_json::{Value, json};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// True when the accumulator takes nothing.
static CLOSED: AtomicBool = AtomicBool::new(false);

#[passthrough_accumulator]
pub fn numbers(event: i64) -> i64 {
    assert!(event != 7 || !CLOSED.load(Ordering::SeqCst), "it takes no 7 now");
    event
}

/// Its workflows are of tenant `acme`, and so is it: `acme/ticks`.
#[reactor(name = "ticks", accumulators = [numbers], criteria = when_any(numbers), input_strategy = "sequential")]
pub struct Ticks;

#[computation_graph(trigger = reactor("ticks"), graph = { double(numbers) })]
pub mod doubling {
    pub async fn double(n: Option<&i64>) -> i64 {
        n.copied().unwrap_or(0) * 2
    }
}

#[computation_graph(trigger = reactor("ticks"), graph = { triple(numbers) })]
pub mod tripling {
    pub async fn triple(n: Option<&i64>) -> i64 {
        n.copied().unwrap_or(0) * 3
    }
}

#[workflow(name = "take", tenant = "acme")]
pub mod take {
    use super::*;

    #[task]
    pub async fn note(_context: &mut Context<Value>) -> Result<(), TaskError> {
        Ok(())
    }
}

#[workflow(name = "small", tenant = "acme", params(double: u8))]
pub mod small {
    use super::*;

    #[task]
    pub async fn keep(_context: &mut Context<Value>) -> Result<(), TaskError> {
        Ok(())
    }
}

#[trigger(on = "take", reactor = "ticks")]
pub async fn each() {}

#[trigger(on = "small", reactor = "ticks", when = context_value("double", greater_than, 1000))]
pub async fn large() {}

const TICKS: &str = "acme/ticks";

longshore_testing::for_each_backend!(
    each_graph_of_a_reactor_starts_the_workflow_of_its_tenant,
    a_start_that_is_refused_becomes_a_dead_letter_that_can_be_sent_again,
    an_event_that_was_rejected_can_be_sent_again,
    a_replay_leaves_what_is_recorded_of_a_reactor_alone,
);

async fn engine(backend: &Backend) -> Engine {
    open_embedded(backend.open().await, Options::default()).await
}

async fn push(engine: &Engine, event: i64) {
    for _ in 0..500 {
        if engine.reactors().push(TICKS, "numbers", &json!(event)).await.is_ok() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{:?}", engine.reactors().list());
}

async fn until(engine: &Engine, what: impl Fn(&ReactorStatus) -> bool) {
    for _ in 0..1000 {
        if engine.reactors().list().iter().any(|status| status.name == TICKS && what(status)) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{:#?}", engine.reactors().list());
}

/// The inputs of the runs that the trigger `each` started, once there are so many, in order.
async fn started(store: &Store, count: usize) -> Vec<String> {
    let mut inputs = Vec::new();
    for _ in 0..1000 {
        let runs = RunRow::newest(store, Some(RunState::Succeeded), 1000).await.expect("lists");
        let own = runs.into_iter().filter(|run| run.origin == "reactor:acme/each");
        inputs = own
            .map(|run| {
                assert_eq!((run.tenant.as_str(), run.workflow.as_str()), ("acme", "take"));
                run.input
            })
            .collect();
        if inputs.len() >= count {
            inputs.sort_unstable();
            return inputs;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{inputs:?}");
}

async fn each_graph_of_a_reactor_starts_the_workflow_of_its_tenant(backend: Backend) {
    let engine = engine(&backend).await;
    push(&engine, 5).await;
    push(&engine, 6).await;
    let inputs = started(engine.store(), 4).await;
    assert_eq!(inputs, [r#"{"double":10}"#, r#"{"double":12}"#, r#"{"triple":15}"#, r#"{"triple":18}"#]);
    engine.shutdown(Duration::from_secs(1)).await;
}

/// The dead letters, once there are so many.
async fn letters(store: &Store, count: usize) -> Vec<DeadLetter> {
    for _ in 0..1000 {
        let letters = DeadLetter::newest(store, TICKS, 10).await.expect("lists");
        if letters.len() == count {
            return letters;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{:?}", DeadLetter::newest(store, TICKS, 10).await);
}

async fn resend(store: &Store, letter: &DeadLetter) -> CommandAnswer {
    let (source, id) = (letter.source.as_str(), letter.id.to_string());
    let command = CommandRow::ask(
        store,
        &NewCommand {
            reactor: TICKS,
            command: ReactorCommand::Resend,
            source,
            payload: &id,
            actor: "alice",
            reason: "a test",
        },
        1,
    )
    .await
    .expect("asks");
    for _ in 0..1000 {
        let answer = CommandRow::answer(store, &command).await.expect("looks");
        if answer != CommandAnswer::Waiting {
            return answer;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("nobody answers");
}

async fn a_start_that_is_refused_becomes_a_dead_letter_that_can_be_sent_again(backend: Backend) {
    let engine = engine(&backend).await;
    let store = engine.store();
    push(&engine, 600).await;
    let letter = letters(store, 1).await.remove(0);
    assert_eq!((letter.source.as_str(), letter.workflow.as_deref()), ("acme/large", Some("small")));
    assert!(letter.message.starts_with("LS0602"), "{letter:?}");
    let refused = resend(store, &letter).await;
    assert!(matches!(&refused, CommandAnswer::Refused { code, .. } if code == "LS0602"), "{refused:?}");
    // As after a fix of the workflow: it takes the params.
    let mut tx = store.begin().await.expect("begins");
    let sql = "UPDATE dead_letters SET payload = '{\"double\": 12}'";
    sqlx::query(sql).execute(&mut *tx).await.expect("corrects");
    store.commit(tx).await.expect("commits");
    assert_eq!(resend(store, &letter).await, CommandAnswer::Done);
    letters(store, 0).await;
    let again = resend(store, &letter).await;
    assert!(matches!(&again, CommandAnswer::Refused { code, .. } if code == "LS0612"), "{again:?}");
    let runs = RunRow::newest(store, None, 100).await.expect("lists");
    let small: Vec<_> = runs.iter().filter(|run| run.workflow == "small").collect();
    assert!(matches!(small[..], [run] if run.origin == "reactor:acme/large"), "{small:?}");
    engine.shutdown(Duration::from_secs(1)).await;
}

async fn an_event_that_was_rejected_can_be_sent_again(backend: Backend) {
    // Another test of this program pushes no 7.
    CLOSED.store(true, Ordering::SeqCst);
    let engine = engine(&backend).await;
    push(&engine, 7).await;
    let letter = letters(engine.store(), 1).await.remove(0);
    assert_eq!((letter.payload.as_str(), letter.resendable, &letter.workflow), ("7", 1, &None));
    CLOSED.store(false, Ordering::SeqCst);
    assert_eq!(resend(engine.store(), &letter).await, CommandAnswer::Done);
    let inputs = started(engine.store(), 2).await;
    assert_eq!(inputs, [r#"{"double":14}"#, r#"{"triple":21}"#]);
    letters(engine.store(), 0).await;
    // One that is too long to be kept whole cannot.
    engine.reactors().push(TICKS, "numbers", &json!("x".repeat(100_000))).await.expect("taken");
    let letter = letters(engine.store(), 1).await.remove(0);
    assert!(letter.payload.len() < 70_000, "{}", letter.payload.len());
    let refused = resend(engine.store(), &letter).await;
    assert!(matches!(&refused, CommandAnswer::Refused { code, .. } if code == "LS0613"), "{refused:?}");
    engine.shutdown(Duration::from_secs(1)).await;
}

async fn a_replay_leaves_what_is_recorded_of_a_reactor_alone(backend: Backend) {
    let host = engine(&backend).await;
    push(&host, 1).await;
    started(host.store(), 2).await;
    host.reactors().pause(TICKS, true).expect("pauses");
    push(&host, 2).await;
    host.shutdown(Duration::from_secs(1)).await;
    drop(host);
    for _ in 0..2 {
        // What a replay starts is not taken for what the host started, or the replay before.
        let replay =
            open_embedded(backend.open().await, Options { replay: true, ..Options::default() }).await;
        let before = started(replay.store(), 0).await.len();
        push(&replay, 1).await;
        started(replay.store(), before + 2).await;
        replay.shutdown(Duration::from_secs(1)).await;
        drop(replay);
    }
    let store = backend.open().await;
    let left = InputRow::after(&store, TICKS, 0).await.expect("loads");
    assert_eq!(left.iter().map(|input| input.seq).collect::<Vec<_>>(), [2], "the input that waits");
    let mut tx = store.begin().await.expect("begins");
    let sql = "SELECT name FROM reactors WHERE name LIKE '%@%'";
    let replays = sqlx::query(sql).fetch_all(&mut *tx).await.expect("looks");
    assert!(replays.is_empty(), "a replay that ended leaves nothing");
    drop((tx, store));
    let again = engine(&backend).await;
    until(&again, |status| status.paused).await;
    again.reactors().pause(TICKS, false).expect("goes on");
    until(&again, |status| status.pending == 0 && status.fired == 2).await;
    again.shutdown(Duration::from_secs(1)).await;
}
