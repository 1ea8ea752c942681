//! One fire of a trigger.

use crate::error::Error;
use crate::handle::{EngineHandle, StartRequest};
use crate::model::catalog::TriggerDef;
use longshore_store::{RunId, RunRow};
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

/// Starts each workflow of a fire once, however often this is called with its key.
///
/// # Errors
/// When the database is away, or the engine stops.
pub(crate) async fn start(
    engine: &EngineHandle,
    trigger: &TriggerDef,
    key: &str,
    context: &Map<String, Value>,
) -> Result<Fired, Error> {
    let store = engine.store();
    let TriggerDef { name, tenant, workflow, .. } = trigger;
    let origin = trigger.origin();
    let requests = engine.requests((name, tenant, workflow), &origin, key);
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
        match engine.start(StartRequest { context: context.clone(), ..request }).await {
            Ok(started) => runs.push(started.run),
            Err(error) if error.is_transient() => return Err(error),
            // A workflow that nobody has, or that wants other params: the next fire may find it otherwise.
            Err(error) => refused.push(error),
        }
    }
    Ok(Fired::Started { runs, refused })
}
