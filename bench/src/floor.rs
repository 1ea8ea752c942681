//! The rows of durable steps, written raw: what storage alone allows.

use longshore_store::{Access, Store};
use sqlx::sqlite::SqliteConnection;
use sqlx::{AssertSqlSafe, Connection};
use std::path::Path;
use std::time::Instant;
use uuid::Uuid;

/// Most rows of one statement: SQLite takes 32,766 parameters.
const ROWS: usize = 1000;

/// Seconds that the rows of `runs` runs of `tasks` tasks take on the driver alone: one transaction for the
/// starts, then one for each batch of `batch` steps (claim, attempt, outcome, the run's count).
pub(crate) async fn seconds(runs: usize, tasks: usize, batches: &[usize]) -> anyhow::Result<f64> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("floor.db");
    // Only for its tables.
    Store::open_file(&path, Access::Owner).await?.close().await;
    let mut connection = open(&path).await?;
    let runs: Vec<String> = (0..runs).map(|_| Uuid::now_v7().to_string()).collect();
    let steps: Vec<(&str, i64)> =
        runs.iter().flat_map(|run| (0..tasks as i64).map(move |idx| (run.as_str(), idx))).collect();
    let began = Instant::now();
    start(&mut connection, &runs, &steps, tasks).await?;
    let mut rest = steps.as_slice();
    let mut sizes = batches.iter().cycle();
    while !rest.is_empty() {
        let (batch, after) = rest.split_at(rest.len().min(*sizes.next().unwrap_or(&1)));
        step(&mut connection, batch).await?;
        rest = after;
    }
    let seconds = began.elapsed().as_secs_f64();
    connection.close().await?;
    Ok(seconds)
}

async fn open(path: &Path) -> anyhow::Result<SqliteConnection> {
    let mut connection = SqliteConnection::connect(&format!("sqlite:{}", path.display())).await?;
    for pragma in ["journal_mode = WAL", "synchronous = FULL", "cache_size = -16384"] {
        sqlx::query(AssertSqlSafe(format!("PRAGMA {pragma}"))).execute(&mut connection).await?;
    }
    Ok(connection)
}

async fn execute(connection: &mut SqliteConnection, sql: &'static str) -> anyhow::Result<()> {
    sqlx::query(sql).execute(connection).await?;
    Ok(())
}

/// `head (row), (row) tail`, with the parameters of each row bound by `bind`.
macro_rules! many {
    ($connection:expr, $rows:expr, $head:literal, $row:literal, $tail:literal, |$query:ident, $item:pat_param| $bind:expr) => {
        for chunk in $rows.chunks(ROWS) {
            let sql = format!("{} {} {}", $head, vec![$row; chunk.len()].join(","), $tail);
            let mut $query = sqlx::query(AssertSqlSafe(sql));
            for $item in chunk {
                $query = $bind;
            }
            $query.execute(&mut *$connection).await?;
        }
    };
}

// Digest, host and times in these statements are as long as real ones: a row of the floor has as many bytes as
// one of the engine.

async fn start(
    connection: &mut SqliteConnection,
    runs: &[String],
    steps: &[(&str, i64)],
    tasks: usize,
) -> anyhow::Result<()> {
    execute(connection, "BEGIN IMMEDIATE").await?;
    many!(
        connection,
        runs,
        "INSERT INTO runs (id, tenant, workflow, package, version, digest, state, origin, input, open_tasks, failed_tasks, created_at) VALUES",
        "(?, 'public', 'wf_fanout', 'measured', '1.0.0', '41849bb15c7f1e0b3f0f7a2c5d9e8b6a41849bb15c7f1e0b3f0f7a2c5d9e8b6a', 'running', 'manual', '{}', ?, 0, 1795278478000)",
        "",
        |query, run| query.bind(run).bind(tasks as i64)
    );
    many!(
        connection,
        steps,
        "INSERT INTO tasks (run_id, idx, id, queue, state, waiting, upstream_failed, attempt, lost, lost_together, lost_alone, token, due_at) VALUES",
        "(?, ?, 'task', 5795278478123456789, 'ready', 0, 0, 0, 0, 0, 0, 0, 0)",
        "",
        |query, (run, idx)| query.bind(*run).bind(*idx)
    );
    execute(connection, "COMMIT").await
}

async fn step(connection: &mut SqliteConnection, steps: &[(&str, i64)]) -> anyhow::Result<()> {
    execute(connection, "BEGIN IMMEDIATE").await?;
    many!(
        connection,
        steps,
        "UPDATE tasks SET state = 'running', attempt = 1, token = 1795278478000, host_id = '0193502c-7d3a-7c11-9d27-2f1f0a6f5b11', started_at = 1795278478000 WHERE (run_id, idx) IN (VALUES",
        "(?, ?)",
        ")",
        |query, (run, idx)| query.bind(*run).bind(*idx)
    );
    many!(
        connection,
        steps,
        "INSERT INTO attempts (run_id, idx, attempt, host_id, started_at, finished_at, outcome) VALUES",
        "(?, ?, 1, '0193502c-7d3a-7c11-9d27-2f1f0a6f5b11', 1795278478000, 1795278478000, 'succeeded')",
        "",
        |query, (run, idx)| query.bind(*run).bind(*idx)
    );
    many!(
        connection,
        steps,
        "UPDATE tasks SET state = 'succeeded', finished_at = 1795278478000 WHERE (run_id, idx) IN (VALUES",
        "(?, ?)",
        ")",
        |query, (run, idx)| query.bind(*run).bind(*idx)
    );
    many!(
        connection,
        steps,
        "UPDATE runs SET open_tasks = open_tasks - 1 WHERE id IN (VALUES",
        "(?)",
        ")",
        |query, (run, _)| query.bind(*run)
    );
    execute(connection, "COMMIT").await
}

/// Seconds that the rows of so many inputs of a sequential reactor take on the driver alone: for each batch one
/// transaction with the inputs, and one with the outputs that forgets them.
pub(crate) async fn inputs_seconds(inputs: usize, batch: usize) -> anyhow::Result<f64> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("floor.db");
    Store::open_file(&path, Access::Owner).await?.close().await;
    let mut connection = open(&path).await?;
    let all: Vec<i64> = (1..=inputs as i64).collect();
    let began = Instant::now();
    for batch in all.chunks(batch) {
        execute(&mut connection, "BEGIN IMMEDIATE").await?;
        many!(
            &mut connection,
            batch,
            "INSERT INTO reactor_inputs (reactor, seq, source, payload) VALUES",
            "('floor', ?, 'numbers', x'15')",
            "",
            |query, seq| query.bind(*seq)
        );
        execute(&mut connection, "COMMIT").await?;
        execute(&mut connection, "BEGIN IMMEDIATE").await?;
        many!(
            &mut connection,
            batch,
            "INSERT INTO reactor_outputs (reactor, seq, graph, terminal, value, at) VALUES",
            "('floor', ?, 'doubling', 'twice', x'2a', 1)",
            "",
            |query, seq| query.bind(*seq)
        );
        execute(&mut connection, "DELETE FROM reactor_inputs WHERE reactor = 'floor'").await?;
        execute(
            &mut connection,
            "INSERT OR REPLACE INTO reactors (name, cursor, paused, state, updated_at) VALUES ('floor', 1, 0, x'00', 1)",
        )
        .await?;
        execute(&mut connection, "COMMIT").await?;
    }
    let seconds = began.elapsed().as_secs_f64();
    connection.close().await?;
    Ok(seconds)
}
