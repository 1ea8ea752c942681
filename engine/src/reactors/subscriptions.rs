//! Firings that start workflows.

use crate::decide::holds_over;
use crate::error::Error;
use crate::handle::EngineHandle;
use crate::handle::StartRequest;
use crate::model::context::ContextMap;
use crate::model::reactor_def::Subscription;
use crate::port::graph_calls::Outputs;
use crate::reactors::log::log;
use crate::reactors::reactor::Fired;
use longshore_store::{DeadLetter, DeadLetterId};
use serde_json::{Map, Value};
use std::time::Duration;
use tokio::sync::mpsc;

/// Pause before the starts of a firing in memory are tried again.
const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// Starts the workflows that subscribe to a firing of a reactor and whose predicate holds over its outputs. A firing
/// starts each of them once, however often this is called with its key. A start that is refused is added to `letters`, once.
///
/// # Errors
/// When the database is away, or the engine stops.
pub(crate) async fn start(
    engine: &EngineHandle,
    (reactor, subscriptions): (&str, &[Subscription]),
    key: &str,
    outputs: &Outputs,
    letters: &mut Vec<DeadLetter>,
) -> Result<(), Error> {
    if subscriptions.is_empty() || outputs.is_empty() {
        return Ok(());
    }
    let context = context(outputs);
    let values = values(&context);
    for subscription in subscriptions {
        if subscription.when.as_ref().is_some_and(|rule| !holds_over(rule, &values)) {
            continue;
        }
        let Subscription { trigger, tenant, workflow, .. } = subscription;
        let origin = origin(trigger);
        let key = format!("{origin}:{key}");
        for request in engine.requests((trigger, tenant, workflow), &origin, &key) {
            let wanted = request.clone();
            match engine.start(StartRequest { context: context.clone(), ..request }).await {
                Ok(_) => {}
                Err(error) if error.is_transient() => return Err(error),
                // It was noted when the firing was tried before.
                Err(_) if letters.iter().any(|known| known.dedup_key == wanted.dedup_key) => {}
                Err(error) => {
                    let wanted = StartRequest { context: context.clone(), ..wanted };
                    letters.push(dead_letter(reactor, trigger, wanted, &error, engine.now_ms()));
                    let (code, error) = (error.code(), &error as &dyn std::error::Error);
                    tracing::warn!(reactor, trigger, code, error, "a firing did not start its workflow");
                }
            }
        }
    }
    Ok(())
}

/// The origin of runs that a trigger of a reactor starts.
pub(super) fn origin(trigger: &str) -> String {
    format!("reactor:{trigger}")
}

fn dead_letter(reactor: &str, trigger: &str, request: StartRequest, error: &Error, now: i64) -> DeadLetter {
    DeadLetter {
        id: DeadLetterId::new(),
        reactor: reactor.to_owned(),
        source: trigger.to_owned(),
        position: String::new(),
        field: String::new(),
        message: format!("{}: {error}", error.code()),
        payload: Value::from(request.context).to_string(),
        resendable: 1,
        tenant: Some(request.tenant.into()),
        workflow: Some(request.workflow),
        dedup_key: request.dedup_key,
        at: now,
    }
}

/// Starts the workflows that subscribe to firings of reactors in memory, until it is aborted.
pub(crate) async fn serve(engine: EngineHandle, mut firings: mpsc::Receiver<Fired>) {
    while let Some(fired) = firings.recv().await {
        let mut letters = Vec::new();
        while let Err(error) = serve_one(&engine, &fired, &mut letters).await {
            if matches!(error, Error::Stopped) || engine.is_stopped() {
                return;
            }
            log("a firing starts its workflows later", Err(error));
            tokio::time::sleep(RETRY_PAUSE).await;
        }
    }
}

async fn serve_one(engine: &EngineHandle, fired: &Fired, letters: &mut Vec<DeadLetter>) -> Result<(), Error> {
    let Fired { reactor, graph, number, outputs } = fired;
    let catalog = engine.packages().catalog();
    let of_reactor = catalog.subscriptions.iter().filter(|s| s.reactor == *reactor);
    let subscribed: Vec<Subscription> = of_reactor.cloned().collect();
    // Firings in memory are counted anew by each host.
    let key = format!("{reactor}:{}:{number}:{graph}", engine.host());
    start(engine, (reactor, &subscribed), &key, outputs, letters).await?;
    if !letters.is_empty() {
        let mut tx = engine.store().begin().await?;
        DeadLetter::insert(&mut tx, reactor, letters).await?;
        engine.store().commit(tx).await?;
    }
    Ok(())
}

/// The values that predicates look at: those of the terminals, and the fields of those that are objects as
/// `terminal.field`.
fn values(outputs: &Map<String, Value>) -> ContextMap {
    let mut values = ContextMap::default();
    for (terminal, value) in outputs {
        values.set(terminal, value.to_string());
        for (field, value) in value.as_object().into_iter().flatten() {
            values.set(&format!("{terminal}.{field}"), value.to_string());
        }
    }
    values
}

/// The terminals' values, by terminal.
fn context(outputs: &Outputs) -> Map<String, Value> {
    let json = |bytes: &[u8]| longshore_workflow::deserialize(bytes).unwrap_or_default();
    outputs.iter().map(|(terminal, value)| (terminal.to_string(), json(value))).collect()
}
