//! A no-op task of a package, one key touched: through the vtable alone, and through the task that the peer's
//! executor runs.

use crate::package::{self, Hosted, Measured};
use crate::process::median;
use anyhow::{Context as _, ensure};
use cloacina::cloacina_workflow_plugin::fidius_core::wire;
use cloacina::cloacina_workflow_plugin::{METHOD_EXECUTE_TASK, TaskExecutionRequest, TaskExecutionResult};
use cloacina::{Context, Task};
use serde_json::{Map, Value};
use std::collections::{BTreeMap, HashMap};
use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

/// Keys of a context that is measured: what a real one has.
const KEYS: usize = 10;

const ROUNDS: usize = 9;

const SIZES: [(&str, usize, usize); 4] = [
    ("context_empty", 0, 20_000),
    ("context_1kb", 1 << 10, 20_000),
    ("context_100kb", 100 << 10, 2_000),
    ("context_1mb", 1 << 20, 300),
];

/// Calls of one of a thousand tasks: the last takes long to be found.
const CALLS_OF_MANY: usize = 2_000;

pub(crate) async fn run() -> anyhow::Result<Map<String, Value>> {
    let (touches, many) = (package::touches()?, package::many()?);
    let (first, second) = (touches.clone(), many.clone());
    // Off the runtime, as its host calls it.
    let mut figures = tokio::task::spawn_blocking(move || direct(&first, &second)).await??;
    figures.extend(hosted(&touches, &many).await?);
    Ok(figures)
}

/// Without its host.
fn direct(touches: &Path, many: &Path) -> anyhow::Result<Map<String, Value>> {
    let mut figures = Map::new();
    let touches: &'static Measured = Box::leak(Box::new(Measured::open(touches)?));
    for (name, bytes, calls) in SIZES {
        call(&mut figures, touches, name, "touch", bytes, calls)?;
    }
    let many: &'static Measured = Box::leak(Box::new(Measured::open(many)?));
    ensure!(many.tasks.len() == package::MANY, "{} tasks", many.tasks.len());
    for (name, task) in [("first_of_1000", many.tasks.first()), ("last_of_1000", many.tasks.last())] {
        call(&mut figures, many, name, task.context("no tasks")?, 0, CALLS_OF_MANY)?;
    }
    Ok(figures)
}

/// `{name}`: bytes in, bytes out, already encoded.
fn call(
    figures: &mut Map<String, Value>,
    measured: &Measured,
    name: &str,
    task: &str,
    bytes: usize,
    calls: usize,
) -> anyhow::Result<()> {
    let request = TaskExecutionRequest {
        task_name: task.to_owned(),
        context_json: serde_json::to_string(context(bytes).data())?,
        resolved_secrets: BTreeMap::new(),
        task_execution_id: "11111111-1111-4111-8111-111111111111".to_owned(),
    };
    let encoded = wire::serialize(&(request,))?;
    let result: TaskExecutionResult =
        wire::deserialize(&measured.handle.call_method_raw(METHOD_EXECUTE_TASK, &encoded)?)?;
    ensure!(result.success, "{task}: {:?}", result.error);
    let mut raw = Vec::new();
    for _ in 0..ROUNDS {
        raw.push(per_call(calls, || {
            Ok(drop(black_box(measured.handle.call_method_raw(METHOD_EXECUTE_TASK, &encoded)?)))
        })?);
    }
    figures.insert(name.to_owned(), median(raw).into());
    Ok(())
}

fn per_call(calls: usize, mut call: impl FnMut() -> anyhow::Result<()>) -> anyhow::Result<f64> {
    call()?;
    let began = Instant::now();
    for _ in 0..calls {
        call()?;
    }
    Ok(began.elapsed().as_nanos() as f64 / calls as f64)
}

/// `{name}.hosted`: what its executor awaits, one call after the other.
async fn hosted(touches: &Path, many: &Path) -> anyhow::Result<Map<String, Value>> {
    let mut figures = Map::new();
    let touches: &'static Hosted = Box::leak(Box::new(Hosted::open(touches).await?));
    for (name, bytes, calls) in SIZES {
        let task = touches.task("touch")?;
        figures.insert(format!("{name}.hosted"), execute(task, bytes, calls.min(5_000)).await?.into());
    }
    let many: &'static Hosted = Box::leak(Box::new(Hosted::open(many).await?));
    for (name, id) in [("first_of_1000", many.ids().next()), ("last_of_1000", many.ids().last())] {
        let task = many.task(id.context("no tasks")?)?;
        figures.insert(format!("{name}.hosted"), execute(task, 0, CALLS_OF_MANY).await?.into());
    }
    Ok(figures)
}

async fn execute(task: Arc<dyn Task>, bytes: usize, calls: usize) -> anyhow::Result<f64> {
    let mut context = task.execute(context(bytes)).await?;
    let mut readings = Vec::new();
    for _ in 0..ROUNDS {
        let began = Instant::now();
        for _ in 0..calls {
            context = task.execute(context).await?;
        }
        readings.push(began.elapsed().as_nanos() as f64 / calls as f64);
    }
    Ok(median(readings))
}

/// A context of about this many bytes, in as many keys as that of `longshore-bench dispatch`.
fn context(bytes: usize) -> Context<Value> {
    let value = "x".repeat(bytes / KEYS);
    let entry = |i| (format!("k{i}"), if i == 0 { Value::from(1) } else { Value::from(value.as_str()) });
    let entries: HashMap<String, Value> = (0..if bytes == 0 { 0 } else { KEYS }).map(entry).collect();
    Context::from_data(entries)
}
