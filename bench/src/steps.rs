//! Durable no-op steps on SQLite: file, WAL, synchronous FULL.

use crate::package::build;
use crate::row::{Row, median};
use anyhow::Context;
use longshore_engine::{Engine, Options as EngineOptions, StartRequest};
use longshore_reconciler::{Options, Reconciler};
use longshore_store::{
    Access, Claimed, HostId, NewAttempt, NewRun, NewTask, RunCounts, RunId, RunRow, RunState, Store,
    TaskState, TaskUpdate,
};
use std::collections::HashMap;
use std::path::Path;
use std::time::{Duration, Instant};

const FLOOR: &str = "the same rows through the same statements in batches of 100, without an engine";

/// Rows of a batch of the floor.
const BATCH: i64 = 100;

/// A host with the measured package loaded.
pub(crate) struct Host {
    pub(crate) engine: Engine,
    reconciler: Reconciler,
}

impl Host {
    pub(crate) async fn open(folder: &Path, archive: &Path) -> anyhow::Result<Self> {
        let store = Store::open_file(&folder.join("bench.db"), Access::Host).await?;
        let packages = Reconciler::packages();
        let options = EngineOptions { slots: 512, triggers: false, ..EngineOptions::default() };
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
    for (name, workflow, runs, tasks) in [
        ("runs_200x1", "wf_single", 200, 1),
        ("chains_20x10", "wf_chain", 20, 10),
        ("fanouts_3x100", "wf_fanout", 3, 100),
        ("long", "wf_fanout", if smoke { 3 } else { 300 }, 100),
    ] {
        let (mut ours, mut floor) = (Vec::new(), Vec::new());
        for _ in 0..if name == "long" { rounds.min(3) } else { rounds } {
            let folder = tempfile::tempdir()?;
            let host = Host::open(folder.path(), &archive).await?;
            let began = Instant::now();
            host.all(workflow, runs).await?;
            ours.push((runs * tasks) as f64 / began.elapsed().as_secs_f64());
            host.close().await;
            floor.push((runs * tasks) as f64 / floor_seconds(runs, tasks).await?);
        }
        rows.push(Row::new(name, "steps/s", median(ours)).floor(median(floor), FLOOR));
    }
    Ok(rows)
}

/// Runs as the engine records them, without an engine: one start, then batches of claim and commit.
async fn floor_seconds(runs: usize, tasks: usize) -> anyhow::Result<f64> {
    let folder = tempfile::tempdir()?;
    let store = Store::open_file(&folder.path().join("floor.db"), Access::Host).await?;
    let host = HostId::new();
    let new: Vec<NewRun> = (0..runs).map(|_| new_run(tasks)).collect();
    let began = Instant::now();
    let mut tx = store.begin().await?;
    NewRun::insert(&mut tx, &new, 1).await?;
    store.commit(tx).await?;
    for token in 1.. {
        let mut tx = store.begin().await?;
        let digests = ["floor".to_owned()];
        let claimed = Claimed::claim(&mut tx, store.dialect(), &digests, host, token, BATCH, 1).await?;
        if claimed.is_empty() {
            break;
        }
        finish(&mut tx, &claimed, token, host).await?;
        store.commit(tx).await?;
    }
    let seconds = began.elapsed().as_secs_f64();
    store.close().await;
    Ok(seconds)
}

async fn finish(
    tx: &mut longshore_store::Tx,
    claimed: &[Claimed],
    token: i64,
    host: HostId,
) -> anyhow::Result<()> {
    let update = |c: &Claimed| TaskUpdate {
        key: c.key,
        token,
        state: TaskState::Succeeded,
        lost: 0,
        unbegun: 0,
        due_at: 1,
        error: None,
        patch: None,
    };
    let attempt = |c: &Claimed| NewAttempt {
        key: c.key,
        attempt: c.attempt,
        host: host.to_string(),
        started_at: 1,
        finished_at: 1,
        outcome: "succeeded",
        error: None,
    };
    NewAttempt::insert(tx, &claimed.iter().map(attempt).collect::<Vec<_>>()).await?;
    let applied = TaskUpdate::apply(tx, &claimed.iter().map(update).collect::<Vec<_>>(), 1).await?;
    let mut closed: HashMap<RunId, RunCounts> = HashMap::new();
    for key in applied {
        closed.entry(key.run).or_insert(RunCounts { open: 0, failed: 0 }).open += 1;
    }
    let left = RunRow::count_down(tx, &closed, 1).await?;
    let done: Vec<_> = left
        .into_iter()
        .filter(|(_, c)| c.open == 0)
        .map(|(id, _)| (id, RunState::Succeeded, None))
        .collect();
    RunRow::finish(tx, &done, 1).await.context("finish")
}

fn new_run(tasks: usize) -> NewRun {
    NewRun {
        id: RunId::new(),
        tenant: "public".into(),
        workflow: "floor".into(),
        package: "floor".into(),
        version: "1".into(),
        digest: "floor".into(),
        origin: "manual".into(),
        dedup_key: None,
        input: "{}".into(),
        deadline_at: None,
        tasks: (0..tasks).map(|i| NewTask { idx: i as i64, id: format!("t{i}"), waiting: 0 }).collect(),
    }
}
