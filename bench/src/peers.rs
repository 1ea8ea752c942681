//! Figures of the closest peer, from its own program in bench/peers.

use crate::row::Row;
use anyhow::bail;
use std::collections::HashMap;
use std::path::Path;
use std::process::{Command, Stdio};

const NAME: &str = "cloacina 0.11.1";

/// Runs the peer on the work of a benchmark and enters its figures into the rows of the same name; what it names
/// `row.key` is a figure beside.
pub(crate) fn enter(rows: &mut [Row], benchmark: &str) -> anyhow::Result<()> {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers/Cargo.toml");
    let output = Command::new("cargo")
        .args(["run", "--release", "--quiet", "--manifest-path"])
        .arg(manifest)
        .args(["--", benchmark])
        .stderr(Stdio::null())
        .output()?;
    if !output.status.success() {
        bail!("the peer's program has no figures for `{benchmark}`");
    }
    // It logs to stdout before it answers.
    let text = String::from_utf8(output.stdout)?;
    let figures: HashMap<String, f64> = serde_json::from_str(text.lines().last().unwrap_or_default())?;
    for row in rows {
        if let Some(figure) = figures.get(&row.name) {
            row.peer = Some(*figure);
        }
        for (name, figure) in &figures {
            if let Some(key) = name.strip_prefix(&row.name).and_then(|rest| rest.strip_prefix('.')) {
                row.more.insert(format!("peer_{key}"), (*figure).into());
            }
        }
        row.peer_name = row.peer.map(|_| NAME);
    }
    Ok(())
}
