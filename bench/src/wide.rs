//! Wide runs: many tasks side by side that set one key, and one that waits for all of them.

use crate::floor;
use crate::host::SLOTS;
use crate::no_code::{NoCode, WORKFLOW, succeeded};
use crate::row::{Row, median};
use longshore_engine::StartRequest;
use longshore_store::{Access, Store};
use std::time::{Duration, Instant};

/// The widest: as many tasks as a workflow may have.
const WIDEST: usize = 10_000;

pub(crate) async fn run(smoke: bool) -> anyhow::Result<Vec<Row>> {
    let (widths, rounds): (&[usize], _) = if smoke { (&[100], 1) } else { (&[1000, WIDEST], 5) };
    let mut rows = Vec::new();
    for tasks in widths {
        let (mut ours, mut floors) = (Vec::new(), Vec::new());
        for _ in 0..rounds {
            ours.push(join(*tasks).await?);
            floors.push(floor::seconds(1, *tasks, &[SLOTS]).await? * 1000.0);
        }
        let name = "the same rows written raw in batches of the same size";
        rows.push(Row::new(format!("join_{tasks}"), "ms", median(ours)).floor(median(floors), name));
    }
    Ok(rows)
}

/// Milliseconds of one run of so many tasks, from its start to its end.
async fn join(tasks: usize) -> anyhow::Result<f64> {
    let width = tasks - 1;
    let mut graph: Vec<(String, Vec<String>)> =
        (0..width).map(|i| (format!("t{i:05}"), Vec::new())).collect();
    graph.push(("z".to_owned(), graph.iter().map(|(id, _)| id.clone()).collect()));
    let folder = tempfile::tempdir()?;
    let store = Store::open_file(&folder.path().join("bench.db"), Access::Owner).await?;
    let engine = NoCode::new(&graph, Duration::ZERO, Some("result"))?.open(store, SLOTS).await?;
    let began = Instant::now();
    let run = engine.start(StartRequest { workflow: WORKFLOW.into(), ..StartRequest::default() }).await?.run;
    succeeded(&engine, run).await?;
    let ms = began.elapsed().as_secs_f64() * 1000.0;
    engine.shutdown(Duration::from_secs(1)).await;
    Ok(ms)
}
