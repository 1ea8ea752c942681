//! Fires cron triggers by the calendar.
//!
//! A fire carries the dedup key (trigger, instant), and the next instant is recorded after the fire: dying between the
//! two fires the same instant again, which finds its run already there.

use crate::decide::{Fire, MAX_COUNTED, Schedule};
use crate::error::Error;
use crate::handle::EngineHandle;
use crate::model::catalog::{TriggerDef, TriggerWhen};
use crate::triggers::fire::{self, Fired};
use longshore_store::{EventKind, EventRow, ScheduleRow, Subject};
use serde_json::Map;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

/// The time after which a trigger is looked at again that failed, in milliseconds. Others do not wait for it.
const RETRY_MS: i64 = 1000;

/// The time that the packages of a host get to load. A schedule whose trigger is not there by then was removed while no
/// host ran: when it comes back, nothing is made up for.
const LOAD_TIMEOUT: Duration = Duration::from_secs(600);

/// The cron triggers of a host.
#[derive(Debug)]
pub(super) struct CronTriggers {
    /// Each text that was met, parsed once; none when it does not read.
    parsed: HashMap<(String, String), Option<Schedule>>,
    /// Triggers that were there in this process.
    seen: BTreeSet<String>,
    /// When it began, on the clock's uptime.
    since: Duration,
}

impl CronTriggers {
    pub(super) fn new(engine: &EngineHandle) -> Self {
        Self { parsed: HashMap::new(), seen: BTreeSet::new(), since: engine.clock().uptime() }
    }

    /// Fires what is due and returns when to look again. A trigger that fails is looked at again soon.
    pub(super) async fn fire_due(
        &mut self,
        engine: &EngineHandle,
        triggers: &[Arc<TriggerDef>],
    ) -> Result<Option<i64>, Error> {
        let rows = ScheduleRow::all(engine.store()).await?;
        let rows: HashMap<&str, &ScheduleRow> = rows.iter().map(|row| (row.name.as_str(), row)).collect();
        let mut earliest = None;
        let mut current = BTreeSet::new();
        for trigger in triggers {
            let TriggerWhen::Cron { expression, timezone } = &trigger.when else { continue };
            current.insert(trigger.name.as_str());
            let Some(schedule) = self.schedule(&trigger.name, expression, timezone) else { continue };
            let same = |row: &&&ScheduleRow| row.expression == *expression && row.timezone == *timezone;
            let row = rows.get(trigger.name.as_str()).filter(same);
            let entry = Entry { engine, trigger, schedule, expression, timezone };
            let next = entry.fire(row.and_then(|row| row.next_at), row.is_some()).await;
            let next = next.unwrap_or_else(|error| {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(trigger = trigger.name, error, "a schedule is looked at again soon");
                Some(engine.now_ms().saturating_add(RETRY_MS))
            });
            earliest = earliest.into_iter().chain(next).min();
        }
        self.forget_removed(engine, &current, rows.into_keys()).await?;
        Ok(earliest)
    }

    fn schedule(&mut self, trigger: &str, expression: &str, timezone: &str) -> Option<&Schedule> {
        let texts = (expression.to_owned(), timezone.to_owned());
        let parse = || match Schedule::parse(expression, timezone) {
            Ok(schedule) => Some(schedule),
            Err(error) => {
                tracing::error!(trigger, %error, "a schedule does not read");
                None
            }
        };
        self.parsed.entry(texts).or_insert_with(parse).as_ref()
    }

    /// Deletes the schedules of triggers that were removed: what passes meanwhile is not made up for when they come back.
    /// A trigger that has not been there in this process may still be loading.
    async fn forget_removed(
        &mut self,
        engine: &EngineHandle,
        current: &BTreeSet<&str>,
        recorded: impl Iterator<Item = &str>,
    ) -> Result<(), Error> {
        let loaded = engine.clock().uptime() >= self.since + LOAD_TIMEOUT;
        let is_removed = |name: &&str| !current.contains(name) && (loaded || self.seen.contains(*name));
        let removed: Vec<&str> = recorded.filter(is_removed).collect();
        if !removed.is_empty() {
            let mut tx = engine.store().begin().await?;
            for name in &removed {
                ScheduleRow::delete(&mut tx, name).await?;
            }
            engine.store().commit(tx).await?;
        }
        self.seen = current.iter().map(|name| (*name).to_owned()).collect();
        Ok(())
    }
}

/// A trigger with its schedule.
struct Entry<'t> {
    engine: &'t EngineHandle,
    trigger: &'t TriggerDef,
    schedule: &'t Schedule,
    expression: &'t str,
    timezone: &'t str,
}

impl Entry<'_> {
    /// Fires when it is due. Returns the next instant, which is recorded.
    async fn fire(&self, recorded: Option<i64>, is_recorded: bool) -> Result<Option<i64>, Error> {
        let now = self.engine.now_ms();
        let coming = self.schedule.next_after(now);
        if !is_recorded {
            self.record(coming, &[]).await?;
            return Ok(coming);
        }
        let Some(next) = recorded else { return Ok(None) };
        let Some(due) = self.schedule.due(next, now) else {
            // A clock that once ran ahead recorded an instant that is later than the one to come.
            let earlier = coming.filter(|coming| *coming < next);
            if let Some(earlier) = earlier {
                self.record(Some(earlier), &[]).await?;
            }
            return Ok(Some(earlier.unwrap_or(next)));
        };
        let mut notes: Vec<_> = missed(due).map(|text| (EventKind::Missed, text)).into_iter().collect();
        notes.extend(self.start(due.instant).await?);
        self.record(due.next, &notes).await?;
        Ok(due.next)
    }

    /// Starts the workflows for an instant. Returns why some were not started.
    async fn start(&self, instant: i64) -> Result<Vec<(EventKind, String)>, Error> {
        let key = format!("{}:{instant}", self.trigger.origin());
        Ok(match fire::start(self.engine, self.trigger, &key, |_| Map::new()).await? {
            Fired::Skipped => vec![(EventKind::Skipped, "its earlier run is still going".to_owned())],
            Fired::Started { refused, .. } => {
                refused.iter().map(|error| (EventKind::NotStarted, fire::why_not_started(error))).collect()
            }
        })
    }

    /// Records the next instant, and what there is to say of this one.
    async fn record(&self, next_at: Option<i64>, notes: &[(EventKind, String)]) -> Result<(), Error> {
        let row = ScheduleRow {
            name: self.trigger.name.clone(),
            workflow: self.trigger.workflow.clone(),
            expression: self.expression.to_owned(),
            timezone: self.timezone.to_owned(),
            next_at,
        };
        let now = self.engine.now_ms();
        let mut tx = self.engine.store().begin().await?;
        for (kind, message) in notes {
            let (trigger, what) = (&self.trigger.name, kind.as_str());
            match kind {
                EventKind::NotStarted => tracing::warn!(trigger, message, "{what}"),
                _ => tracing::info!(trigger, message, "{what}"),
            }
            EventRow::append(&mut tx, Subject::Schedule(&self.trigger.name), *kind, message, now).await?;
        }
        row.put(&mut tx, now).await?;
        Ok(self.engine.store().commit(tx).await?)
    }
}

fn missed(due: Fire) -> Option<String> {
    let more = if due.missed == MAX_COUNTED { " or more" } else { "" };
    let text =
        format!("{}{more} earlier fires passed while no host ran; fired once for the latest", due.missed);
    (due.missed > 0).then_some(text)
}
