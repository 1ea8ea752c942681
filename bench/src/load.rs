//! Packages into a host, and a pass without change.

use crate::host::{open, pass};
use crate::package::build_small;
use crate::process::status;
use crate::row::{Row, median};
use longshore_package::{Archive, ArchiveLimits, Manifest, host_target, pack, target_path};
use longshore_reconciler::runtime::ProbeOptions;
use longshore_reconciler::{Host, Outcome};
use std::path::Path;
use std::time::Duration;

/// A file that was written this long ago is complete.
const SETTLE: Duration = Duration::from_millis(300);

/// The name of package and workflow, which every copy gets anew, of the same length.
const NAME: &str = "wf_single";

pub(crate) async fn run(smoke: bool) -> anyhow::Result<Vec<Row>> {
    let archive = build_small()?;
    let mut rows = Vec::new();
    let counts: &[usize] = if smoke { &[3] } else { &[100, 1000] };
    for &count in counts {
        rows.extend(load(&archive, count, None).await?);
    }
    let probed = if smoke { 3 } else { 1000 };
    rows.extend(load(&archive, probed, Some(ProbeOptions::default())).await?);
    Ok(rows)
}

/// Loads so many packages into a fresh host; without probes also what a pass costs then without and with a change.
async fn load(archive: &Path, count: usize, probe: Option<ProbeOptions>) -> anyhow::Result<Vec<Row>> {
    let folder = tempfile::tempdir()?;
    let packages_folder = folder.path().join("packages");
    copies(archive, &packages_folder, count)?;
    let probed = probe.is_some();
    let suffix = if probed { "_probed" } else { "" };
    let host = open(folder.path(), packages_folder.clone(), probe).await?;
    // Files that were just written are not read for a moment.
    tokio::time::sleep(SETTLE).await;
    let before = status("VmRSS");
    let (report, ms) = pass(&host).await?;
    let loaded = report.outcomes.iter().filter(|o| matches!(o, Outcome::Loaded { .. })).count();
    anyhow::ensure!(loaded == count, "{loaded} of {count} loaded: {:?}", report.outcomes.first());
    let kb = status("VmRSS").saturating_sub(before) / count as u64;
    let row = Row::new(format!("load_{count}{suffix}"), "ms/package", ms / count as f64);
    let mut rows = vec![row.with("kb_per_package", kb).with("seconds", ms / 1000.0)];
    if !probed {
        let mut ticks = Vec::new();
        for _ in 0..50 {
            ticks.push(pass(&host).await?.1);
        }
        // The runs that digests are pinned to, with what was decided; all else is in memory or the time stamp of
        // a folder.
        rows.push(Row::new(format!("tick_{count}"), "ms", median(ticks)).with("queries", 1));
        rows.push(change_one(&host, archive, &packages_folder, count).await?);
    }
    host.shutdown(Duration::from_secs(1)).await;
    Ok(rows)
}

/// The cost of a change of one package among so many: the passes from the file to the new generation.
async fn change_one(host: &Host, archive: &Path, folder: &Path, count: usize) -> anyhow::Result<Row> {
    let mut original = Archive::open(archive, ArchiveLimits::default())?;
    let library = original.library(&host_target())?;
    let mut taken = Vec::new();
    for round in 0..5 {
        let mut copy = library.bytes.clone();
        let mut manifest: Manifest = original.manifest().clone();
        manifest.package.name = rename(&mut copy, NAME, 0)?.into();
        manifest.package.description = format!("round {round}");
        let (_, bytes) = pack(&manifest, &[(target_path(&host_target(), &library.name), copy)])?;
        std::fs::write(folder.join(".new"), bytes)?;
        std::fs::rename(folder.join(".new"), folder.join("copy-0000.longshore"))?;
        tokio::time::sleep(SETTLE).await;
        let (report, ms) = pass(host).await?;
        anyhow::ensure!(report.outcomes.iter().any(|o| matches!(o, Outcome::Loaded { .. })), "not swapped");
        taken.push(ms);
    }
    Ok(Row::new(format!("change_1_of_{count}"), "ms", median(taken)))
}

/// Archives that are copies with names, and so digests, of their own.
fn copies(archive: &Path, folder: &Path, count: usize) -> anyhow::Result<()> {
    std::fs::create_dir_all(folder)?;
    let mut original = Archive::open(archive, ArchiveLimits::default())?;
    let library = original.library(&host_target())?;
    for i in 0..count {
        let mut copy = library.bytes.clone();
        let mut manifest: Manifest = original.manifest().clone();
        manifest.package.name = rename(&mut copy, NAME, i)?.into();
        let (_, bytes) = pack(&manifest, &[(target_path(&host_target(), &library.name), copy)])?;
        std::fs::write(folder.join(format!("copy-{i:04}.longshore")), bytes)?;
    }
    Ok(())
}

/// Replaces a name wherever it stands, by one of the same length, which it returns.
fn rename(library: &mut [u8], from: &str, number: usize) -> anyhow::Result<String> {
    const DIGITS: &[u8] = b"abcdefghijklmnopqrstuvwxyz";
    let mut to = vec![b'_'; from.len()];
    let mut rest = number;
    for byte in &mut to {
        *byte = DIGITS[rest % DIGITS.len()];
        rest /= DIGITS.len();
    }
    anyhow::ensure!(rest == 0, "too many copies for names of {} letters", from.len());
    let mut at = 0;
    let mut found = 0;
    while let Some(next) = library[at..].windows(from.len()).position(|w| w == from.as_bytes()) {
        library[at + next..at + next + from.len()].copy_from_slice(&to);
        at += next + from.len();
        found += 1;
    }
    anyhow::ensure!(found > 0, "the name is not in the library");
    Ok(String::from_utf8(to)?)
}
