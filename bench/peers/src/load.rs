//! Prebuilt packages into the peer's host, and a pass of its reconciler without change. Everything in the way it
//! configures itself by default: archives in a folder, metadata and libraries in a SQLite file.

use crate::package::{self, COPIED};
use crate::process::{median, status, trim};
use anyhow::{Context as _, ensure};
use cloacina::cloacina_workflow_plugin::fidius_core::package::pack_package;
use cloacina::dal::FilesystemRegistryStorage;
use cloacina::registry::{
    PackageLoader, ReconcilerConfig, RegistryReconciler, WorkflowRegistry, WorkflowRegistryImpl,
};
use cloacina::{Database, Runtime};
use serde_json::{Map, Value};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Instant;

const COUNT: usize = 100;

const PASSES: usize = 20;

pub(crate) async fn run() -> anyhow::Result<Map<String, Value>> {
    let library = package::copied()?;
    let folder = tempfile::tempdir()?;
    // Registration opens every library too, so that it is left to another process: in the peer's system it is the
    // compiler's.
    let prepared = Command::new(std::env::current_exe()?)
        .arg("load-prepare")
        .args([folder.path(), library.as_path()])
        .stdout(std::process::Stdio::null())
        .status()?;
    ensure!(prepared.success(), "the packages could not be registered");

    let registry: Arc<dyn WorkflowRegistry> = Arc::new(registry(folder.path()).await?);
    let runtime = Arc::new(Runtime::empty().scoped_to_tenant("public"));
    let (_stop, stopped) = tokio::sync::watch::channel(false);
    let reconciler = RegistryReconciler::new(registry, ReconcilerConfig::default(), stopped)?
        .with_runtime(Arc::clone(&runtime));
    // To be leaked: the libraries stay open until the process ends.
    let reconciler: &'static RegistryReconciler = Box::leak(Box::new(reconciler));
    trim();
    let before = status("VmRSS");
    let began = Instant::now();
    let result = reconciler.reconcile().await?;
    let ms = began.elapsed().as_secs_f64() * 1000.0;
    ensure!(
        result.packages_loaded.len() == COUNT && result.packages_failed.is_empty(),
        "{} of {COUNT} loaded: {:?}",
        result.packages_loaded.len(),
        result.packages_failed.first()
    );
    trim();
    let kb = status("VmRSS").saturating_sub(before);
    let names = runtime.workflow_names();
    ensure!(name(COUNT - 1).is_ok_and(|last| names.contains(&last)), "the last copy is not there");

    let mut ticks = Vec::new();
    for _ in 0..PASSES {
        let began = Instant::now();
        let result = reconciler.reconcile().await?;
        ticks.push(began.elapsed().as_secs_f64() * 1000.0);
        ensure!(!result.has_changes() && !result.has_failures(), "a pass without change changed something");
    }

    let count = COUNT as f64;
    let mut figures = Map::new();
    figures.insert(format!("load_{COUNT}"), (ms / count).into());
    figures.insert(format!("load_{COUNT}.kb_per_package"), (kb as f64 / count).into());
    figures.insert(format!("tick_{COUNT}"), median(ticks).into());
    Ok(figures)
}

async fn registry(folder: &Path) -> anyhow::Result<WorkflowRegistryImpl<FilesystemRegistryStorage>> {
    let database = Database::new(&folder.join("peer.db").display().to_string(), "cloacina", 10);
    database.run_migrations().await.map_err(anyhow::Error::msg)?;
    let storage = FilesystemRegistryStorage::new(folder.join("storage"))?;
    Ok(WorkflowRegistryImpl::new(storage, database)?)
}

/// Registers copies of a library under names of their own, as if the peer's compiler had built them.
pub(crate) async fn prepare(folder: &Path, library: &Path) -> anyhow::Result<()> {
    let original = std::fs::read(library)?;
    let mut registry = registry(folder).await?;
    for i in 0..COUNT {
        let name = name(i)?;
        let mut copy = original.clone();
        rename(&mut copy, COPIED, &name)?;
        // The loader holds what it opened; without it the copy is closed again.
        let metadata = PackageLoader::new()?.extract_metadata(&copy).await?;
        ensure!(
            metadata.package_name == name && metadata.workflow_name == name,
            "not renamed: {} {}",
            metadata.package_name,
            metadata.workflow_name
        );
        let id = registry.register_workflow_package(archive(&name)?).await?;
        let claimed = registry.claim_next_build().await?.context("nothing to build")?;
        ensure!(claimed.id == id, "another package is to be built");
        registry.mark_build_success(id, copy).await?;
    }
    Ok(())
}

/// The source archive that the peer keeps beside a library.
fn archive(name: &str) -> anyhow::Result<Vec<u8>> {
    let folder = tempfile::tempdir()?;
    let source = folder.path().join("source");
    let (manifest, lib) = package::crate_of(name, "");
    std::fs::create_dir_all(source.join("src"))?;
    std::fs::write(source.join("Cargo.toml"), manifest)?;
    std::fs::write(source.join("src/lib.rs"), lib)?;
    std::fs::write(
        source.join("package.toml"),
        format!(
            "[package]\nname = \"{name}\"\nversion = \"1.0.0\"\ninterface = \"cloacina-workflow-plugin\"\n\
             interface_version = 1\nextension = \"cloacina\"\n\n\
             [metadata]\nworkflow_name = \"{name}\"\nlanguage = \"rust\"\n"
        ),
    )?;
    let packed = folder.path().join("package.cloacina");
    pack_package(&source, Some(&packed))?;
    Ok(std::fs::read(packed)?)
}

/// The name of a copy, as long as that of the original.
fn name(number: usize) -> anyhow::Result<String> {
    const LETTERS: &[u8] = b"abcdefghijklmnopqrstuvwxyz";
    let mut name = vec![b'a'; COPIED.len()];
    let mut rest = number;
    for byte in &mut name {
        *byte = LETTERS[rest % LETTERS.len()];
        rest /= LETTERS.len();
    }
    Ok(String::from_utf8(name)?)
}

/// Replaces a name wherever it stands.
fn rename(library: &mut [u8], from: &str, to: &str) -> anyhow::Result<()> {
    ensure!(from.len() == to.len(), "names of different lengths");
    let (mut at, mut found) = (0, 0);
    while let Some(next) = library[at..].windows(from.len()).position(|w| w == from.as_bytes()) {
        library[at + next..at + next + from.len()].copy_from_slice(to.as_bytes());
        at += next + from.len();
        found += 1;
    }
    ensure!(found > 0, "the name is not in the library");
    Ok(())
}
