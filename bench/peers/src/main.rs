//! `cloacina` 0.11.1 on the work of `longshore-bench`: on SQLite in a file, with its defaults; embedded for `steps`
//! and `latency`, packaged for `dispatch`, `waiting` and `load`. Prints one JSON object of row names and figures.

use anyhow::Context as _;
use cloacina::Context;
use cloacina::executor::WorkflowExecutor;
use cloacina::runner::{DefaultRunner, DefaultRunnerConfig};
use std::time::Instant;

mod dispatch;
mod fanout;
mod load;
mod package;
mod process;
mod waiting;

#[cloacina::workflow(name = "wf_single", description = "one task")]
pub mod wf_single {
    use cloacina::{Context, TaskError, task};

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
    if std::env::var_os("PEER_FOLDER").is_none() {
        // The peer leaves files behind for each library that stays open: in a folder that goes with this process.
        let folder = tempfile::tempdir()?;
        let status = std::process::Command::new(std::env::current_exe()?)
            .args(std::env::args_os().skip(1))
            .env("PEER_FOLDER", folder.path())
            .env("TMPDIR", folder.path())
            .status()?;
        drop(folder);
        std::process::exit(status.code().unwrap_or(1));
    }
    let what = std::env::args().nth(1).context("say the name of a benchmark")?;
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
            for (name, workflow) in
                [("run_1", "wf_single"), ("chain_10", "wf_chain"), ("fanout_100", "wf_fanout")]
            {
                figures.insert(name.into(), one_by_one(workflow, 10).await?.into());
            }
        }
        "dispatch" => figures = dispatch::run().await?,
        "waiting" => figures = waiting::run().await?,
        "load" => figures = load::run().await?,
        "load-prepare" => {
            let paths: Vec<_> = std::env::args_os().skip(2).map(std::path::PathBuf::from).collect();
            let [folder, library] = &paths[..] else { anyhow::bail!("say a folder and a library") };
            load::prepare(folder, library).await?;
        }
        other => anyhow::bail!("nothing is measured under the name {other}"),
    }
    println!("{}", serde_json::Value::from(figures));
    // Without the destructors: libraries that are closed take the code of their threads with them.
    std::process::exit(0)
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
