//! One fire of a trigger.

use crate::error::Error;
use crate::handle::{EngineHandle, StartRequest};
use crate::model::catalog::TriggerDef;
use crate::model::definition::WorkflowDef;
use longshore_store::{EventKind, EventRow, RunId, RunRow, Subject};
use serde_json::{Map, Value};

/// The outcome of a fire.
pub(crate) enum Fired {
    /// An earlier run of the trigger is still going, and it does not overlap.
    Skipped,
    /// Its workflows were started, but for those that refused for good.
    Started {
        /// The runs.
        runs: Vec<RunId>,
        /// Why others were not started.
        refused: Vec<Error>,
    },
}

/// Starts each workflow of a fire once, however often this is called with its key, each with the context that `context`
/// makes for it. Fires of one trigger come one after the other.
///
/// # Errors
/// When the database is away, or the engine stops.
pub(crate) async fn start(
    engine: &EngineHandle,
    trigger: &TriggerDef,
    key: &str,
    context: impl Fn(Option<&WorkflowDef>) -> Map<String, Value>,
) -> Result<Fired, Error> {
    let store = engine.store();
    let TriggerDef { name, tenant, workflow, .. } = trigger;
    let origin = trigger.origin();
    let requests = engine.requests((name, tenant, workflow), &origin, key);
    let turn = engine.turns.of(name);
    let _turn = turn.lock().await;
    if !trigger.allow_concurrent && RunRow::origin_is_busy(store, &origin).await? {
        // A fire that is repeated is not in its own way.
        let mut is_repeated = false;
        for key in requests.iter().filter_map(|request| request.dedup_key.as_deref()) {
            is_repeated |= RunRow::has_key(store, key).await?;
        }
        if !is_repeated {
            return Ok(Fired::Skipped);
        }
    }
    let (mut runs, mut refused) = (Vec::new(), Vec::new());
    for request in requests {
        let def = engine.find_workflow(&request.tenant, &request.workflow).ok();
        let context = context(def.as_deref());
        match engine.start(StartRequest { context, ..request }).await {
            Ok(started) => runs.push(started.run),
            Err(error) if error.is_transient() => return Err(error),
            // A workflow that nobody has, or that wants other params: the next fire may find it otherwise.
            Err(error) => refused.push(error),
        }
    }
    Ok(Fired::Started { runs, refused })
}

/// Records why workflows of a fire were not started.
///
/// # Errors
/// Those of the database.
pub(crate) async fn note_not_started(
    engine: &EngineHandle,
    trigger: &str,
    refused: &[Error],
) -> Result<(), Error> {
    if refused.is_empty() {
        return Ok(());
    }
    let mut tx = engine.store().begin().await?;
    for error in refused {
        let message = why_not_started(error);
        tracing::warn!(trigger, message, "a fire did not start a workflow");
        let subject = Subject::Schedule(trigger);
        EventRow::append(&mut tx, subject, EventKind::NotStarted, &message, engine.now_ms()).await?;
    }
    Ok(engine.store().commit(tx).await?)
}

/// The reason why a workflow of a fire was not started, with the code.
pub(crate) fn why_not_started(error: &Error) -> String {
    format!("{}: {error}", error.code())
}
