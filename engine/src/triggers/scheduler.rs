//! Fires the catalog's triggers: cron by the calendar, polls by their interval.

use super::cron::CronTriggers;
use crate::error::Error;
use crate::handle::EngineHandle;
use crate::model::catalog::{TriggerDef, TriggerWhen};
use crate::model::context::{ContextMap, Patch};
use crate::port::packages::PollOutcome;
use crate::triggers::fire::{self, Fired};
use serde_json::{Map, Value};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;
use uuid::Uuid;

/// Pause before schedules are read again, or the workflows of a poll are started again, after the database failed.
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
        match engine.packages().poll(Arc::clone(&trigger)).await {
            PollOutcome::Skip => {}
            PollOutcome::Failed(error) => tracing::warn!(trigger = trigger.name, error, "a poll failed"),
            // A task of its own: a swap, which ends this loop, does not lose what was polled.
            PollOutcome::Fire(frame) => {
                let fired = tokio::spawn(poll_fired(engine.clone(), Arc::clone(&trigger), frame));
                if let Err(error) = fired.await {
                    tracing::error!(trigger = trigger.name, %error, "a fire did not start its workflow");
                }
            }
        }
    }
}

/// Starts what a poll asked for, as soon as the database takes it.
async fn poll_fired(engine: EngineHandle, trigger: Arc<TriggerDef>, frame: Vec<u8>) {
    let key = format!("poll:{}:{}", trigger.name, Uuid::now_v7());
    while let Err(error) = start_polled(&engine, &trigger, &frame, &key).await {
        if matches!(error, Error::Stopped) || engine.is_stopped() {
            return;
        }
        tracing::warn!(
            trigger = trigger.name,
            error = &error as &dyn std::error::Error,
            "a workflow was not started; it is tried again"
        );
        let uptime = engine.clock().uptime();
        engine.clock().sleep_until(uptime + RETRY).await;
    }
}

async fn start_polled(
    engine: &EngineHandle,
    trigger: &TriggerDef,
    frame: &[u8],
    key: &str,
) -> Result<(), Error> {
    let mut context = ContextMap::default();
    match Patch::from_frame(frame) {
        Ok(patch) => context.apply(&patch),
        Err(error) => tracing::warn!(trigger = trigger.name, %error, "a trigger's context does not read"),
    }
    let context: Map<String, Value> = serde_json::from_str(&context.to_json()).unwrap_or_default();
    match fire::start(engine, trigger, key, |_| context.clone()).await? {
        Fired::Started { refused, .. } => fire::note_not_started(engine, &trigger.name, &refused).await,
        // No event: it may be asked many times a second.
        Fired::Skipped => {
            tracing::debug!(trigger = trigger.name, "skipped: its earlier run is still going");
            Ok(())
        }
    }
}
