//! Package files: read, checked, packed; from a changed line to a package, and to the result of `longshore dev`.

use crate::edit::source;
use crate::package::{build_small, command_line, crate_folder, packages_target};
use crate::row::{Row, median};
use anyhow::Context;
use longshore_package::{Archive, ArchiveLimits, Manifest, host_target, pack, target_path};
use longshore_reconciler::artifact::{BuildChoice, VerifyOptions, read};
use rand::Rng;
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::io::{BufReader, Cursor, Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Instant;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipArchive, ZipWriter};

/// Bytes of a large library.
const LARGE: usize = 50 << 20;

pub(crate) fn run(smoke: bool) -> anyhow::Result<Vec<Row>> {
    let rounds = if smoke { 1 } else { 20 };
    let mut archive = Archive::open(&build_small()?, ArchiveLimits::default())?;
    let (manifest, small) = (archive.manifest().clone(), archive.library(&host_target())?.bytes);
    let large = enlarged(&small, large_size(smoke, small.len()));
    let mut rows = files(&manifest, &large, "50mb", rounds)?;
    rows.extend(files(&manifest, &small, "small", rounds)?);
    rows.extend(loops(if smoke { 1 } else { 10 })?);
    Ok(rows)
}

/// The size of a large library, which in a smoke run is little more than the small one.
pub(crate) fn large_size(smoke: bool, small: usize) -> usize {
    if smoke { small + 1000 } else { LARGE }
}

/// The library with bytes behind it that nothing packs.
pub(crate) fn enlarged(library: &[u8], size: usize) -> Vec<u8> {
    let mut large = library.to_vec();
    let mut rest = vec![0; size.saturating_sub(large.len())];
    rand::rng().fill_bytes(&mut rest);
    large.append(&mut rest);
    large
}

/// Times of reading, checking, packing and unpacking a package of this library.
fn files(manifest: &Manifest, library: &[u8], name: &str, rounds: usize) -> anyhow::Result<Vec<Row>> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("package.longshore");
    let inside = target_path(&host_target(), "libpackage.so");
    let files = [(inside.clone(), library.to_vec())];
    let packed = timed(rounds, || Ok(pack(manifest, &files)?.1))?;
    std::fs::write(&path, &packed.1)?;
    let zipped = timed(rounds, || zip_of(&inside, library))?;
    let open = || Archive::open(&path, ArchiveLimits::default());
    let unpacked = timed(rounds, || Ok(open()?.library(&host_target())?))?;
    let unzipped = timed(rounds, || unzip(&packed.1, &inside))?;
    let inspected = timed(rounds, || Ok(read(&path, &BuildChoice::Any, &VerifyOptions::default())?))?;
    let checked = timed(rounds, || Ok(open()?.check_files()?))?;
    let hashed = timed(rounds, || Ok(Sha256::digest(library)))?;
    let row = |what: &str, ours: f64| Row::new(format!("{what}_{name}"), "ms", ours);
    Ok(vec![
        row("inspect", inspected.0).with("library_mb", library.len() / 1_000_000),
        row("verify", checked.0).floor(hashed.0 + unzipped.0, "sha2 and the zip library on the same bytes"),
        row("hash", hashed.0).with("mb_per_s", (library.len() as f64 / 1000.0 / hashed.0).round()),
        row("pack", packed.0).floor(zipped.0 + hashed.0, "sha2 and the zip library on the same bytes"),
        row("unpack", unpacked.0).floor(unzipped.0 + hashed.0, "sha2 and the zip library on the same bytes"),
    ])
}

/// The median time of a deed in milliseconds, and its last result.
pub(crate) fn timed<T>(rounds: usize, deed: impl Fn() -> anyhow::Result<T>) -> anyhow::Result<(f64, T)> {
    let mut taken = Vec::new();
    let mut last = None;
    for _ in 0..rounds {
        drop(last.take());
        let began = Instant::now();
        last = Some(deed()?);
        taken.push(began.elapsed().as_secs_f64() * 1000.0);
    }
    Ok((median(taken), last.context("no round")?))
}

fn zip_of(name: &str, bytes: &[u8]) -> anyhow::Result<Vec<u8>> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    writer.start_file(name, SimpleFileOptions::default().compression_method(CompressionMethod::Zstd))?;
    writer.write_all(bytes)?;
    Ok(writer.finish()?.into_inner())
}

fn unzip(archive: &[u8], name: &str) -> anyhow::Result<Vec<u8>> {
    let mut archive = ZipArchive::new(Cursor::new(archive))?;
    let mut entry = archive.by_name(name)?;
    let mut bytes = Vec::with_capacity(entry.size() as usize);
    entry.read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// From a changed line to a package file, and to the result in a terminal.
fn loops(rounds: usize) -> anyhow::Result<Vec<Row>> {
    let longshore = command_line()?;
    let folder = crate_folder("looped", &source("looped", 0))?;
    rebuild(&longshore, &folder)?;
    let mut builds = Vec::new();
    for round in 1..=rounds {
        std::fs::write(folder.join("src/lib.rs"), source("looped", round))?;
        builds.push(rebuild(&longshore, &folder)?);
    }
    let home = tempfile::tempdir()?;
    let mut session = Session::start(&longshore, &folder, home.path())?;
    session.next_answer()?;
    let mut results = Vec::new();
    for round in 1..=rounds {
        let answer = 1_000_000 + round;
        let began = Instant::now();
        std::fs::write(folder.join("src/lib.rs"), source("looped", answer))?;
        let got = session.next_answer()?;
        results.push(began.elapsed().as_secs_f64());
        anyhow::ensure!(got == answer as u64, "{got} instead of {answer}");
    }
    Ok(vec![Row::new("rebuild", "s", median(builds)), Row::new("dev_loop", "s", median(results))])
}

fn rebuild(longshore: &Path, folder: &Path) -> anyhow::Result<f64> {
    let began = Instant::now();
    let mut command = Command::new(longshore);
    command.arg("build").arg(folder).env("CARGO_TARGET_DIR", packages_target());
    let output = command.output()?;
    anyhow::ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(began.elapsed().as_secs_f64())
}

/// `longshore dev`, whose documents are read as they come.
struct Session {
    child: Child,
    documents: serde_json::StreamDeserializer<
        'static,
        serde_json::de::IoRead<BufReader<std::process::ChildStdout>>,
        Value,
    >,
}

impl Session {
    fn start(longshore: &Path, folder: &Path, home: &Path) -> anyhow::Result<Self> {
        let mut command = Command::new(longshore);
        command.args(["dev", "--json", "--home"]).arg(home).arg(folder);
        command.env("CARGO_TARGET_DIR", packages_target()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn()?;
        let stdout = child.stdout.take().context("no output")?;
        let documents = serde_json::Deserializer::from_reader(BufReader::new(stdout)).into_iter();
        Ok(Self { child, documents })
    }

    fn next_answer(&mut self) -> anyhow::Result<u64> {
        let report = self.documents.next().context("it ended")??;
        report["context"]["answer"].as_u64().with_context(|| format!("no answer in {report}"))
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // It is measured no more.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
