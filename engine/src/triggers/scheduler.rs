//! Fires the catalog's triggers: cron by the calendar, polls by their interval.
//!
//! A cron fire carries the dedup key (trigger, instant), and the next instant is recorded after the fire:
//! dying between the two fires the same instant again, which finds its run already there.

use crate::decide::Schedule;
use crate::error::Error;
use crate::handle::EngineHandle;
use crate::handle::StartRequest;
use crate::model::catalog::{TriggerDef, TriggerWhen};
use crate::model::context::{ContextMap, Patch};
use crate::port::packages::PollOutcome;
use longshore_store::{EventKind, EventRow, RunRow, ScheduleRow, Subject};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;

/// Longest sleep: bounds what a jump of the clock can delay.
const MAX_SLEEP: Duration = Duration::from_secs(30);

/// Runs until it is aborted.
pub(crate) async fn run(engine: EngineHandle) {
    let mut changed = engine.packages().changed();
    let mut polls: HashMap<String, (Arc<TriggerDef>, AbortOnDrop)> = HashMap::new();
    loop {
        let triggers = engine.packages().catalog().triggers.clone();
        keep_polling(&engine, &triggers, &mut polls);
        let next = match fire_due(&engine, &triggers).await {
            Ok(next) => next,
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "schedules were not looked at");
                None
            }
        };
        let uptime = engine.clock().uptime();
        let until = |at: i64| Duration::from_millis(at.saturating_sub(engine.now_ms()).max(0) as u64);
        let sleep = next.map_or(MAX_SLEEP, until).min(MAX_SLEEP);
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
    let params = serde_json::from_str(&context.to_json()).unwrap_or_default();
    let request =
        StartRequest { workflow: trigger.workflow.clone(), params, origin, ..StartRequest::default() };
    engine.start(request).await.map(drop)
}

/// Fires what is due and returns when to look again.
///
/// The row of a trigger that is not in the catalog stays: its package may not be loaded yet, and what it
/// missed meanwhile is made up for when it is.
async fn fire_due(engine: &EngineHandle, triggers: &[Arc<TriggerDef>]) -> Result<Option<i64>, Error> {
    let recorded = ScheduleRow::all(engine.store()).await?;
    let mut earliest = None;
    for trigger in triggers {
        let TriggerWhen::Cron { expression, timezone } = &trigger.when else { continue };
        let schedule = match Schedule::parse(expression, timezone) {
            Ok(schedule) => schedule,
            Err(error) => {
                tracing::error!(trigger = trigger.name, %error, "a schedule does not read");
                continue;
            }
        };
        let same = |row: &&ScheduleRow| {
            row.name == trigger.name && row.expression == *expression && row.timezone == *timezone
        };
        let next = match recorded.iter().find(same) {
            Some(row) => fire(engine, trigger, &schedule, row).await?,
            None => {
                let next = schedule.next_after(engine.now_ms());
                record(engine, trigger, expression, timezone, next).await?;
                next
            }
        };
        earliest = earliest.into_iter().chain(next).min();
    }
    Ok(earliest)
}

async fn record(
    engine: &EngineHandle,
    trigger: &TriggerDef,
    expression: &str,
    timezone: &str,
    next_at: Option<i64>,
) -> Result<(), Error> {
    let row = ScheduleRow {
        name: trigger.name.clone(),
        workflow: trigger.workflow.clone(),
        expression: expression.to_owned(),
        timezone: timezone.to_owned(),
        next_at,
    };
    let mut tx = engine.store().begin().await?;
    row.put(&mut tx, engine.now_ms()).await?;
    Ok(engine.store().commit(tx).await?)
}

async fn fire(
    engine: &EngineHandle,
    trigger: &TriggerDef,
    schedule: &Schedule,
    row: &ScheduleRow,
) -> Result<Option<i64>, Error> {
    let Some(next) = row.next_at else { return Ok(None) };
    let Some(due) = schedule.due(next, engine.now_ms()) else { return Ok(Some(next)) };
    if due.missed > 0 {
        let message =
            format!("{} earlier fires passed while no host ran; fired once for the latest", due.missed);
        note(engine, trigger, EventKind::Missed, &message).await?;
    }
    let origin = format!("cron:{}", trigger.name);
    if !trigger.allow_concurrent && RunRow::origin_is_busy(engine.store(), &origin).await? {
        note(engine, trigger, EventKind::Skipped, "its earlier run is still going").await?;
    } else {
        let request = StartRequest {
            workflow: trigger.workflow.clone(),
            dedup_key: Some(format!("{origin}:{}", due.instant)),
            origin,
            ..StartRequest::default()
        };
        match engine.start(request).await {
            Ok(_) => {}
            Err(error @ (Error::Store(_) | Error::NotRecorded { .. } | Error::Stopped)) => return Err(error),
            // A workflow that nobody has, or that wants params: the next fire may find it otherwise.
            Err(error) => {
                note(engine, trigger, EventKind::NotStarted, &format!("{}: {error}", error.code())).await?
            }
        }
    }
    record(engine, trigger, &row.expression, &row.timezone, due.next).await?;
    Ok(due.next)
}

async fn note(
    engine: &EngineHandle,
    trigger: &TriggerDef,
    kind: EventKind,
    message: &str,
) -> Result<(), Error> {
    tracing::info!(trigger = trigger.name, kind = kind.as_str(), message);
    let subject = Subject::Schedule(&trigger.name);
    let mut tx = engine.store().begin().await?;
    EventRow::append(&mut tx, subject, kind, message, engine.now_ms()).await?;
    Ok(engine.store().commit(tx).await?)
}
