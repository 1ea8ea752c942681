//! `longshore packages check`.

use crate::home::{Home, now_ms};
use crate::output::{self, ExitStatus, Printer};
use longshore_reconciler::readiness::{Problem, Readiness, ReadyState};
use longshore_store::{ConditionRow, FollowedPackage, HostRow, Store};
use serde_json::json;
use std::fmt::Write;

pub(super) async fn run(home: &Home, printer: &Printer) -> anyhow::Result<ExitStatus> {
    let store = home.open_read_only().await?;
    let readiness = readiness(&store).await?;
    let document =
        json!({ "ready": readiness.is_ready(), "state": readiness.state(), "readiness": readiness });
    printer.print(&document, || text(&readiness))?;
    Ok(if readiness.state() == ReadyState::Ready { ExitStatus::Done } else { ExitStatus::Failed })
}

/// Problems of a kind that are shown.
const SHOWN: usize = 20;

/// The readiness of the hosts of a database.
pub(crate) async fn readiness(store: &Store) -> anyhow::Result<Readiness> {
    let hosts = HostRow::running(store, now_ms()).await?;
    let (conditions, followed) = (ConditionRow::all(store).await?, FollowedPackage::all(store).await?);
    Ok(Readiness::of(&conditions, &followed, hosts.len()))
}

/// The readiness in lines, the word first.
pub(crate) fn text(readiness: &Readiness) -> String {
    let mut out = format!("{}\n", readiness.state().as_str());
    if readiness.hosts == 0 {
        out.push_str("no host runs on this database\n");
    }
    let lists = [
        ("missing", &readiness.missing),
        ("degraded", &readiness.degraded),
        ("warning", &readiness.warnings),
    ];
    for (word, problems) in lists {
        for Problem { subject, code, message } in problems.iter().take(SHOWN) {
            // Writing to a String does not fail.
            let _ = writeln!(out, "{word}: {}\n  {code} {message}", output::subject(subject));
        }
        if problems.len() > SHOWN {
            let _ = writeln!(out, "{word}: {} more; --json has all", problems.len() - SHOWN);
        }
    }
    out
}
