//! One claim as the writer makes it, without a writer; and ready tasks for it.

use crate::no_code::WORKFLOW;
use crate::row::median;
use longshore_store::{Claim, FencingToken, HostId, Lease, QueueId, RunScope, Store, TaskRow};
use sqlx::AssertSqlSafe;
use std::time::Instant;

/// Tasks that are claimed together.
const CLAIMED: usize = 64;

/// The queue of the tasks that this host has.
pub(crate) fn own_queue() -> QueueId {
    QueueId::of(&crate::no_code::digest(), &longshore_store::TenantId::default(), WORKFLOW)
}

/// The median milliseconds of one claim as the writer makes it: what is due is released, queues are looked for, the own one
/// is read, and its first tasks are taken. Each is undone.
pub(crate) async fn claim_ms(store: &Store, host: HostId, rounds: usize) -> anyhow::Result<f64> {
    let mut times = Vec::with_capacity(rounds);
    for _ in 0..rounds {
        let mut tx = store.begin().await?;
        let began = Instant::now();
        TaskRow::release_due(&mut tx, 1, 512).await?;
        let queues = TaskRow::claimable_queues(&mut tx).await?;
        if queues.contains(&own_queue()) {
            let mut keys = TaskRow::claimable(&mut tx, own_queue(), &RunScope::All, 1024).await?;
            keys.truncate(CLAIMED);
            let claim = Claim { host, token: FencingToken::new(1), now: 1 };
            let leases = Lease::claim(&mut tx, claim, &keys).await?;
            anyhow::ensure!(
                leases.len() == keys.len(),
                "{} of {} tasks were taken",
                leases.len(),
                keys.len()
            );
        }
        times.push(began.elapsed().as_secs_f64() * 1000.0);
        store.roll_back(tx).await?;
    }
    Ok(median(times))
}

/// Numbers as a table of one column `i`.
pub(crate) fn series(from: u64, count: u64) -> String {
    let last = from + count - 1;
    format!(
        "(WITH RECURSIVE s(i) AS (SELECT {from} UNION ALL SELECT i + 1 FROM s WHERE i < {last}) SELECT i FROM s)"
    )
}

/// Runs of one ready task each.
pub(crate) async fn ready_tasks(
    store: &Store,
    from: u64,
    count: u64,
    digest: &str,
    queue: &str,
) -> anyhow::Result<()> {
    let series = series(from, count);
    let id = "'01910000-0000-7000-8000-' || SUBSTR(CAST(1000000000000 + i AS TEXT), 2)";
    let mut tx = store.begin().await?;
    for sql in [
        format!(
            "INSERT INTO runs (id, tenant, workflow, package, version, digest, state, origin, input, open_tasks, failed_tasks, created_at) SELECT {id}, 'public', '{WORKFLOW}', 'p', '1', '{digest}', 'running', 'manual', '{{}}', 1, 0, 1 FROM {series}"
        ),
        format!(
            "INSERT INTO tasks (run_id, idx, id, queue, state, waiting, upstream_failed, attempt, lost, lost_together, lost_alone, token, due_at) SELECT {id}, 0, 'a', {queue}, 'ready', 0, 0, 0, 0, 0, 0, 0, 0 FROM {series}"
        ),
    ] {
        sqlx::query(AssertSqlSafe(sql)).execute(&mut *tx).await?;
    }
    store.commit(tx).await?;
    Ok(())
}
