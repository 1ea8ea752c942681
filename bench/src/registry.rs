//! Registries: a large package brought and fetched, and an index with many releases.

use crate::archive::{enlarged, large_size, timed};
use crate::package::build_small;
use crate::row::Row;
use anyhow::Context;
use futures_util::StreamExt;
use longshore_package::{Archive, ArchiveLimits, PackageName, host_target, pack, target_path};
use longshore_registry::{Downloads, Index, Registry, Requirement, fetch, open, publish, release_of};
use longshore_store::{Access, Store};
use longshore_testing::FileServer;
use sha2::{Digest, Sha256};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::runtime::Runtime;

/// Releases of the index.
const RELEASES: u64 = 1000;

pub(crate) fn run(smoke: bool) -> anyhow::Result<Vec<Row>> {
    let rounds = if smoke { 1 } else { 10 };
    let (runtime, folder) = (Runtime::new()?, tempfile::tempdir()?);
    let file = large(folder.path(), smoke)?;
    let mut rows = brought(&runtime, folder.path(), &file, rounds)?;
    rows.extend(fetched(&runtime, folder.path(), &file, rounds)?);
    rows.push(index(&file, rounds)?);
    Ok(rows)
}

/// The archive of a package with a large library.
fn large(folder: &Path, smoke: bool) -> anyhow::Result<PathBuf> {
    let mut archive = Archive::open(&build_small()?, ArchiveLimits::default())?;
    let (manifest, small) = (archive.manifest().clone(), archive.library(&host_target())?.bytes);
    let library = enlarged(&small, large_size(smoke, small.len()));
    let inside = target_path(&host_target(), "libpackage.so");
    let file = folder.join("large.longshore");
    std::fs::write(&file, pack(&manifest, &[(inside, library)])?.1)?;
    Ok(file)
}

fn folder_registry(runtime: &Runtime, folder: &Path, name: &str) -> anyhow::Result<Arc<dyn Registry>> {
    let place = folder.join(name);
    let _ = std::fs::remove_dir_all(&place);
    std::fs::create_dir(&place)?;
    Ok(runtime.block_on(open(&place.display().to_string()))?)
}

/// Publishing into a folder, against the same checks and a copy that is on disk.
fn brought(runtime: &Runtime, folder: &Path, file: &Path, rounds: usize) -> anyhow::Result<Vec<Row>> {
    let (ours, _) = timed(rounds, || {
        let registry = folder_registry(runtime, folder, "brought")?;
        Ok(runtime.block_on(publish(&*registry, file, &[], 1))?)
    })?;
    let (floor, _) = timed(rounds, || {
        Archive::open(file, ArchiveLimits::default())?.check_files()?;
        let bytes = std::fs::read(file)?;
        let mut copy = std::fs::File::create(folder.join("copy"))?;
        copy.write_all(&bytes)?;
        copy.sync_all()?;
        Ok(Sha256::digest(&bytes))
    })?;
    let row = Row::new("publish_50mb_folder", "ms", ours).floor(floor, "its checks, sha2, a copy on disk");
    Ok(vec![row])
}

/// Fetching from each place, against a client that writes what comes into a file and hashes it.
fn fetched(runtime: &Runtime, folder: &Path, file: &Path, rounds: usize) -> anyhow::Result<Vec<Row>> {
    let in_folder = folder_registry(runtime, folder, "registry")?;
    let published = runtime.block_on(publish(&*in_folder, file, &[], 1))?;
    let server = runtime.block_on(FileServer::start(folder.join("registry")));
    let url = Store::file_url(&folder.join("registry.db"));
    let in_database = runtime.block_on(async {
        Store::open(&url, Access::Owner).await?.close().await;
        let registry = open(&url).await?;
        publish(&*registry, file, &[], 1).await?;
        anyhow::Ok(registry)
    })?;
    let over_http = runtime.block_on(open(&server.address))?;
    let requirement: Requirement = published.index.name.as_str().parse()?;
    let time = |registry: &dyn Registry| {
        timed(rounds, || {
            let place = folder.join("downloads");
            let _ = std::fs::remove_dir_all(&place);
            Ok(runtime.block_on(fetch(registry, &requirement, None, &Downloads::new(place)))?)
        })
    };
    let archive =
        format!("{}packages/{}/{}.longshore", server.address, requirement.name, published.release.sha256);
    let (plain, _) = timed(rounds, || runtime.block_on(plain_get(&archive, &folder.join("plain"))))?;
    let floor = "a GET into a file on disk, and sha2";
    Ok(vec![
        Row::new("fetch_50mb_folder", "ms", time(&*in_folder)?.0),
        Row::new("fetch_50mb_database", "ms", time(&*in_database)?.0),
        Row::new("fetch_50mb_http", "ms", time(&*over_http)?.0).floor(plain, floor),
    ])
}

async fn plain_get(address: &str, file: &Path) -> anyhow::Result<()> {
    let mut chunks = reqwest::get(address).await?.bytes_stream();
    let (mut out, mut hasher) = (std::fs::File::create(file)?, Sha256::new());
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk?;
        out.write_all(&chunk)?;
        hasher.update(&chunk);
    }
    out.sync_all()?;
    let _ = hasher.finalize();
    Ok(())
}

/// Reading an index with many releases, against serde_json alone.
fn index(file: &Path, rounds: usize) -> anyhow::Result<Row> {
    let (name, release) = release_of(file, &[], 1)?;
    let mut index = Index::new(name.clone());
    for minor in 0..RELEASES {
        let mut release = release.clone();
        release.version.minor = minor;
        index.apply(longshore_registry::Edit::Release(Box::new(release)))?;
    }
    let bytes = index.to_bytes();
    let (ours, _) = timed(rounds, || Ok(Index::parse(&bytes, &PackageName::from(name.as_str()), "bench")?))?;
    let (floor, _) = timed(rounds, || serde_json::from_slice::<serde_json::Value>(&bytes).context("reads"))?;
    let kb = bytes.len() / 1000;
    Ok(Row::new("index_1000_releases", "ms", ours).floor(floor, "serde_json into a value").with("kb", kb))
}
