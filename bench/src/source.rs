//! A directory of thousands of files that are not packages.

use crate::host::{open, pass};
use crate::row::{Row, median};
use std::time::{Duration, Instant};

/// A file that was written this long ago is complete.
const SETTLE: Duration = Duration::from_millis(300);

pub(crate) async fn run(smoke: bool) -> anyhow::Result<Vec<Row>> {
    let files = if smoke { 100 } else { 10_000 };
    let folder = tempfile::tempdir()?;
    let packages = folder.path().join("packages");
    std::fs::create_dir(&packages)?;
    for n in 0..files {
        std::fs::write(packages.join(format!("junk-{n:05}.longshore")), format!("no archive, number {n}"))?;
    }
    let host = open(folder.path(), packages.clone(), None).await?;
    tokio::time::sleep(SETTLE).await;
    let (report, first) = pass(&host).await?;
    anyhow::ensure!(report.outcomes.len() == files, "{} of {files} were refused", report.outcomes.len());
    let mut passes = Vec::new();
    let mut walks = Vec::new();
    for _ in 0..50 {
        passes.push(pass(&host).await?.1);
        let began = Instant::now();
        // What nobody can do without who has no other sign of a change: a look at each file.
        let mut seen = 0;
        for entry in std::fs::read_dir(&packages)? {
            seen += usize::from(entry?.metadata()?.is_file());
        }
        anyhow::ensure!(seen == files, "{seen} files");
        walks.push(began.elapsed().as_secs_f64() * 1000.0);
    }
    host.shutdown(Duration::from_secs(1)).await;
    let row = Row::new(format!("source_{files}"), "ms", median(passes));
    Ok(vec![row.floor(median(walks), "a look at each file").with("queries", 1).with("first_pass_ms", first)])
}
