//! `longshore run` of a package whose reactors read streams: from the beginning to the end.

use crate::home::now_ms;
use crate::output::{ExitStatus, Printer};
use crate::stdio::errln;
use crate::stop_signals::StopSignals;
use longshore_engine::{AccumulatorKind, Packages, ReactorDef, ReactorStatus};
use longshore_reconciler::Host;
use longshore_store::{RunRow, RunState};
use serde_json::json;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

/// The interval of the check that everything was read.
const DRAINED_INTERVAL: Duration = Duration::from_millis(20);

/// Newest runs that are scanned for those that firings started.
const RUNS: i64 = 100_000;

/// True when the loaded packages have a reactor that reads a stream.
pub(super) fn is_wanted(host: &Host) -> bool {
    host.loaded().catalog().reactors.iter().any(|def| reads_stream(def))
}

fn reads_stream(def: &ReactorDef) -> bool {
    let kinds = def.sources.iter().filter_map(|source| source.accumulator.as_ref()).map(|a| &a.kind);
    kinds.into_iter().any(|kind| matches!(kind, AccumulatorKind::Stream(_)))
}

/// Follows the reactors until their streams are read and the runs they started are over.
pub(super) async fn run(
    host: &Host,
    stops: &mut StopSignals,
    printer: &Printer,
) -> anyhow::Result<ExitStatus> {
    let began = now_ms();
    let wanted = host.loaded().catalog().reactors.len();
    let reactors = host.reactors();
    let runs = stops.unless(async {
        while reactors.list().len() < wanted || !reactors.is_drained() {
            if let Some(problem) = problem(&reactors.list()) {
                errln!("waiting: {problem}; Ctrl-C stops");
                tokio::time::sleep(Duration::from_secs(2)).await;
            }
            tokio::time::sleep(DRAINED_INTERVAL).await;
        }
        started(host, began).await
    });
    let Some(runs) = runs.await else { return Ok(ExitStatus::Interrupted) };
    report(host, &reactors.list(), &runs?, printer)
}

/// Why a stream does not read.
fn problem(reactors: &[ReactorStatus]) -> Option<String> {
    let sources = reactors.iter().flat_map(|reactor| &reactor.sources);
    sources.into_iter().find_map(|source| Some(format!("{}: {}", source.name, source.problem.as_ref()?)))
}

/// Runs that firings started, by how they ended; waits for those that are not over.
async fn started(host: &Host, since: i64) -> anyhow::Result<BTreeMap<&'static str, u64>> {
    loop {
        let runs = RunRow::newest(host.engine().store(), None, RUNS).await?;
        let own = runs.iter().filter(|run| run.created_at >= since && run.origin.starts_with("reactor:"));
        let mut states: BTreeMap<&'static str, u64> = BTreeMap::new();
        own.for_each(|run| *states.entry(run.state.as_str()).or_default() += 1);
        if !states.contains_key(RunState::Running.as_str()) {
            return Ok(states);
        }
        tokio::time::sleep(DRAINED_INTERVAL).await;
    }
}

fn report(
    host: &Host,
    reactors: &[ReactorStatus],
    runs: &BTreeMap<&'static str, u64>,
    printer: &Printer,
) -> anyhow::Result<ExitStatus> {
    let mut firings: BTreeMap<&str, u64> = BTreeMap::new();
    for graph in reactors.iter().flat_map(|reactor| &reactor.graphs) {
        graph.terminals.iter().for_each(|(branch, count)| *firings.entry(branch).or_default() += count);
    }
    let def = host.loaded().catalog().reactors.first().cloned();
    let document = json!({
        "package": def.as_ref().map(|def| &def.package),
        "digest": def.as_ref().map(|def| &def.digest),
        "firings": firings,
        "runs": runs,
        "reactors": reactors,
    });
    printer.print(&document, || text(reactors, runs))?;
    Ok(ExitStatus::Done)
}

/// Writing to a String does not fail.
fn text(reactors: &[ReactorStatus], runs: &BTreeMap<&'static str, u64>) -> String {
    let mut out = String::new();
    for ReactorStatus { name, fired, rejected, graphs, .. } in reactors {
        let _ = writeln!(out, "reactor {name} fired {fired} times, rejected {rejected} events");
        for graph in graphs {
            for (branch, count) in &graph.terminals {
                let _ = writeln!(out, "  {}: {branch} {count}", graph.name);
            }
            if let Some(error) = &graph.last_error {
                let _ =
                    writeln!(out, "  {}: {} calls failed, the last one: {error}", graph.name, graph.failed);
            }
        }
    }
    for (state, count) in runs {
        let _ = writeln!(out, "runs {state}: {count}");
    }
    out
}
