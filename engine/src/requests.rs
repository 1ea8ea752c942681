//! Requests of other programs: starts of workflows and fires of triggers, through the database.
//!
//! What a request starts carries the request's id as its dedup key, and the answer is recorded after it: dying between the
//! two, or two hosts that take the same request, start it once.

use crate::error::Error;
use crate::handle::{EngineHandle, StartRequest};
use crate::model::definition::WorkflowDef;
use crate::model::typed::json_of;
use crate::triggers::fire::{self, Fired};
use futures_util::{StreamExt, stream};
use longshore_store::{
    Error as StoreError, EventKind, EventRow, RequestKind, RequestOutcome, RequestRow, Subject,
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::MissedTickBehavior;

/// Requests that are read and done at the same time.
const PAGE: i64 = 100;

/// The interval at which requests are looked for.
const TICK: Duration = Duration::from_millis(250);

/// The interval at which answers are forgotten that nobody needs any more.
const FORGET_INTERVAL: Duration = Duration::from_secs(3600);

/// The time that an answer is kept for whoever asked, in milliseconds.
const ANSWER_KEPT_MS: i64 = 24 * 60 * 60 * 1000;

/// The input of a run that is started from outside, as it was typed: the workflow's types decide what it means.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StartInput {
    /// Params by name.
    pub params: BTreeMap<String, String>,
    /// Keys of the context beside the params.
    pub context: BTreeMap<String, String>,
    /// At most one run of the workflow has this key, for as long as it is kept.
    pub key: Option<String>,
}

impl StartInput {
    /// The start of a workflow with it.
    pub fn request(&self, def: &WorkflowDef) -> StartRequest {
        StartRequest {
            tenant: def.tenant.clone(),
            workflow: def.name.clone(),
            params: typed(&self.params, Some(def)),
            context: typed(&self.context, Some(def)),
            dedup_key: self.key.as_ref().map(|key| format!("key:{}/{}:{key}", def.tenant, def.name)),
            ..StartRequest::default()
        }
    }
}

/// Values by key, as a workflow means them. One that it does not declare is JSON, or else a text.
fn typed(values: &BTreeMap<String, String>, def: Option<&WorkflowDef>) -> Map<String, Value> {
    let value = |(key, text): (&String, &String)| {
        let declared = def.and_then(|def| def.params.iter().find(|param| param.name == *key));
        let undeclared = || json_of(text).unwrap_or_else(|| Value::from(text.as_str()));
        let value = declared.map_or_else(undeclared, |param| param.value_of(text));
        (key.clone(), value)
    };
    values.iter().map(value).collect()
}

/// Does what other programs ask for, until it is aborted.
pub(crate) async fn run(engine: EngineHandle) {
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut forgetting = tokio::time::interval(FORGET_INTERVAL);
    loop {
        let done = tokio::select! {
            _ = ticks.tick() => serve_all(&engine).await,
            _ = forgetting.tick() => forget_answered(&engine).await,
        };
        if let Err(error) = done {
            let code = error.code();
            tracing::warn!(code, error = &error as &dyn std::error::Error, "requests were not looked at");
        }
    }
}

/// Looks at every request that waits. One that cannot be answered now is looked at again at the next tick.
async fn serve_all(engine: &EngineHandle) -> Result<(), Error> {
    let mut after = String::new();
    loop {
        let page = RequestRow::waiting(engine.store(), &after, PAGE).await?;
        let Some(last) = page.last() else { return Ok(()) };
        after.clone_from(&last.0);
        let serve_one = async |(id, read): (String, Result<RequestRow, StoreError>)| {
            let served = match read {
                Ok(request) => serve(engine, &request).await,
                Err(error) => refuse(engine, &id, &error.into()).await,
            };
            if let Err(error) = served {
                let (code, error) = (error.code(), &error as &dyn std::error::Error);
                tracing::warn!(request = id, code, error, "a request is tried again");
            }
        };
        stream::iter(page).for_each_concurrent(None, serve_one).await;
    }
}

/// Does what a request asks for and records the answer.
async fn serve(engine: &EngineHandle, request: &RequestRow) -> Result<(), Error> {
    let done = match request.kind {
        RequestKind::Start => start(engine, request).await,
        RequestKind::Fire => fire(engine, request).await,
    };
    match done {
        Ok(outcome) => record_done(engine, request, &outcome).await,
        // Its package may be loading still.
        Err(Error::UnknownWorkflow { .. } | Error::UnknownTrigger { .. })
            if !engine.packages().is_settled() =>
        {
            Ok(())
        }
        Err(error) if error.is_transient() => Err(error),
        Err(error) => refuse(engine, &request.id, &error).await,
    }
}

async fn refuse(engine: &EngineHandle, id: &str, error: &Error) -> Result<(), Error> {
    tracing::warn!(request = id, code = error.code(), %error, "a request was refused");
    let mut tx = engine.store().begin().await?;
    RequestRow::refuse(&mut tx, id, error.code(), &error.to_string(), &error.fix()).await?;
    Ok(engine.store().commit(tx).await?)
}

async fn start(engine: &EngineHandle, request: &RequestRow) -> Result<RequestOutcome, Error> {
    let given = given(request)?;
    let def = engine.find_workflow(&request.tenant, &request.name)?;
    let wanted = given.request(&def);
    let is_named = wanted.dedup_key.is_some();
    let dedup_key = wanted.dedup_key.or_else(|| Some(dedup_key(request)));
    let answer = engine.start(StartRequest { dedup_key, ..wanted }).await?;
    let (run, existing) = (answer.run, answer.existing);
    // One with the key of this very request was started for it, before its host died.
    let (started, found) = if existing && is_named { (vec![], vec![run]) } else { (vec![run], vec![]) };
    Ok(RequestOutcome { started, found, not_started: Vec::new() })
}

async fn fire(engine: &EngineHandle, request: &RequestRow) -> Result<RequestOutcome, Error> {
    let given = given(request)?;
    let catalog = engine.packages().catalog();
    let trigger = catalog.trigger(&request.name).ok_or_else(|| {
        let known = catalog.triggers.iter().map(|trigger| trigger.name.clone()).collect();
        Error::UnknownTrigger { trigger: request.name.clone(), known }
    })?;
    let context = |def: Option<&WorkflowDef>| typed(&given.context, def);
    match fire::start(engine, trigger, &dedup_key(request), context).await? {
        Fired::Skipped => Err(Error::TriggerIsBusy { trigger: request.name.clone() }),
        Fired::Started { runs, mut refused } if runs.is_empty() && !refused.is_empty() => {
            Err(refused.remove(0))
        }
        Fired::Started { runs, refused } => {
            fire::note_not_started(engine, &trigger.name, &refused).await?;
            let not_started = refused.iter().map(fire::why_not_started).collect();
            Ok(RequestOutcome { started: runs, found: Vec::new(), not_started })
        }
    }
}

fn given(request: &RequestRow) -> Result<StartInput, Error> {
    serde_json::from_str(&request.payload).map_err(|error| Error::BadRequest { message: error.to_string() })
}

fn dedup_key(request: &RequestRow) -> String {
    format!("request:{}", request.id)
}

async fn record_done(
    engine: &EngineHandle,
    request: &RequestRow,
    outcome: &RequestOutcome,
) -> Result<(), Error> {
    let RequestRow { id, actor, reason, .. } = request;
    let message = format!("to start it, by {actor}: {reason}");
    let mut tx = engine.store().begin().await?;
    if RequestRow::done(&mut tx, id, outcome).await? {
        for run in &outcome.started {
            EventRow::append(&mut tx, Subject::Run(*run), EventKind::Requested, &message, engine.now_ms())
                .await?;
        }
    }
    Ok(engine.store().commit(tx).await?)
}

async fn forget_answered(engine: &EngineHandle) -> Result<(), Error> {
    let mut tx = engine.store().begin().await?;
    RequestRow::forget_answered(&mut tx, engine.now_ms().saturating_sub(ANSWER_KEPT_MS)).await?;
    Ok(engine.store().commit(tx).await?)
}
