//! Durable no-op steps on SQLite: file, WAL, synchronous FULL.

use crate::floor;
use crate::package::build;
use crate::row::{Row, median};
use longshore_engine::{Engine, Options as EngineOptions, StartRequest};
use longshore_reconciler::{Options, Reconciler};
use longshore_store::{Access, RunState, Store};
use std::path::Path;
use std::time::{Duration, Instant};

const FLOOR: &str = "the same rows written raw in batches of the same size";

/// Attempts at the same time: the largest batch there can be.
const SLOTS: usize = 512;

/// A host with the measured package loaded.
pub(crate) struct Host {
    pub(crate) engine: Engine,
    reconciler: Reconciler,
}

impl Host {
    pub(crate) async fn open(folder: &Path, archive: &Path) -> anyhow::Result<Self> {
        let store = Store::open_file(&folder.join("bench.db"), Access::Host).await?;
        let packages = Reconciler::packages();
        let options = EngineOptions { slots: SLOTS, triggers: false, ..EngineOptions::default() };
        let engine = Engine::open(store, packages.clone(), options).await?;
        let mut options = Options::new(vec![archive.to_owned()], folder.join("cache"));
        options.probe = None;
        let mut reconciler = Reconciler::new(options, packages, engine.clone());
        reconciler.reconcile().await?;
        Ok(Self { engine, reconciler })
    }

    pub(crate) async fn close(mut self) {
        self.engine.shutdown(Duration::from_secs(5)).await;
        self.reconciler.close().await;
    }

    /// Starts runs of a workflow at once and waits for all.
    async fn all(&self, workflow: &str, runs: usize) -> anyhow::Result<()> {
        let one = || async {
            let request = StartRequest { workflow: workflow.into(), ..StartRequest::default() };
            let run = self.engine.start(request).await?.run;
            let state = self.engine.ended(run).await?;
            anyhow::ensure!(state == RunState::Succeeded, "a run ended as {state:?}");
            Ok(())
        };
        let mut waiting = Vec::with_capacity(runs);
        for _ in 0..runs {
            waiting.push(Box::pin(one()));
        }
        join_all(waiting).await
    }
}

/// Drives futures together; the first error ends it.
async fn join_all<F: Future<Output = anyhow::Result<()>> + Unpin>(mut futures: Vec<F>) -> anyhow::Result<()> {
    std::future::poll_fn(|cx| {
        let mut failed = None;
        futures.retain_mut(|future| match std::pin::Pin::new(future).poll(cx) {
            std::task::Poll::Pending => true,
            std::task::Poll::Ready(result) => {
                failed = failed.take().or(result.err());
                false
            }
        });
        match failed {
            Some(error) => std::task::Poll::Ready(Err(error)),
            None if futures.is_empty() => std::task::Poll::Ready(Ok(())),
            None => std::task::Poll::Pending,
        }
    })
    .await
}

pub(crate) async fn run(smoke: bool) -> anyhow::Result<Vec<Row>> {
    let archive = build()?;
    let rounds = if smoke { 1 } else { 5 };
    let mut rows = Vec::new();
    // What is ready together is a batch: each level of the graphs, as far as there are slots.
    let work: [(&str, &str, usize, usize, &[usize]); 4] = [
        ("runs_200x1", "wf_single", 200, 1, &[200]),
        ("chains_20x10", "wf_chain", 20, 10, &[20]),
        ("fanouts_3x100", "wf_fanout", 3, 100, &[3, 294, 3]),
        ("long", "wf_fanout", if smoke { 3 } else { 300 }, 100, &[SLOTS]),
    ];
    for (name, workflow, runs, tasks, batches) in work {
        let (mut ours, mut floor) = (Vec::new(), Vec::new());
        for _ in 0..if name == "long" { rounds.min(3) } else { rounds } {
            let folder = tempfile::tempdir()?;
            let host = Host::open(folder.path(), &archive).await?;
            let began = Instant::now();
            host.all(workflow, runs).await?;
            ours.push((runs * tasks) as f64 / began.elapsed().as_secs_f64());
            host.close().await;
            floor.push((runs * tasks) as f64 / floor::seconds(runs, tasks, batches).await?);
        }
        rows.push(Row::new(name, "steps/s", median(ours)).floor(median(floor), FLOOR));
    }
    Ok(rows)
}
