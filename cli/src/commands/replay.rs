//! `longshore run` of a package whose reactors read streams: from the beginning to the end.

use crate::host::Host;
use crate::output;
use longshore_engine::{AccumulatorKind, Packages, ReactorDef, ReactorStatus};
use longshore_store::{RunRow, RunState};
use serde_json::json;
use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::Duration;

/// How often it is looked whether everything was read.
const LOOK: Duration = Duration::from_millis(20);

/// Newest runs that are looked through for those that firings started.
const RUNS: i64 = 100_000;

/// Exit code after Ctrl-C, as shells count it.
const INTERRUPTED: u8 = 130;

/// Whether the loaded packages have a reactor that reads a stream.
pub(crate) fn is_wanted(host: &Host) -> bool {
    host.reconciler.loaded().catalog().reactors.iter().any(|def| reads_stream(def))
}

fn reads_stream(def: &ReactorDef) -> bool {
    let kinds = def.sources.iter().filter_map(|source| source.accumulator.as_ref()).map(|a| &a.kind);
    kinds.into_iter().any(|kind| matches!(kind, AccumulatorKind::Stream(_)))
}

/// Follows the reactors until their streams are read and the runs they started are over.
pub(crate) async fn run(host: &Host, json: bool) -> anyhow::Result<ExitCode> {
    let began = now();
    let wanted = host.reconciler.loaded().catalog().reactors.len();
    let reactors = host.engine.reactors();
    tokio::select! {
        () = async {
            while reactors.list().len() < wanted || !reactors.is_drained() {
                if let Some(problem) = problem(&reactors.list()) {
                    eprintln!("waiting: {problem}; Ctrl-C stops");
                    tokio::time::sleep(Duration::from_secs(2)).await;
                }
                tokio::time::sleep(LOOK).await;
            }
        } => {}
        _ = tokio::signal::ctrl_c() => return Ok(ExitCode::from(INTERRUPTED)),
    }
    let runs = started(host, began).await?;
    report(host, &reactors.list(), &runs, json)
}

fn now() -> i64 {
    chrono::Utc::now().timestamp_millis()
}

/// Why a stream does not read.
fn problem(reactors: &[ReactorStatus]) -> Option<String> {
    let sources = reactors.iter().flat_map(|reactor| &reactor.sources);
    sources.into_iter().find_map(|source| Some(format!("{}: {}", source.name, source.problem.as_ref()?)))
}

/// Runs that firings started, by how they ended; waits for those that are not over.
async fn started(host: &Host, since: i64) -> anyhow::Result<BTreeMap<&'static str, u64>> {
    loop {
        let runs = RunRow::newest(host.engine.store(), None, RUNS).await?;
        let own = runs.iter().filter(|run| run.created_at >= since && run.origin.starts_with("reactor:"));
        let mut states: BTreeMap<&'static str, u64> = BTreeMap::new();
        own.for_each(|run| *states.entry(run.state.as_str()).or_default() += 1);
        if !states.contains_key(RunState::Running.as_str()) {
            return Ok(states);
        }
        tokio::time::sleep(LOOK).await;
    }
}

fn report(
    host: &Host,
    reactors: &[ReactorStatus],
    runs: &BTreeMap<&'static str, u64>,
    json: bool,
) -> anyhow::Result<ExitCode> {
    let mut firings: BTreeMap<&str, u64> = BTreeMap::new();
    for graph in reactors.iter().flat_map(|reactor| &reactor.graphs) {
        graph.terminals.iter().for_each(|(branch, count)| *firings.entry(branch).or_default() += count);
    }
    if json {
        let def = host.reconciler.loaded().catalog().reactors.first().cloned();
        output::json(&json!({
            "package": def.as_ref().map(|def| &def.package),
            "digest": def.as_ref().map(|def| &def.digest),
            "firings": firings,
            "runs": runs,
            "reactors": reactors,
        }))?;
        return Ok(ExitCode::SUCCESS);
    }
    for reactor in reactors {
        println!(
            "reactor {} fired {} times, rejected {} events",
            reactor.name, reactor.fired, reactor.rejected
        );
        for graph in &reactor.graphs {
            for (branch, count) in &graph.terminals {
                println!("  {}: {branch} {count}", graph.name);
            }
            if let Some(error) = &graph.last_error {
                println!("  {}: {} calls failed, the last one: {error}", graph.name, graph.failed);
            }
        }
    }
    for (state, count) in runs {
        println!("runs {state}: {count}");
    }
    Ok(ExitCode::SUCCESS)
}
