//! The plan of every statement in a database with a history: none walks through a table that grows.

mod suites;

use longshore_store::Store;
use longshore_testing::Backend;
use sqlx::{AssertSqlSafe, Row};
use std::collections::BTreeSet;
use std::sync::Mutex;
use tracing::field::{Field, Visit};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

/// Tables that grow with what was run, or with the hosts and packages that ever were.
const GROWING: [&str; 13] = [
    "runs",
    "tasks",
    "attempts",
    "events",
    "dead_letters",
    "reactor_inputs",
    "reactor_outputs",
    "generations",
    "artifacts",
    "verdicts",
    "entries",
    "hosts",
    "requests",
];

/// Indexes of what is open, waits or failed. They are small however long the history is: walking through one is not a scan.
const OF_WHAT_IS_OPEN: [&str; 10] = [
    "hosts_running",
    "requests_waiting",
    "runs_open",
    "runs_to_cancel",
    "runs_to_end",
    "runs_failed",
    "runs_cancelled",
    "tasks_claimable",
    "tasks_delayed",
    "tasks_running",
];

/// The statements that were executed, as the driver logs them.
static EXECUTED: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

/// One database at a time.
static ONE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

struct Statements;

impl<S: tracing::Subscriber> Layer<S> for Statements {
    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
        if event.metadata().target() != "sqlx::query" {
            return;
        }
        let mut texts = Texts::default();
        event.record(&mut texts);
        let text = if texts.statement.is_empty() { texts.summary } else { texts.statement };
        EXECUTED.lock().expect("sound").insert(text.trim().to_owned());
    }
}

/// The text of a statement, which is in its summary when it is short.
#[derive(Default)]
struct Texts {
    summary: String,
    statement: String,
}

impl Visit for Texts {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.record_str(field, &format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "summary" => value.clone_into(&mut self.summary),
            "db.statement" => value.clone_into(&mut self.statement),
            _ => {}
        }
    }
}

/// Executes every suite, each in a database that `fresh` makes, and returns the statements.
async fn executed(fresh: impl Fn(&str) -> Backend) -> BTreeSet<String> {
    let _ = tracing::subscriber::set_global_default(tracing_subscriber::registry().with(Statements));
    EXECUTED.lock().expect("sound").clear();
    suites::a_run_is_started_claimed_and_ended(fresh("1")).await;
    suites::a_task_that_is_put_back_is_claimable_when_it_is_due(fresh("2")).await;
    suites::a_claim_from_memory_counts_what_it_changes(fresh("3")).await;
    suites::packages_and_their_generations_are_recorded(fresh("4")).await;
    suites::overrides_are_recorded_and_released(fresh("5")).await;
    suites::what_has_ended_is_deleted_and_nothing_else(fresh("6")).await;
    suites::dead_letters_are_recorded_once_and_forgotten(fresh("7")).await;
    suites::reactors_and_their_inputs_are_recorded(fresh("8")).await;
    suites::what_moves_with_the_clock_and_what_is_cancelled(fresh("9")).await;
    suites::a_verdict_holds_for_its_environment_and_a_refusal_until_a_retry(fresh("10")).await;
    suites::a_host_that_died_lived_until_it_was_seen_last(fresh("11")).await;
    suites::requests_are_answered_once_and_forgotten(fresh("12")).await;
    suites::runs_are_listed_by_what_they_are(fresh("13")).await;
    let data = |text: &String| {
        ["SELECT", "INSERT", "UPDATE", "DELETE", "WITH"].iter().any(|verb| text.starts_with(verb))
    };
    let known = |text: &String| !text.contains("_sqlx_migrations") && !text.contains("pg_") && data(text);
    std::mem::take(&mut *EXECUTED.lock().expect("sound")).into_iter().filter(known).collect()
}

/// Numbers from 1, as a table `n` of one column `i`.
fn series(count: u32) -> String {
    format!(
        "(WITH RECURSIVE s(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM s WHERE i < {count}) SELECT i FROM s) AS n"
    )
}

/// Statements that insert finished runs, dead hosts, packages that are gone; and a little that is open.
fn inserts() -> Vec<String> {
    let id = |i: &str| format!("'019a0000-0000-7000-8000-' || CAST(100000000000 + {i} AS TEXT)");
    let run = id("i");
    let ended = "CASE WHEN i < 30100 THEN i END";
    let runs = "CASE WHEN i >= 30100 THEN 'running' WHEN i % 1000 = 0 THEN 'failed' ELSE 'succeeded' END";
    let tasks = "CASE WHEN i >= 30100 THEN 'ready' ELSE 'succeeded' END";
    vec![
        format!(
            "INSERT INTO runs SELECT {run}, 'public', 'w', 'p', '1', 'd' || (i % 50), {runs}, 'manual', 'key' || i, '{{}}', NULL, 0, 0, 0, NULL, NULL, i, {ended} FROM {}",
            series(30_200)
        ),
        format!(
            "INSERT INTO tasks SELECT {run}, 0, 'a', i % 50, {tasks}, 0, 0, 1, 0, 0, 0, i, 0, 'h', i, {ended}, NULL, '{{}}' FROM {}",
            series(30_200)
        ),
        format!(
            "INSERT INTO tasks SELECT {run}, 1, 'b', i % 50, {tasks}, 0, 0, 1, 0, 0, 0, i, 0, 'h', i, {ended}, NULL, '{{}}' FROM {}",
            series(30_200)
        ),
        format!(
            "INSERT INTO attempts SELECT {run}, 0, 1, 'h', i, i, 'succeeded', NULL FROM {}",
            series(30_000)
        ),
        format!(
            "INSERT INTO events SELECT {run}, i, 'run/' || {run}, 'cancelled', 'm' FROM {}",
            series(30_000)
        ),
        format!(
            "INSERT INTO dead_letters (id, reactor, source, position, field, message, payload, resendable, at) SELECT {run}, 'r' || (i % 30), 's', '', '', 'm', 'null', 1, i FROM {}",
            series(30_000)
        ),
        format!("INSERT INTO reactor_inputs SELECT 'r' || (i % 30), i, 's', 'x' FROM {}", series(30_000))
            .replace("'x'", "CAST('x' AS {blob})"),
        format!(
            "INSERT INTO reactor_outputs SELECT 'r' || (i % 30), i, 'g', 't', 'x', i FROM {}",
            series(30_000)
        )
        .replace("'x'", "CAST('x' AS {blob})"),
        format!("INSERT INTO hosts SELECT {run}, 'h', 1, i, i, i, 0 FROM {}", series(3000)),
        format!(
            "INSERT INTO generations SELECT {run}, 'h' || (i % 3000), 'd' || i, 'p' || (i % 100), '1', 'unloaded', 6, i, i, 'unmapped', NULL FROM {}",
            series(10_000)
        ),
        format!(
            "INSERT INTO artifacts SELECT 'd' || i, 'p' || (i % 100), '1', 't', 1, '', NULL, NULL, '', i, i FROM {}",
            series(10_000)
        ),
        format!(
            "INSERT INTO verdicts SELECT 'd' || i, 'e', 'p' || (i % 100), 'sound', NULL, NULL, i FROM {}",
            series(10_000)
        ),
        format!(
            "INSERT INTO requests SELECT {run}, 'start', 'public', 'w', '{{}}', 'a', 'r', i, '[]', NULL, NULL, NULL FROM {}",
            series(30_000)
        ),
        format!("INSERT INTO entries SELECT 'd' || i, 'task', 't', '{{}}' FROM {}", series(10_000)),
    ]
}

async fn fill(backend: &Backend, store: &Store) {
    let blob = if backend.url().starts_with("sqlite") { "BLOB" } else { "BYTEA" };
    let mut tx = store.begin().await.expect("begins");
    for sql in inserts() {
        let sql = sql.replace("{blob}", blob);
        sqlx::query(AssertSqlSafe(sql.clone()))
            .execute(&mut *tx)
            .await
            .unwrap_or_else(|e| panic!("{sql}: {e}"));
    }
    store.commit(tx).await.expect("commits");
    let mut tx = store.begin().await.expect("begins");
    sqlx::query("ANALYZE").execute(&mut *tx).await.expect("analyzes");
    store.commit(tx).await.expect("commits");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_statement_walks_through_a_table_that_grows_on_sqlite() {
    let _one = ONE.lock().await;
    let statements = executed(|_| Backend::sqlite()).await;
    let backend = Backend::sqlite();
    let store = backend.open().await;
    fill(&backend, &store).await;
    let mut tx = store.begin().await.expect("begins");
    let mut walks = Vec::new();
    for sql in &statements {
        let explain = AssertSqlSafe(format!("EXPLAIN QUERY PLAN {sql}"));
        let rows = sqlx::query(explain).fetch_all(&mut *tx).await.unwrap_or_else(|e| panic!("{sql}: {e}"));
        for row in rows {
            let step: String = row.get("detail");
            let Some(rest) = step.strip_prefix("SCAN ") else { continue };
            let table = rest.split(' ').next().unwrap_or_default();
            let is_open = OF_WHAT_IS_OPEN.iter().any(|index| rest.ends_with(index));
            if GROWING.contains(&table) && !is_open && !is_a_page(sql) {
                walks.push(format!("{step}: {sql}"));
            }
        }
    }
    assert!(statements.len() > 110, "{}: {statements:#?}", statements.len());
    assert!(walks.is_empty(), "{walks:#?}");
}

longshore_testing::on_postgres! {
    async fn no_statement_walks_through_a_table_that_grows_on_postgres() {
        let _one = ONE.lock().await;
        let statements = executed(|n| Backend::postgres(&format!("plans {n}"))).await;
        let backend = Backend::postgres("plans");
        let store = backend.open().await;
        fill(&backend, &store).await;
        let mut tx = store.begin().await.expect("begins");
        // The plan for any values, and not for those that are given.
        sqlx::query("SET plan_cache_mode = force_generic_plan").execute(&mut *tx).await.expect("sets");
        let mut walks = Vec::new();
        for (n, sql) in statements.iter().enumerate() {
            let prepare = AssertSqlSafe(format!("PREPARE p{n} AS {sql}"));
            sqlx::raw_sql(prepare).execute(&mut *tx).await.unwrap_or_else(|e| panic!("{sql}: {e}"));
            let params = (1..).take_while(|n| sql.contains(&format!("${n}"))).count();
            let nulls = vec!["NULL"; params].join(", ");
            let call = if params == 0 { String::new() } else { format!("({nulls})") };
            let explain = AssertSqlSafe(format!("EXPLAIN EXECUTE p{n}{call}"));
            let rows = sqlx::raw_sql(explain).fetch_all(&mut *tx).await.unwrap_or_else(|e| panic!("{sql}: {e}"));
            let plan: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
            if is_a_page(sql) {
                continue;
            }
            walks.extend(walks_of(&plan).into_iter().map(|step| format!("{step}: {sql}")));
        }
        assert!(statements.len() > 110, "{}: {statements:#?}", statements.len());
        assert!(walks.is_empty(), "{walks:#?}");
    }
}

/// True of a statement that reads the first rows of a table by its key or by an index, and no more than it was asked for.
fn is_a_page(sql: &str) -> bool {
    let in_order = [" ORDER BY id ", " FROM hosts ORDER BY seen_at "].iter().any(|order| sql.contains(order));
    !sql.contains(" WHERE ") && in_order && sql.contains(" LIMIT ")
}

/// The steps of a plan that read a table that grows without a key.
fn walks_of(plan: &[String]) -> Vec<&str> {
    let is_step = |line: &str| line.contains("  (cost=");
    let steps = plan.iter().enumerate().filter(|(_, line)| is_step(line));
    let walk = |(at, line): (usize, &'_ String)| {
        let of_step = plan[at + 1..].iter().take_while(|line| !is_step(line));
        let by_key = of_step.into_iter().any(|line| line.trim_start().starts_with("Index Cond"));
        let words: Vec<&str> = line.split_whitespace().collect();
        let after =
            |word: &str| words.iter().position(|w| *w == word).and_then(|at| words.get(at + 1)).copied();
        let reads = line.contains("Scan") && after("on").is_some_and(|table| GROWING.contains(&table));
        let is_open = after("using").is_some_and(|index| OF_WHAT_IS_OPEN.contains(&index));
        // A bitmap is made by a step of its own, by a key.
        let is_bitmap = line.contains("Bitmap Heap Scan");
        reads && !by_key && !is_open && !is_bitmap
    };
    steps.filter(|step| walk(*step)).map(|(_, line)| line.trim()).collect()
}
