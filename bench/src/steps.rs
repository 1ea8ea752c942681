//! Durable no-op steps on SQLite: file, WAL, synchronous FULL.

use crate::floor;
use crate::host::{self, SLOTS};
use crate::package::build;
use crate::row::{Row, median};
use longshore_engine::{EngineHandle, StartRequest};
use longshore_reconciler::Host;
use longshore_store::RunState;
use std::path::Path;
use std::time::{Duration, Instant};

const FLOOR: &str = "the same rows written raw in batches of the same size";

/// A host with the measured package loaded.
pub(crate) async fn host_with(folder: &Path, archive: &Path) -> anyhow::Result<Host> {
    let host = host::open(folder, archive.to_owned(), None).await?;
    host.settle().await?;
    Ok(host)
}

/// Starts runs of a workflow at once and waits for all.
async fn all(engine: &EngineHandle, workflow: &str, runs: usize) -> anyhow::Result<()> {
    let one = || async {
        let request = StartRequest { workflow: workflow.into(), ..StartRequest::default() };
        let run = engine.start(request).await?.run;
        let state = engine.ended(run).await?;
        anyhow::ensure!(state == RunState::Succeeded, "a run ended as {state:?}");
        Ok(())
    };
    let mut waiting = Vec::with_capacity(runs);
    for _ in 0..runs {
        waiting.push(Box::pin(one()));
    }
    join_all(waiting).await
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
            let host = host_with(folder.path(), &archive).await?;
            let began = Instant::now();
            all(host.engine(), workflow, runs).await?;
            ours.push((runs * tasks) as f64 / began.elapsed().as_secs_f64());
            host.shutdown(Duration::from_secs(5)).await;
            floor.push((runs * tasks) as f64 / floor::seconds(runs, tasks, batches).await?);
        }
        rows.push(Row::new(name, "steps/s", median(ours)).floor(median(floor), FLOOR));
    }
    Ok(rows)
}
