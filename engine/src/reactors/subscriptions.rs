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
use serde_json::{Map, Value};
use tokio::sync::mpsc;

/// Starts the workflows that subscribe to a firing and whose predicate holds over its outputs. A firing starts
/// each of them once, however often this is called with its key.
///
/// # Errors
/// When the database fails; a workflow that nobody has, or that wants other params, is logged.
pub(crate) async fn start(
    engine: &EngineHandle,
    subscriptions: &[Subscription],
    key: &str,
    outputs: &Outputs,
) -> Result<(), Error> {
    if subscriptions.is_empty() || outputs.is_empty() {
        return Ok(());
    }
    let params = params(outputs);
    let context = values(&params);
    for subscription in subscriptions {
        if subscription.when.as_ref().is_some_and(|rule| !holds_over(rule, &context)) {
            continue;
        }
        let Subscription { trigger, digest, workflow, .. } = subscription;
        let origin = format!("reactor:{trigger}");
        let key = format!("{origin}:{key}");
        for request in engine.requests((trigger, digest, workflow), &origin, Some(&key)) {
            match engine.start(StartRequest { params: params.clone(), ..request }).await {
                Ok(_) => {}
                Err(error @ (Error::Store(_) | Error::NotRecorded { .. } | Error::Stopped)) => {
                    return Err(error);
                }
                Err(error) => tracing::warn!(
                    trigger,
                    code = error.code(),
                    error = &error as &dyn std::error::Error,
                    "a firing did not start its workflow"
                ),
            }
        }
    }
    Ok(())
}

/// Starts the workflows that subscribe to firings of reactors in memory, until it is aborted.
pub(crate) async fn serve(engine: EngineHandle, mut firings: mpsc::Receiver<Fired>) {
    let host = engine.host();
    while let Some(Fired { reactor, graph, number, outputs }) = firings.recv().await {
        let catalog = engine.packages().catalog();
        let of_reactor = catalog.subscriptions.iter().filter(|s| s.reactor == reactor);
        let subscribed: Vec<Subscription> = of_reactor.cloned().collect();
        // Firings in memory are counted anew by each host.
        let key = format!("{reactor}:{host}:{number}:{graph}");
        log("a subscription was not served", start(&engine, &subscribed, &key, &outputs).await);
    }
}

/// The values that predicates look at: those of the terminals, and the fields of those that are objects as
/// `terminal.field`.
fn values(params: &Map<String, Value>) -> ContextMap {
    let mut values = ContextMap::default();
    for (terminal, value) in params {
        values.set(terminal, value.to_string());
        for (field, value) in value.as_object().into_iter().flatten() {
            values.set(&format!("{terminal}.{field}"), value.to_string());
        }
    }
    values
}

/// The terminals' values, by terminal.
fn params(outputs: &Outputs) -> Map<String, Value> {
    let json = |bytes: &[u8]| longshore_workflow::deserialize(bytes).unwrap_or_default();
    outputs.iter().map(|(terminal, value)| (terminal.to_string(), json(value))).collect()
}
