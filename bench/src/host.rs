//! The host that is measured.

use longshore_engine::Options as EngineOptions;
use longshore_reconciler::runtime::ProbeOptions;
use longshore_reconciler::{Host, HostOptions, Report};
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Attempts at the same time: the largest batch there can be.
pub(crate) const SLOTS: usize = 512;

/// A host in a folder, which takes packages from a source and runs passes when it is asked to.
pub(crate) async fn open(
    folder: &Path,
    source: PathBuf,
    probe: Option<ProbeOptions>,
) -> anyhow::Result<Host> {
    let mut options = HostOptions::new(folder);
    options.follow = false;
    options.engine = EngineOptions { slots: SLOTS, triggers: false, ..EngineOptions::default() };
    options.reconciler.directories = vec![source];
    options.reconciler.probe = probe;
    Ok(Host::open(options).await?)
}

/// One pass and its milliseconds.
pub(crate) async fn pass(host: &Host) -> anyhow::Result<(Report, f64)> {
    let began = Instant::now();
    let report = host.settle().await?;
    Ok((report, began.elapsed().as_secs_f64() * 1000.0))
}
