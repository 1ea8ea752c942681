//! Fires the catalog's triggers: cron by the calendar, polls by their interval.

use super::cron::CronTriggers;
use crate::error::Error;
use crate::handle::{EngineHandle, StartRequest};
use crate::model::catalog::{TriggerDef, TriggerWhen};
use crate::model::context::{ContextMap, Patch};
use crate::port::packages::PollOutcome;
use longshore_store::RunRow;
use serde_json::{Map, Value};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;

/// Pause after which schedules are looked at again that the database did not say.
const RETRY: Duration = Duration::from_secs(1);

/// Longest sleep: bounds what a jump of the clock can delay.
const MAX_SLEEP: Duration = Duration::from_secs(30);

/// Runs until it is aborted.
pub(crate) async fn run(engine: EngineHandle) {
    let mut changed = engine.packages().changed();
    let mut crons = CronTriggers::new(&engine);
    let mut polls: HashMap<String, (Arc<TriggerDef>, AbortOnDrop)> = HashMap::new();
    loop {
        let triggers = engine.packages().catalog().triggers.clone();
        keep_polling(&engine, &triggers, &mut polls);
        let fired = crons.fire_due(&engine, &triggers).await;
        let uptime = engine.clock().uptime();
        let until = |at: i64| Duration::from_millis(at.saturating_sub(engine.now_ms()).max(0) as u64);
        let sleep = match fired {
            Ok(next) => next.map_or(MAX_SLEEP, until).min(MAX_SLEEP),
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "schedules were not looked at");
                RETRY
            }
        };
        tokio::select! {
            () = engine.clock().sleep_until(uptime + sleep) => {}
            result = changed.changed() => if result.is_err() { return },
        }
    }
}

/// Ends a poll loop when its trigger goes.
struct AbortOnDrop(JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

fn keep_polling(
    engine: &EngineHandle,
    triggers: &[Arc<TriggerDef>],
    polls: &mut HashMap<String, (Arc<TriggerDef>, AbortOnDrop)>,
) {
    polls.retain(|_, (running, _)| triggers.iter().any(|t| t == running));
    for trigger in triggers {
        let TriggerWhen::Poll { interval_ms } = trigger.when else { continue };
        if !polls.contains_key(&trigger.name) {
            let task = tokio::spawn(poll_loop(engine.clone(), Arc::clone(trigger), interval_ms));
            polls.insert(trigger.name.clone(), (Arc::clone(trigger), AbortOnDrop(task)));
        }
    }
}

async fn poll_loop(engine: EngineHandle, trigger: Arc<TriggerDef>, interval_ms: u64) {
    let interval = Duration::from_millis(interval_ms);
    let mut next = engine.clock().uptime();
    loop {
        engine.clock().sleep_until(next).await;
        next = engine.clock().uptime().saturating_add(interval);
        let fired = match engine.packages().poll(Arc::clone(&trigger)).await {
            PollOutcome::Skip => continue,
            PollOutcome::Failed(error) => {
                tracing::warn!(trigger = trigger.name, error, "a poll failed");
                continue;
            }
            PollOutcome::Fire(frame) => poll_fired(&engine, &trigger, &frame).await,
        };
        if let Err(error) = fired {
            tracing::warn!(
                trigger = trigger.name,
                error = &error as &dyn std::error::Error,
                "a trigger did not start its workflow"
            );
        }
    }
}

async fn poll_fired(engine: &EngineHandle, trigger: &TriggerDef, frame: &[u8]) -> Result<(), Error> {
    let origin = format!("poll:{}", trigger.name);
    if !trigger.allow_concurrent && RunRow::origin_is_busy(engine.store(), &origin).await? {
        tracing::debug!(trigger = trigger.name, "skipped: its earlier run is still going");
        return Ok(());
    }
    let mut context = ContextMap::default();
    match Patch::from_frame(frame) {
        Ok(patch) => context.apply(&patch),
        Err(error) => tracing::warn!(trigger = trigger.name, %error, "a trigger's context does not read"),
    }
    let params: Map<String, Value> = serde_json::from_str(&context.to_json()).unwrap_or_default();
    let TriggerDef { name, digest, workflow, .. } = trigger;
    let mut started = Ok(());
    for request in engine.requests((name, digest, workflow), &origin, None) {
        let request = StartRequest { params: params.clone(), ..request };
        started = started.and(engine.start(request).await.map(drop));
    }
    started
}
