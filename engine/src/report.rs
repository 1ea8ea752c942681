//! A run as people and programs read it.

use crate::error::Error;
use crate::model::context::{ContextMap, Patch};
use longshore_store::{
    AttemptResult, AttemptRow, Digest, HostId, PackageName, RunId, RunRow, RunState, Store, TaskRow,
    TaskState, TenantId,
};
use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;

/// A run with its tasks and its context.
#[derive(Debug, Serialize)]
pub struct RunReport {
    /// Its id.
    pub run_id: RunId,
    /// The workflow.
    pub workflow: String,
    /// The tenant.
    pub tenant: TenantId,
    /// The package.
    pub package: PackageName,
    /// The package's version.
    pub version: String,
    /// The digest it is pinned to.
    pub digest: Digest,
    /// Where it is.
    pub state: RunState,
    /// Its origin.
    pub origin: String,
    /// Why it failed.
    pub error: Option<String>,
    /// Tasks that were skipped because something above them failed: also a run that succeeded may have some.
    pub skipped_tasks: i64,
    /// When it was started, in milliseconds since 1970; times are ISO 8601 in JSON.
    #[serde(serialize_with = "longshore_store::iso::time")]
    pub created_at: i64,
    /// When it ended.
    #[serde(serialize_with = "longshore_store::iso::maybe")]
    pub finished_at: Option<i64>,
    /// Its tasks, in topological order.
    pub tasks: Vec<TaskReport>,
    /// The context after all tasks that ended so far.
    pub context: Box<RawValue>,
}

/// A task of a run.
#[derive(Debug, Serialize)]
pub struct TaskReport {
    /// The id.
    pub id: String,
    /// Where it is.
    pub state: TaskState,
    /// Attempts begun.
    pub attempts: i64,
    /// Why it failed or was skipped.
    pub error: Option<String>,
    /// When the last attempt began.
    #[serde(serialize_with = "longshore_store::iso::maybe")]
    pub started_at: Option<i64>,
    /// When it ended.
    #[serde(serialize_with = "longshore_store::iso::maybe")]
    pub finished_at: Option<i64>,
    /// Every attempt that ended.
    pub history: Vec<AttemptReport>,
}

/// An attempt that ended.
#[derive(Debug, Serialize)]
pub struct AttemptReport {
    /// From 1.
    pub attempt: i64,
    /// Its end.
    pub outcome: AttemptResult,
    /// The host it ran on.
    pub host: HostId,
    /// When it began.
    #[serde(serialize_with = "longshore_store::iso::time")]
    pub started_at: i64,
    /// When it ended.
    #[serde(serialize_with = "longshore_store::iso::time")]
    pub finished_at: i64,
    /// Message, causes and backtrace.
    pub error: Option<Value>,
}

impl RunReport {
    /// Reads a run from the database.
    ///
    /// # Errors
    /// [`Error::UnknownRun`], [`Error::Store`].
    pub async fn load(store: &Store, run: RunId) -> Result<Self, Error> {
        let row = RunRow::find(store, run).await?.ok_or(Error::UnknownRun { run })?;
        let tasks = TaskRow::of_run(store, run).await?;
        let attempts = AttemptRow::of_run(store, run).await?;
        let context = final_context(&row, &tasks)?;
        let context = RawValue::from_string(context.to_json()).map_err(|_| bad_context(&row))?;
        Ok(Self {
            run_id: row.id,
            workflow: row.workflow,
            tenant: row.tenant,
            package: row.package,
            version: row.version,
            digest: row.digest,
            state: row.state,
            origin: row.origin,
            error: row.error,
            skipped_tasks: row.skipped_tasks,
            created_at: row.created_at,
            finished_at: row.finished_at,
            tasks: tasks.into_iter().map(|task| task_report(task, &attempts)).collect(),
            context,
        })
    }
}

fn bad_context(row: &RunRow) -> Error {
    let (key, value) = (row.id.to_string(), row.input.clone());
    Error::Store(longshore_store::Error::BadRow { table: "runs", key, column: "input".into(), value })
}

/// The start context and every patch, in topological order.
fn final_context(row: &RunRow, tasks: &[TaskRow]) -> Result<ContextMap, Error> {
    let mut context = ContextMap::from_json(&row.input).map_err(|_| bad_context(row))?;
    for task in tasks {
        let Some(text) = &task.patch else { continue };
        let patch = Patch::from_json(text).map_err(|_| {
            let (key, value) = (format!("{} {}", row.id, task.key.idx), text.clone());
            longshore_store::Error::BadRow { table: "tasks", key, column: "patch".into(), value }
        })?;
        context.apply(&patch);
    }
    Ok(context)
}

fn task_report(task: TaskRow, attempts: &[AttemptRow]) -> TaskReport {
    let own = attempts.iter().filter(|a| a.idx == task.key.idx).map(|a| AttemptReport {
        attempt: a.attempt,
        outcome: a.outcome,
        host: a.host,
        started_at: a.started_at,
        finished_at: a.finished_at,
        error: a.error.as_ref().and_then(|text| serde_json::from_str(text).ok()),
    });
    TaskReport {
        history: own.collect(),
        id: task.id,
        state: task.state,
        attempts: task.attempt,
        error: task.error,
        started_at: task.started_at,
        finished_at: task.finished_at,
    }
}
