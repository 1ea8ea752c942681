//! Requests of other programs: starts and fires through the database, answered once.
#![allow(missing_docs, reason = "what an author would write, without the prose")]

use longshore_engine::{Engine, Options, RunReport, StartInput};
use longshore_store::{
    EventKind, EventRow, NewRequest, RequestAnswer, RequestKind, RequestOutcome, RunState, Store, Subject,
};
use longshore_testing::{Backend, open_embedded};
use longshore_workflow::{Context, TaskError, TriggerError, TriggerResult, task, trigger, workflow};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::LazyLock;
use std::time::Duration;
use tokio::sync::Semaphore;

/// A permit for each run of `slow` that may end.
static MAY_END: LazyLock<Semaphore> = LazyLock::new(|| Semaphore::new(0));

#[workflow(name = "zips", params(zip: String, count: u8 = 1, note: Option<String>))]
pub mod zips {
    use super::*;

    #[task]
    pub async fn keep(_context: &mut Context<Value>) -> Result<(), TaskError> {
        Ok(())
    }
}

#[workflow(name = "slow")]
pub mod slow {
    use super::*;

    #[task]
    pub async fn wait(_context: &mut Context<Value>) -> Result<(), TaskError> {
        MAY_END.acquire().await.expect("is open").forget();
        Ok(())
    }
}

#[workflow(name = "plain")]
pub mod plain {
    use super::*;

    #[task]
    pub async fn keep(_context: &mut Context<Value>) -> Result<(), TaskError> {
        Ok(())
    }
}

#[workflow(name = "needy", params(zip: String), triggers = ["both"])]
pub mod needy {
    use super::*;

    #[task]
    pub async fn keep(_context: &mut Context<Value>) -> Result<(), TaskError> {
        Ok(())
    }
}

#[trigger(on = "plain", cron = "0 0 1 1 *", allow_concurrent = true)]
pub async fn both() -> Result<TriggerResult, TriggerError> {
    Ok(TriggerResult::Skip)
}

#[trigger(on = "slow", cron = "0 0 1 1 *")]
pub async fn yearly() -> Result<TriggerResult, TriggerError> {
    Ok(TriggerResult::Skip)
}

longshore_testing::for_each_backend!(
    a_request_starts_its_workflow_once_with_typed_params,
    a_request_that_cannot_be_done_is_refused_with_what_to_do,
    a_trigger_is_fired_on_request_and_not_over_its_own_run,
    a_fire_tells_which_of_its_workflows_it_did_not_start,
);

fn texts(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

async fn ask(store: &Store, kind: RequestKind, name: &str, payload: String) -> String {
    let (tenant, actor, reason) = ("public".into(), "anna".to_owned(), "a test".to_owned());
    let request = NewRequest { kind, tenant, name: name.to_owned(), payload, actor, reason };
    request.insert(store, 1).await.expect("asks")
}

async fn answer(store: &Store, id: &str) -> RequestAnswer {
    for _ in 0..600 {
        let answer = longshore_store::RequestRow::answer(store, id).await.expect("looks");
        if answer != RequestAnswer::Waiting {
            return answer;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("no answer in 30 s");
}

/// The run of a request, and its end.
async fn run_of(engine: &Engine, id: &str) -> RunReport {
    match answer(engine.store(), id).await {
        RequestAnswer::Done(outcome) => engine.wait(outcome.started[0]).await.expect("ends"),
        other => panic!("{other:?}"),
    }
}

async fn refusal(store: &Store, id: &str) -> (String, String) {
    match answer(store, id).await {
        RequestAnswer::Refused { code, fix, .. } => (code, fix),
        other => panic!("{other:?}"),
    }
}

async fn a_request_starts_its_workflow_once_with_typed_params(backend: Backend) {
    let engine = open_embedded(backend.open().await, Options::default()).await;
    let store = engine.store();
    let params = texts(&[("zip", "01234"), ("count", "7")]);
    let given = StartInput { params, context: texts(&[("asked", "[1]")]), key: None };
    let payload = serde_json::to_string(&given).expect("JSON");
    let id = ask(store, RequestKind::Start, "zips", payload.clone()).await;
    let report = run_of(&engine, &id).await;
    assert_eq!(report.context.get(), r#"{"asked":[1],"count":7,"note":null,"zip":"01234"}"#);
    let events = EventRow::newest(store, Subject::Run(report.run_id), 10).await.expect("lists");
    let requested = events.iter().find(|event| event.kind == EventKind::Requested).expect("is told");
    assert_eq!(requested.message, "to start it, by anna: a test");

    // A host that died before it recorded the answer does the request again.
    let mut tx = store.begin().await.expect("begins");
    sqlx::query("UPDATE requests SET outcome = NULL").execute(&mut *tx).await.expect("updates");
    store.commit(tx).await.expect("commits");
    assert_eq!(run_of(&engine, &id).await.run_id, report.run_id);

    // A key of one's own counts over requests.
    let keyed = serde_json::to_string(&StartInput { key: Some("k".into()), ..given }).expect("JSON");
    let first = ask(store, RequestKind::Start, "zips", keyed.clone()).await;
    let run = run_of(&engine, &first).await.run_id;
    let second = ask(store, RequestKind::Start, "zips", keyed.clone()).await;
    let found = RequestOutcome { found: vec![run], ..RequestOutcome::default() };
    assert_eq!(answer(store, &second).await, RequestAnswer::Done(found));
    // That of another workflow is another one.
    let keyed = serde_json::to_string(&StartInput { key: Some("k".into()), ..StartInput::default() });
    let other = ask(store, RequestKind::Start, "plain", keyed.expect("JSON")).await;
    assert_eq!(run_of(&engine, &other).await.workflow, "plain");
    engine.shutdown(Duration::from_secs(5)).await;
}

async fn a_request_that_cannot_be_done_is_refused_with_what_to_do(backend: Backend) {
    let engine = open_embedded(backend.open().await, Options::default()).await;
    let store = engine.store();
    let payload = |params: &[(&str, &str)]| {
        let given = StartInput { params: texts(params), ..StartInput::default() };
        serde_json::to_string(&given).expect("JSON")
    };
    for (kind, name, payload, code, says) in [
        (RequestKind::Start, "zip", payload(&[]), "LS0601", "did you mean `zips`?"),
        (RequestKind::Start, "zips", payload(&[("zap", "1")]), "LS0602", "did you mean `zip`?"),
        (RequestKind::Start, "zips", "[".to_owned(), "LS0616", "version of the host"),
        (RequestKind::Start, "zips", r#"{"parms": {}}"#.to_owned(), "LS0616", "version of the host"),
        (RequestKind::Fire, "yerly", payload(&[]), "LS0614", "did you mean `yearly`?"),
    ] {
        let id = ask(store, kind, name, payload).await;
        let (found, fix) = refusal(store, &id).await;
        assert!(found == code && fix.contains(says), "{name}: {found} {fix}");
    }
    // A row that does not read keeps no other request waiting.
    let odd = ask(store, RequestKind::Start, "zips", payload(&[("zip", "1")])).await;
    let mut tx = store.begin().await.expect("begins");
    let sql = "UPDATE requests SET kind = 'odd', refusal_code = NULL, outcome = NULL WHERE id = $1";
    sqlx::query(sql).bind(&odd).execute(&mut *tx).await.expect("updates");
    store.commit(tx).await.expect("commits");
    let good = ask(store, RequestKind::Start, "zips", payload(&[("zip", "1")])).await;
    assert_eq!(run_of(&engine, &good).await.state, RunState::Succeeded);
    assert_eq!(refusal(store, &odd).await.0, "LS0512");
    engine.shutdown(Duration::from_secs(5)).await;
}

async fn a_trigger_is_fired_on_request_and_not_over_its_own_run(backend: Backend) {
    static ALONE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());
    let _alone = ALONE.lock().await;
    let engine = open_embedded(backend.open().await, Options::default()).await;
    let store = engine.store();
    let payload = || serde_json::to_string(&StartInput::default()).expect("JSON");
    let first = ask(store, RequestKind::Fire, "yearly", payload()).await;
    let RequestAnswer::Done(RequestOutcome { started: runs, .. }) = answer(store, &first).await else {
        panic!("it is started")
    };
    let again = ask(store, RequestKind::Fire, "yearly", payload()).await;
    assert_eq!(refusal(store, &again).await.0, "LS0615");
    MAY_END.add_permits(1);
    let report = engine.wait(runs[0]).await.expect("ends");
    assert_eq!((report.workflow.as_str(), report.origin.as_str()), ("slow", "cron:yearly"));
    // Several at once are one and refusals.
    let mut asked = Vec::new();
    for _ in 0..5 {
        asked.push(ask(store, RequestKind::Fire, "yearly", payload()).await);
    }
    let mut started = Vec::new();
    for id in &asked {
        match answer(store, id).await {
            RequestAnswer::Done(outcome) => started.extend(outcome.started),
            RequestAnswer::Refused { code, .. } => assert_eq!(code, "LS0615"),
            RequestAnswer::Waiting => panic!("it is answered"),
        }
    }
    assert_eq!(started.len(), 1);
    MAY_END.add_permits(1);
    assert_eq!(engine.wait(started[0]).await.expect("ends").state, RunState::Succeeded);
    engine.shutdown(Duration::from_secs(5)).await;
}

async fn a_fire_tells_which_of_its_workflows_it_did_not_start(backend: Backend) {
    let engine = open_embedded(backend.open().await, Options::default()).await;
    let store = engine.store();
    let fire = async |context: &[(&str, &str)]| {
        let given = StartInput { context: texts(context), ..StartInput::default() };
        let id = ask(store, RequestKind::Fire, "both", serde_json::to_string(&given).expect("JSON")).await;
        match answer(store, &id).await {
            RequestAnswer::Done(outcome) => outcome,
            other => panic!("{other:?}"),
        }
    };
    let outcome = fire(&[]).await;
    assert_eq!((outcome.started.len(), outcome.not_started.len()), (1, 1), "{outcome:?}");
    assert!(outcome.not_started[0].starts_with("LS0602: "), "{outcome:?}");
    let events = EventRow::newest(store, Subject::Schedule("both"), 10).await.expect("lists");
    assert_eq!(events[0].kind, EventKind::NotStarted);

    // Each workflow reads what was typed as its own types say.
    let outcome = fire(&[("zip", "12345")]).await;
    let mut contexts = Vec::new();
    for run in outcome.started {
        let report = engine.wait(run).await.expect("ends");
        contexts.push(format!("{} {}", report.workflow, report.context.get()));
    }
    contexts.sort();
    assert_eq!(contexts, [r#"needy {"zip":"12345"}"#, r#"plain {"zip":12345}"#]);
    engine.shutdown(Duration::from_secs(5)).await;
}
