//! Four years of Seattle weather as a workflow.
//!
//! ```text
//! read -> validate -+-> monthly ---+-> report -> publish
//!                   +-> extremes --+
//!                   +-> kinds -----+-> plot
//!                   +-> frost (only when a day was below -5 °C)
//! ```
//!
//! `publish` stands for a service that is busy now and then: it fails twice and succeeds at the third attempt.
#![forbid(unsafe_code)]

mod chart;
mod observations;

longshore::package!();

#[longshore::workflow(
    name = "weather",
    description = "Report and plot of four years of Seattle weather",
    author = "The Longshore authors",
    triggers = ["every_morning"],
    params(out: String = "target/weather", busy: u32 = 2u32)
)]
pub mod weather {
    use crate::chart;
    use crate::observations::{self, Day, Extremes, Month};
    use longshore::{Context, TaskError, task};
    use serde_json::Value;
    use std::collections::BTreeMap;
    use std::path::PathBuf;

    /// what: reads the measurements
    /// why: everything else works on them
    #[task]
    pub async fn read(context: &mut Context<Value>) -> Result<(), TaskError> {
        let days = observations::read().map_err(|e| TaskError::failed(e.to_string()))?;
        tracing::info!(days = days.len(), "read the measurements");
        context.insert_as("days", days)
    }

    /// what: refuses days that cannot be
    #[task(dependencies = ["read"], retry_attempts = 1)]
    pub async fn validate(context: &mut Context<Value>) -> Result<(), TaskError> {
        let days: Vec<Day> = context.get_required("days")?;
        if let Some(day) = days.iter().find(|day| !day.is_possible()) {
            return Err(TaskError::ValidationFailed { message: format!("{} cannot be: {day:?}", day.date) });
        }
        context.insert_as("day_count", days.len())?;
        let coldest = days.iter().map(|day| day.temp_min).fold(f64::INFINITY, f64::min);
        context.insert_as("coldest", coldest)
    }

    /// what: rain and temperature of each month of the year
    #[task(dependencies = ["validate"])]
    pub async fn monthly(context: &mut Context<Value>) -> Result<(), TaskError> {
        let days: Vec<Day> = context.get_required("days")?;
        context.insert_as("monthly", Month::all(&days))
    }

    /// what: the hottest, coldest, wettest and windiest day
    #[task(dependencies = ["validate"])]
    pub async fn extremes(context: &mut Context<Value>) -> Result<(), TaskError> {
        let days: Vec<Day> = context.get_required("days")?;
        context.insert_as("extremes", Extremes::of(&days))
    }

    /// what: how many days were sunny, rainy, snowy, ..
    #[task(dependencies = ["validate"])]
    pub async fn kinds(context: &mut Context<Value>) -> Result<(), TaskError> {
        let days: Vec<Day> = context.get_required("days")?;
        let mut kinds: BTreeMap<&str, u32> = BTreeMap::new();
        for day in &days {
            *kinds.entry(&day.weather).or_default() += 1;
        }
        context.insert_as("kinds", kinds)
    }

    /// what: lists the days of hard frost
    /// why: only worth a look when there was any
    #[task(dependencies = ["validate"], trigger_rules = context_value("coldest", less_than, -5))]
    pub async fn frost(context: &mut Context<Value>) -> Result<(), TaskError> {
        let days: Vec<Day> = context.get_required("days")?;
        let frosty: Vec<&str> = days.iter().filter(|d| d.temp_min < -5.0).map(|d| d.date.as_str()).collect();
        context.insert_as("frost_days", frosty)
    }

    /// what: writes the report as JSON
    #[task(dependencies = ["monthly", "extremes", "kinds"])]
    pub async fn report(context: &mut Context<Value>) -> Result<(), TaskError> {
        let mut report = serde_json::Map::new();
        for key in ["day_count", "monthly", "extremes", "kinds"] {
            report.insert(key.to_owned(), context.get_required(key)?);
        }
        let text = serde_json::to_string_pretty(&report).map_err(|e| TaskError::failed(e.to_string()))?;
        let path = write(context, "report.json", &text)?;
        context.insert_as("report", path)
    }

    /// what: draws the year as an SVG
    #[task(dependencies = ["monthly"])]
    pub async fn plot(context: &mut Context<Value>) -> Result<(), TaskError> {
        let months: Vec<Month> = context.get_required("monthly")?;
        let path = write(context, "plot.svg", &chart::svg(&months))?;
        context.insert_as("plot", path)
    }

    /// what: hands the report to a service that is busy now and then
    #[task(
        dependencies = ["report", "plot"],
        retry_attempts = 5,
        retry_backoff = "fixed",
        retry_delay_ms = 50,
        retry_condition = "transient"
    )]
    pub async fn publish(context: &mut Context<Value>) -> Result<(), TaskError> {
        let busy: u32 = context.get_required("busy")?;
        let calls = count_call(context)?;
        if calls <= busy {
            return Err(TaskError::failed(format!("the service is temporarily unavailable (call {calls})")));
        }
        // The measurements have served: the run's record need not carry them on.
        context.remove("days");
        context.insert_as("published_after_calls", calls)
    }

    /// Counts the calls of this run outside of it, as a service would see them: an attempt that fails leaves
    /// no trace in the context.
    fn count_call(context: &Context<Value>) -> Result<u32, TaskError> {
        let path = folder(context)?.join("publish.calls");
        let report: String = context.get_required("report")?;
        let written = modified(&report);
        let before: Option<(u128, u32)> = std::fs::read_to_string(&path).ok().and_then(|text| {
            let (stamp, calls) = text.split_once(' ')?;
            Some((stamp.parse().ok()?, calls.parse().ok()?))
        });
        let calls = before.filter(|(stamp, _)| *stamp == written).map_or(1, |(_, calls)| calls + 1);
        std::fs::write(&path, format!("{written} {calls}")).map_err(|e| TaskError::failed(e.to_string()))?;
        Ok(calls)
    }

    fn modified(path: &str) -> u128 {
        let modified = std::fs::metadata(path).and_then(|m| m.modified()).ok();
        modified.and_then(|t| t.duration_since(std::time::UNIX_EPOCH).ok()).map_or(0, |d| d.as_nanos())
    }

    fn folder(context: &Context<Value>) -> Result<PathBuf, TaskError> {
        let out: String = context.get_required("out")?;
        std::fs::create_dir_all(&out).map_err(|e| TaskError::failed(format!("cannot make {out}: {e}")))?;
        Ok(out.into())
    }

    fn write(context: &Context<Value>, name: &str, text: &str) -> Result<String, TaskError> {
        let path = folder(context)?.join(name);
        std::fs::write(&path, text)
            .map_err(|e| TaskError::failed(format!("cannot write {}: {e}", path.display())))?;
        Ok(path.display().to_string())
    }
}

/// Every morning at six, as Seattle counts.
#[longshore::trigger(on = "weather", cron = "0 6 * * *", timezone = "America/Los_Angeles")]
pub async fn every_morning() {}
