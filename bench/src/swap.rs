//! Two hundred swaps between two versions under full load.

use crate::host::open;
use crate::package::{build_small, put, versions};
use crate::process::status;
use crate::row::Row;
use longshore_engine::{EngineHandle, StartRequest};
use longshore_reconciler::runtime::ProbeOptions;
use longshore_reconciler::{Host, Outcome};
use longshore_store::RunState;
use sqlx::Connection;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Runs that are on their way at any time.
const AT_ONCE: usize = 64;

/// After so many swaps memory is looked at first: what is loaded once is loaded by then.
const WARM: usize = 20;

/// The width of a bucket of readings in milliseconds, and how many there are: half a second, and what is longer.
const BUCKET_MS: f64 = 0.01;
/// See [`BUCKET_MS`].
const BUCKETS: usize = 50_000;

/// The result of a phase of load. Its size does not grow with the readings: memory is measured beside.
struct Load {
    buckets: Vec<AtomicU32>,
    failed: AtomicUsize,
}

impl Load {
    fn new() -> Self {
        Self { buckets: (0..BUCKETS).map(|_| AtomicU32::new(0)).collect(), failed: AtomicUsize::new(0) }
    }

    fn note(&self, ms: f64, succeeded: bool) {
        let bucket = ((ms / BUCKET_MS) as usize).min(BUCKETS - 1);
        self.buckets[bucket].fetch_add(1, Ordering::Relaxed);
        self.failed.fetch_add(usize::from(!succeeded), Ordering::Relaxed);
    }

    fn readings(&self) -> usize {
        self.buckets.iter().map(|bucket| bucket.load(Ordering::Relaxed) as usize).sum()
    }

    /// The reading that 99 of a hundred stay under, in milliseconds.
    fn p99(&self) -> f64 {
        let (mut left, mut at) = (self.readings() * 99 / 100, 0);
        while let Some(more) = left.checked_sub(self.buckets[at].load(Ordering::Relaxed) as usize) {
            if at + 1 == BUCKETS {
                break;
            }
            (left, at) = (more, at + 1);
        }
        at as f64 * BUCKET_MS
    }
}

pub(crate) async fn run(smoke: bool) -> anyhow::Result<Vec<Row>> {
    let swaps = if smoke { 4 } else { 200 };
    let versions = versions(&build_small()?)?;
    let folder = tempfile::tempdir()?;
    let packages = folder.path().join("packages");
    std::fs::create_dir_all(&packages)?;
    put(&packages, &versions[0])?;
    let database = folder.path().join("longshore.db");
    let host = open(folder.path(), packages.clone(), Some(ProbeOptions::default())).await?;
    until_loaded(&host).await?;

    // The same time without a swap, for what swaps add.
    let (still, _) = under_load(host.engine(), async {
        tokio::time::sleep(Duration::from_secs(if smoke { 1 } else { 10 })).await;
        Ok(0)
    })
    .await?;
    let began = Instant::now();
    let (swapped, growth) = under_load(host.engine(), async {
        let mut warm = 0;
        for swap in 0..swaps {
            put(&packages, &versions[(swap + 1) % 2])?;
            until_loaded(&host).await?;
            if swap + 1 == WARM.min(swaps) {
                warm = status("VmRSS");
            }
        }
        Ok(status("VmRSS") as i64 - warm as i64)
    })
    .await?;
    let seconds = began.elapsed().as_secs_f64();
    let (lost, doubled) = count(&database, still.readings() + swapped.readings()).await?;
    let added = swapped.p99() - still.p99();
    let failed = [&still, &swapped].map(|load| load.failed.load(Ordering::Relaxed));
    host.shutdown(Duration::from_secs(5)).await;
    let row = Row::new(format!("swap_{swaps}"), "swaps/s", swaps as f64 / seconds)
        .with("runs", swapped.readings())
        .with("failed", failed.iter().sum::<usize>())
        .with("lost", lost)
        .with("doubled", doubled)
        .with("added_p99_ms", added)
        .with("p99_ms", swapped.p99())
        .with("memory_growth", growth as f64 / status("VmRSS") as f64)
        .with("memory_kb", status("VmRSS"));
    Ok(vec![row])
}

async fn until_loaded(host: &Host) -> anyhow::Result<()> {
    loop {
        let report = host.reconcile().await?;
        for outcome in report.outcomes {
            match outcome {
                Outcome::Loaded { .. } => return Ok(()),
                Outcome::Refused { error, .. } => return Err(error.into()),
                _ => {}
            }
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Keeps so many runs on their way while something goes on.
async fn under_load<T>(
    engine: &EngineHandle,
    goes_on: impl Future<Output = anyhow::Result<T>>,
) -> anyhow::Result<(Arc<Load>, T)> {
    let (load, stop) = (Arc::new(Load::new()), Arc::new(AtomicBool::new(false)));
    let starter = || tokio::spawn(start_runs(engine.clone(), Arc::clone(&load), Arc::clone(&stop)));
    let starters: Vec<_> = (0..AT_ONCE).map(|_| starter()).collect();
    let result = goes_on.await;
    stop.store(true, Ordering::Relaxed);
    for starter in starters {
        starter.await??;
    }
    Ok((load, result?))
}

async fn start_runs(engine: EngineHandle, load: Arc<Load>, stop: Arc<AtomicBool>) -> anyhow::Result<()> {
    while !stop.load(Ordering::Relaxed) {
        let began = Instant::now();
        let request = StartRequest { workflow: "wf_single".into(), ..StartRequest::default() };
        let run = engine.start(request).await?.run;
        let state = engine.ended(run).await?;
        load.note(began.elapsed().as_secs_f64() * 1000.0, state == RunState::Succeeded);
    }
    Ok(())
}

/// Runs that were started and are not recorded, and outcomes that are recorded more than once.
async fn count(database: &Path, started: usize) -> anyhow::Result<(i64, i64)> {
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(database).read_only(true);
    let mut connection = sqlx::SqliteConnection::connect_with(&options).await?;
    let runs: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM runs WHERE state = 'succeeded'")
        .fetch_one(&mut connection)
        .await?;
    let outcomes: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM attempts WHERE outcome = 'succeeded'")
        .fetch_one(&mut connection)
        .await?;
    Ok((started as i64 - runs, outcomes - runs))
}
