//! Start to result, one run at a time.

use crate::package::build;
use crate::row::{Row, median, percentile};
use crate::steps::host_with;
use longshore_engine::StartRequest;
use longshore_store::{Access, EventKind, EventRow, Store, Subject};
use std::time::{Duration, Instant};

const FLOOR: &str = "as many bare durable commits on such a file";

pub(crate) async fn run(smoke: bool) -> anyhow::Result<Vec<Row>> {
    let archive = build()?;
    let times = if smoke { 3 } else { 100 };
    let mut rows = Vec::new();
    for (name, workflow, commits) in
        [("run_1", "wf_single", 2), ("chain_10", "wf_chain", 11), ("fanout_100", "wf_fanout", 6)]
    {
        let folder = tempfile::tempdir()?;
        let host = host_with(folder.path(), &archive).await?;
        let bare = tempfile::tempdir()?;
        let store = Store::open_file(&bare.path().join("floor.db"), Access::Owner).await?;
        let (mut ours, mut floor) = (Vec::new(), Vec::new());
        for _ in 0..times {
            let began = Instant::now();
            for _ in 0..commits {
                let mut tx = store.begin().await?;
                EventRow::append(&mut tx, Subject::Schedule("bench"), EventKind::Missed, "", 1).await?;
                store.commit(tx).await?;
            }
            floor.push(began.elapsed().as_secs_f64() * 1000.0);
            let began = Instant::now();
            let request = StartRequest { workflow: workflow.into(), ..StartRequest::default() };
            let run = host.start(request).await?.run;
            host.wait(run).await?;
            ours.push(began.elapsed().as_secs_f64() * 1000.0);
        }
        host.shutdown(Duration::from_secs(5)).await;
        store.close().await;
        let row = Row::new(name, "ms p50", median(ours.clone())).floor(median(floor), FLOOR);
        rows.push(row.with("p99", percentile(ours, 99)));
    }
    Ok(rows)
}
