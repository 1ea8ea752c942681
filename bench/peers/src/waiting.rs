//! Tasks that sleep for two seconds, at once: packaged in its host, and embedded in its runner.

use crate::package::{self, Hosted};
use cloacina::Context;
use cloacina::executor::WorkflowExecutor;
use cloacina::runner::{DefaultRunner, DefaultRunnerConfig};
use serde_json::{Map, Value};
use std::time::Instant;

/// It runs them one after the other, so that ten thousand would take more than five hours.
const FEW: usize = 5;

#[cloacina::workflow(name = "wf_embedded_sleeps", description = "two seconds")]
pub mod wf_embedded_sleeps {
    use cloacina::{Context, TaskError, task};

    #[task(id = "embedded_sleeper", dependencies = [])]
    pub async fn embedded_sleeper(_context: &mut Context<serde_json::Value>) -> Result<(), TaskError> {
        tokio::time::sleep(std::time::Duration::from_secs(2)).await;
        Ok(())
    }
}

pub(crate) async fn run() -> anyhow::Result<Map<String, Value>> {
    let library = package::sleeps()?;
    let mut figures = Map::new();

    // Packaged: the host holds a lock of the package while one of its tasks runs.
    let hosted: &'static Hosted = Box::leak(Box::new(Hosted::open(&library).await?));
    let task = hosted.task("sleeper")?;
    let began = Instant::now();
    let all = (0..FEW).map(|_| {
        let task = task.clone();
        tokio::spawn(async move { task.execute(Context::new()).await.map(drop) })
    });
    for result in futures::future::join_all(all.collect::<Vec<_>>()).await {
        result??;
    }
    figures.insert(format!("sleepers_10000.seconds_for_{FEW}_packaged"), began.elapsed().as_secs_f64().into());

    // Embedded: on SQLite its scheduler awaits each task before it dispatches the next.
    let folder = tempfile::tempdir()?;
    let config =
        DefaultRunnerConfig::builder().enable_registry_reconciler(false).max_concurrent_tasks(FEW).build()?;
    let url = folder.path().join("peer.db").display().to_string();
    let runner = DefaultRunner::with_config(&url, config).await?;
    let began = Instant::now();
    let all = (0..FEW).map(|_| runner.execute("wf_embedded_sleeps", Context::new()));
    for result in futures::future::join_all(all).await {
        result?;
    }
    figures.insert(format!("sleepers_10000.seconds_for_{FEW}_embedded"), began.elapsed().as_secs_f64().into());
    runner.shutdown().await?;
    Ok(figures)
}
