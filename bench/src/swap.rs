//! Two hundred swaps between two versions under full load.

use crate::package::build_small;
use crate::process::status;
use crate::row::{Row, percentile};
use longshore_engine::{Engine, Options as EngineOptions, StartRequest};
use longshore_package::{Archive, ArchiveLimits, host_target, pack, target_path};
use longshore_reconciler::{Options, Outcome, Reconciler};
use longshore_store::{Access, RunState, Store};
use sqlx::Connection;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Runs that are on their way at any time.
const AT_ONCE: usize = 64;

/// After so many swaps memory is looked at first: what is loaded once is loaded by then.
const WARM: usize = 20;

/// What came of a phase of load.
#[derive(Default)]
struct Load {
    ms: Vec<f64>,
    failed: usize,
}

pub(crate) async fn run(smoke: bool) -> anyhow::Result<Vec<Row>> {
    let swaps = if smoke { 4 } else { 200 };
    let versions = versions(&build_small()?)?;
    let folder = tempfile::tempdir()?;
    let packages = folder.path().join("packages");
    std::fs::create_dir_all(&packages)?;
    put(&packages, &versions[0])?;
    let database = folder.path().join("bench.db");
    let store = Store::open_file(&database, Access::Host).await?;
    let loaded = Reconciler::packages();
    let options = EngineOptions { triggers: false, ..EngineOptions::default() };
    let engine = Engine::open(store, loaded.clone(), options).await?;
    let options = Options::new(vec![packages.clone()], folder.path().join("cache"));
    let mut reconciler = Reconciler::new(options, loaded, engine.clone());
    until_loaded(&mut reconciler).await?;

    // The same time without a swap, for what swaps add.
    let (still, _) = under_load(&engine, async {
        tokio::time::sleep(Duration::from_secs(if smoke { 1 } else { 10 })).await;
        Ok(0)
    })
    .await?;
    let began = Instant::now();
    let (swapped, growth) = under_load(&engine, async {
        let mut warm = 0;
        for swap in 0..swaps {
            put(&packages, &versions[(swap + 1) % 2])?;
            until_loaded(&mut reconciler).await?;
            if swap + 1 == WARM.min(swaps) {
                warm = status("VmRSS");
            }
        }
        Ok(status("VmRSS") as i64 - warm as i64)
    })
    .await?;
    let seconds = began.elapsed().as_secs_f64();
    let (lost, doubled) = count(&database, still.ms.len() + swapped.ms.len()).await?;
    let added = percentile(swapped.ms.clone(), 99) - percentile(still.ms.clone(), 99);
    engine.shutdown(Duration::from_secs(5)).await;
    reconciler.close().await;
    let row = Row::new(format!("swap_{swaps}"), "swaps/s", swaps as f64 / seconds)
        .with("runs", swapped.ms.len())
        .with("failed", still.failed + swapped.failed)
        .with("lost", lost)
        .with("doubled", doubled)
        .with("added_p99_ms", added)
        .with("p99_ms", percentile(swapped.ms, 99))
        .with("memory_growth", growth as f64 / status("VmRSS") as f64);
    Ok(vec![row])
}

/// Two archives of one package: the same code under digests of their own.
fn versions(archive: &Path) -> anyhow::Result<[Vec<u8>; 2]> {
    let mut original = Archive::open(archive, ArchiveLimits::default())?;
    let library = original.library(&host_target())?;
    let version = |description: &str| -> anyhow::Result<Vec<u8>> {
        let mut manifest = original.manifest().clone();
        manifest.package.description = description.to_owned();
        let file = (target_path(&host_target(), &library.name), library.bytes.clone());
        Ok(pack(&manifest, &[file])?.1)
    };
    Ok([version("one")?, version("other")?])
}

fn put(folder: &Path, archive: &[u8]) -> anyhow::Result<()> {
    std::fs::write(folder.join(".new"), archive)?;
    Ok(std::fs::rename(folder.join(".new"), folder.join("package.longshore"))?)
}

async fn until_loaded(reconciler: &mut Reconciler) -> anyhow::Result<()> {
    loop {
        let (report, _) = reconciler.reconcile().await?;
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
    engine: &Engine,
    goes_on: impl Future<Output = anyhow::Result<T>>,
) -> anyhow::Result<(Load, T)> {
    let stop = Arc::new(AtomicBool::new(false));
    let starters: Vec<_> =
        (0..AT_ONCE).map(|_| tokio::spawn(start_runs(engine.clone(), Arc::clone(&stop)))).collect();
    let result = goes_on.await;
    stop.store(true, Ordering::Relaxed);
    let mut all = Load::default();
    for starter in starters {
        let load = starter.await??;
        all.ms.extend(load.ms);
        all.failed += load.failed;
    }
    Ok((all, result?))
}

async fn start_runs(engine: Engine, stop: Arc<AtomicBool>) -> anyhow::Result<Load> {
    let mut load = Load::default();
    while !stop.load(Ordering::Relaxed) {
        let began = Instant::now();
        let request = StartRequest { workflow: "wf_single".into(), ..StartRequest::default() };
        let run = engine.start(request).await?.run;
        let state = engine.ended(run).await?;
        load.ms.push(began.elapsed().as_secs_f64() * 1000.0);
        load.failed += usize::from(state != RunState::Succeeded);
    }
    Ok(load)
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
