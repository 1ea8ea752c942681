//! `cloacina` 0.11.1 on the work of `longshore-bench steps` and `longshore-bench latency`: embedded, on SQLite in
//! a file, with its defaults. Prints one JSON object of row names and figures.

use anyhow::Context as _;
use cloacina::executor::WorkflowExecutor;
use cloacina::runner::{DefaultRunner, DefaultRunnerConfig};
use cloacina::Context;
use std::time::Instant;

mod fanout;

#[cloacina::workflow(name = "wf_single", description = "one task")]
pub mod wf_single {
    use cloacina::{task, Context, TaskError};

    #[task(id = "only", dependencies = [])]
    pub async fn only(_context: &mut Context<serde_json::Value>) -> Result<(), TaskError> {
        Ok(())
    }
}

macro_rules! chain {
    ($first:ident $(, $task:ident after $before:literal)*) => {
        #[cloacina::workflow(name = "wf_chain", description = "ten in a row")]
        pub mod wf_chain {
            use cloacina::{task, Context, TaskError};

            #[task(id = "c0", dependencies = [])]
            pub async fn $first(_context: &mut Context<serde_json::Value>) -> Result<(), TaskError> {
                Ok(())
            }

            $(
                #[task(dependencies = [$before])]
                pub async fn $task(_context: &mut Context<serde_json::Value>) -> Result<(), TaskError> {
                    Ok(())
                }
            )*
        }
    };
}

chain!(c0, c1 after "c0", c2 after "c1", c3 after "c2", c4 after "c3", c5 after "c4", c6 after "c5", c7 after "c6", c8 after "c7", c9 after "c8");

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let what = std::env::args().nth(1).context("say `steps` or `latency`")?;
    let mut figures = serde_json::Map::new();
    match what.as_str() {
        "steps" => {
            for (name, workflow, runs, tasks) in [
                ("runs_200x1", "wf_single", 200, 1),
                ("chains_20x10", "wf_chain", 20, 10),
                ("fanouts_3x100", "wf_fanout", 3, 100),
            ] {
                let seconds = together(workflow, runs).await?;
                figures.insert(name.into(), ((runs * tasks) as f64 / seconds).into());
            }
        }
        "latency" => {
            for (name, workflow) in [("run_1", "wf_single"), ("chain_10", "wf_chain"), ("fanout_100", "wf_fanout")] {
                figures.insert(name.into(), one_by_one(workflow, 10).await?.into());
            }
        }
        other => anyhow::bail!("nothing is measured under the name {other}"),
    }
    println!("{}", serde_json::Value::from(figures));
    Ok(())
}

async fn runner(folder: &std::path::Path) -> anyhow::Result<DefaultRunner> {
    let config = DefaultRunnerConfig::builder().enable_registry_reconciler(false).build()?;
    let url = folder.join("peer.db").display().to_string();
    Ok(DefaultRunner::with_config(&url, config).await?)
}

/// Seconds for runs that are started at once.
async fn together(workflow: &str, runs: usize) -> anyhow::Result<f64> {
    let folder = tempfile::tempdir()?;
    let runner = runner(folder.path()).await?;
    let began = Instant::now();
    let all = (0..runs).map(|_| runner.execute(workflow, Context::new()));
    for result in futures::future::join_all(all).await {
        result?;
    }
    let seconds = began.elapsed().as_secs_f64();
    runner.shutdown().await?;
    Ok(seconds)
}

/// The median of runs that are started one after the other, in milliseconds.
async fn one_by_one(workflow: &str, runs: usize) -> anyhow::Result<f64> {
    let folder = tempfile::tempdir()?;
    let runner = runner(folder.path()).await?;
    let mut readings = Vec::with_capacity(runs);
    for _ in 0..runs {
        let began = Instant::now();
        runner.execute(workflow, Context::new()).await?;
        readings.push(began.elapsed().as_secs_f64() * 1000.0);
    }
    runner.shutdown().await?;
    readings.sort_by(f64::total_cmp);
    Ok(readings[runs / 2])
}
