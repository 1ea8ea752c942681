//! Reactors of this program: boundary in to terminal out.

use crate::floor;
use crate::process::{cpu_ms, status};
use crate::row::{Row, median, percentile};
use anyhow::Context;
use longshore_engine::embedded::EmbeddedPackage;
use longshore_engine::{
    Attempt, AttemptReports, BoxFuture, Catalog, Criteria, Engine, GraphRunner, InputStrategy, LeaseId,
    Options, Packages, PollOutcome, ReactorDef, Refused, SourceDef, TriggerDef, WorkflowDef,
};
use longshore_store::{Access, Digest, Store, TenantId};
use longshore_workflow::{InputCache, computation_graph, reactor, serialize};
use serde::{Deserialize, Serialize};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::watch;

const DIRECT: &str = "the compiled function called directly on the same cache";
const RAW: &str = "the same rows written raw in batches of the same size";

/// A venue's update.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Quote {
    bid: f64,
    ask: f64,
}

/// Fires with each piece of news.
#[reactor(name = "latest", accumulators = [book, reference], criteria = when_any(book, reference))]
struct Latest;

/// Two sources, three nodes.
#[computation_graph(trigger = reactor("latest"), graph = { blend(book, reference) -> widen -> publish })]
mod quoting {
    use super::Quote;

    pub(super) async fn blend(book: Option<&Quote>, reference: Option<&f64>) -> f64 {
        let middle = book.map_or(0.0, |quote| (quote.bid + quote.ask) / 2.0);
        (middle + reference.copied().unwrap_or(middle)) / 2.0
    }

    pub(super) async fn widen(price: &f64) -> (f64, f64) {
        (price - 0.01, price + 0.01)
    }

    pub(super) async fn publish(spread: &(f64, f64)) -> Quote {
        Quote { bid: spread.0, ask: spread.1 }
    }
}

/// Takes each input once.
#[reactor(name = "recorded", accumulators = [numbers], criteria = when_any(numbers), input_strategy = "sequential")]
struct Recorded;

/// One source, one node.
#[computation_graph(trigger = reactor("recorded"), graph = { twice(numbers) })]
mod doubling {
    pub(super) async fn twice(n: Option<&i64>) -> i64 {
        n.copied().unwrap_or(0) * 2
    }
}

pub(crate) async fn run(smoke: bool) -> anyhow::Result<Vec<Row>> {
    let mut rows = firings(smoke).await?;
    rows.push(idle(smoke).await?);
    rows.push(sequential(smoke).await?);
    Ok(rows)
}

async fn open(folder: &Path, packages: Arc<dyn Packages>) -> anyhow::Result<Engine> {
    let store = Store::open_file(&folder.join("bench.db"), Access::Owner).await?;
    let expected = packages.catalog().reactors.len();
    let engine = Engine::open(store, packages, Options { triggers: false, ..Options::default() }).await?;
    while engine.reactors().list().len() < expected {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Ok(engine)
}

fn embedded() -> anyhow::Result<Arc<EmbeddedPackage>> {
    Ok(Arc::new(EmbeddedPackage::from_inventory("bench", "1.0.0")?))
}

async fn firings(smoke: bool) -> anyhow::Result<Vec<Row>> {
    let folder = tempfile::tempdir()?;
    let engine = open(folder.path(), embedded()?).await?;
    let reactors = engine.reactors();
    let book: Arc<[u8]> = serialize(&Quote { bid: 99.0, ask: 101.0 })?.into();
    let reference: Arc<[u8]> = serialize(&100.5)?.into();
    let mut cache = InputCache::new();
    cache.update("book".into(), book.to_vec());
    cache.update("reference".into(), reference.to_vec());
    reactors.push_bytes("latest", "reference", Arc::clone(&reference)).await?;
    let (rounds, count) = if smoke { (1, 1000) } else { (5, 100_000) };
    let (mut p50, mut p99, mut rate) = (Vec::new(), Vec::new(), Vec::new());
    let (mut floor_p50, mut floor_p99, mut floor_rate) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..rounds {
        let mut times = Vec::with_capacity(count);
        for _ in 0..count {
            let began = Instant::now();
            let done = quoting_compiled(&cache).await;
            times.push(began.elapsed().as_nanos() as f64);
            anyhow::ensure!(done.is_completed(), "the graph failed");
        }
        floor_rate.push(count as f64 / (times.iter().sum::<f64>() / 1e9));
        floor_p50.push(percentile(times.clone(), 50) / 1000.0);
        floor_p99.push(percentile(times, 99) / 1000.0);
        let mut times = Vec::with_capacity(count);
        for _ in 0..count {
            let began = Instant::now();
            reactors.push_bytes("latest", "book", Arc::clone(&book)).await?;
            times.push(began.elapsed().as_nanos() as f64);
        }
        p50.push(percentile(times.clone(), 50) / 1000.0);
        p99.push(percentile(times, 99) / 1000.0);
        let began = Instant::now();
        for _ in 0..count {
            reactors.push_bytes("latest", "book", Arc::clone(&book)).await?;
        }
        rate.push(count as f64 / began.elapsed().as_secs_f64());
    }
    let status = reactors.list().into_iter().find(|status| status.name == "latest").context("it runs")?;
    let pushed = (rounds * count * 2 + 1) as u64;
    anyhow::ensure!(status.fired == pushed, "{} firings for {pushed} events", status.fired);
    engine.shutdown(Duration::from_secs(1)).await;
    Ok(vec![
        Row::new("firing_p50", "us", median(p50)).floor(median(floor_p50), DIRECT),
        Row::new("firing_p99", "us", median(p99)).floor(median(floor_p99), DIRECT),
        Row::new("firings_per_s", "firings/s", median(rate)).floor(median(floor_rate), DIRECT),
    ])
}

/// A package with nothing but reactors.
struct Idle {
    catalog: Arc<Catalog>,
    changed: watch::Sender<u64>,
}

struct NoRunner;

impl GraphRunner for NoRunner {
    fn run(&self, _: longshore_engine::GraphJob) -> bool {
        false
    }
}

impl Packages for Idle {
    fn attach(&self, _: Arc<dyn AttemptReports>) {}
    fn catalog(&self) -> Arc<Catalog> {
        Arc::clone(&self.catalog)
    }
    fn changed(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }
    fn definition(&self, _: &Digest, _: &TenantId, _: &str) -> Option<Arc<WorkflowDef>> {
        None
    }
    fn start(&self, attempt: Attempt) -> Result<(), Refused> {
        Err(Refused { digest: attempt.digest })
    }
    fn cancel(&self, _: &Digest, _: LeaseId) {}
    fn resume(&self, _: &Digest, _: LeaseId) {}
    fn graphs(&self, _: &Digest) -> Option<Arc<dyn GraphRunner>> {
        Some(Arc::new(NoRunner))
    }
    fn poll(&self, _: Arc<TriggerDef>) -> BoxFuture<'static, PollOutcome> {
        Box::pin(async { PollOutcome::Skip })
    }
}

async fn idle(smoke: bool) -> anyhow::Result<Row> {
    let folder = tempfile::tempdir()?;
    let def = |i: usize| {
        Arc::new(ReactorDef {
            digest: Digest::from_sha256([1; 32]),
            package: "idle".into(),
            name: format!("r{i:04}"),
            sources: vec![SourceDef { name: "a".into(), accumulator: None }],
            criteria: Criteria::Any(vec![0]),
            strategy: InputStrategy::Latest,
        })
    };
    let catalog = Catalog { reactors: (0..1000).map(def).collect(), ..Catalog::default() };
    let packages = Idle { catalog: Arc::new(catalog), changed: watch::channel(0).0 };
    let before = status("Threads");
    let engine = open(folder.path(), Arc::new(packages)).await?;
    // The first record of each is behind us then.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let seconds = if smoke { 1 } else { 5 };
    let cpu = cpu_ms();
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    let used = (cpu_ms() - cpu) as f64 / seconds as f64;
    let threads = status("Threads").saturating_sub(before);
    engine.shutdown(Duration::from_secs(1)).await;
    Ok(Row::new("idle_reactors_1000", "ms cpu per s", used).with("more_threads", threads))
}

async fn sequential(smoke: bool) -> anyhow::Result<Row> {
    let (rounds, count) = if smoke { (1, 1000) } else { (3, 50_000) };
    let (mut ours, mut floor) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        let folder = tempfile::tempdir()?;
        let engine = open(folder.path(), embedded()?).await?;
        let reactors = engine.reactors();
        let event: Arc<[u8]> = serialize(&21_i64)?.into();
        let began = Instant::now();
        for _ in 0..count {
            reactors.push_bytes("recorded", "numbers", Arc::clone(&event)).await?;
        }
        while !reactors.is_drained() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        ours.push(count as f64 / began.elapsed().as_secs_f64());
        engine.shutdown(Duration::from_secs(1)).await;
        floor.push(count as f64 / floor::inputs_seconds(count, 512).await?);
    }
    Ok(Row::new("sequential_per_s", "inputs/s", median(ours)).floor(median(floor), RAW))
}
