//! The promises, checked against what the database says in the end.

use super::host::World;
use super::source;
use longshore_store::{Access, Store, Tx};
use serde_json::Value;
use sqlx::Row;
use std::collections::{BTreeMap, HashMap};

/// Violations of a kind that are told one by one.
const MAX_TOLD: usize = 5;

/// The outcome.
#[derive(Debug, Default)]
pub(super) struct Figures {
    pub(super) violations: Vec<String>,
    pub(super) runs: usize,
    pub(super) tasks: i64,
    pub(super) executions: usize,
    pub(super) events: u64,
}

impl Figures {
    fn tell(&mut self, all: Vec<String>) {
        let more = all.len().saturating_sub(MAX_TOLD);
        self.violations.extend(all.into_iter().take(MAX_TOLD));
        if more > 0 {
            self.violations.push(format!("and {more} more of that kind"));
        }
    }
}

pub(super) async fn check(world: &World, left: Vec<String>) -> anyhow::Result<Figures> {
    let mut figures = Figures { violations: left, ..Figures::default() };
    let store = Store::open(&world.database, Access::Client).await?;
    let mut tx = store.begin().await?;
    figures.tell(std::mem::take(&mut world.acknowledged.lock().expect("sound").contradictions));
    starts_and_results(world, &mut tx, &mut figures).await?;
    outcomes(&mut tx, &mut figures).await?;
    executions(world, &mut tx, &mut figures).await?;
    reactor(world, &mut tx, &mut figures).await?;
    remains(&mut tx, &mut figures).await?;
    store.roll_back(tx).await?;
    let report = store.check().await?;
    figures.tell(report.faults);
    store.close().await;
    Ok(figures)
}

/// Every start that was acknowledged is a run, each number has one run, and its result is the right one.
async fn starts_and_results(world: &World, tx: &mut Tx, figures: &mut Figures) -> anyhow::Result<()> {
    let sql = "SELECT runs.dedup_key AS name, runs.id AS id, runs.state AS state, tasks.patch AS patch \
               FROM runs JOIN tasks ON tasks.run_id = runs.id WHERE runs.workflow = 'work' AND tasks.id = 'sum'";
    let rows = sqlx::query(sql).fetch_all(&mut **tx).await?;
    figures.runs = rows.len();
    let mut runs: BTreeMap<u64, String> = BTreeMap::new();
    let (mut wrong, mut doubled) = (Vec::new(), Vec::new());
    for row in rows {
        let (name, id, state): (String, String, String) =
            (row.try_get("name")?, row.try_get("id")?, row.try_get("state")?);
        let n: u64 = name.trim_start_matches("chaos-").parse()?;
        let patch: Option<String> = row.try_get("patch")?;
        let patch: Value = serde_json::from_str(patch.as_deref().unwrap_or("null"))?;
        if state != "succeeded" || patch["set"]["result"] != source::result(n) {
            wrong.push(format!("run {id} of start {n} is {state}, with {patch}"));
        }
        if let Some(other) = runs.insert(n, id) {
            doubled.push(format!("start {n} has two runs, {other} among them"));
        }
    }
    let acknowledged = world.acknowledged.lock().expect("sound");
    let lost = acknowledged.runs.iter().filter(|(n, id)| runs.get(n) != Some(id));
    let lost =
        lost.map(|(n, id)| format!("start {n} was acknowledged as run {id}, and is {:?}", runs.get(n)));
    figures.tell(lost.collect());
    figures.tell(wrong);
    figures.tell(doubled);
    Ok(())
}

/// Every task of every run has one outcome.
async fn outcomes(tx: &mut Tx, figures: &mut Figures) -> anyhow::Result<()> {
    figures.tasks = sqlx::query_scalar("SELECT COUNT(*) FROM tasks WHERE state = 'succeeded'")
        .fetch_one(&mut **tx)
        .await?;
    let sql = "SELECT tasks.run_id AS run, tasks.id AS task, tasks.state AS state, COUNT(attempts.attempt) AS outcomes \
               FROM tasks LEFT JOIN attempts ON attempts.run_id = tasks.run_id AND attempts.idx = tasks.idx \
               AND attempts.outcome = 'succeeded' JOIN runs ON runs.id = tasks.run_id \
               WHERE runs.finished_at IS NOT NULL GROUP BY tasks.run_id, tasks.id, tasks.state \
               HAVING COUNT(attempts.attempt) <> 1 OR tasks.state <> 'succeeded'";
    let rows = sqlx::query(sql).fetch_all(&mut **tx).await?;
    let mut wrong = Vec::with_capacity(rows.len());
    for row in rows {
        let (run, task, state): (String, String, String) =
            (row.try_get("run")?, row.try_get("task")?, row.try_get("state")?);
        let outcomes: i64 = row.try_get("outcomes")?;
        wrong.push(format!("task {task} of run {run} is {state} with {outcomes} successful attempts"));
    }
    figures.tell(wrong);
    Ok(())
}

/// Every task that has an outcome was executed.
async fn executions(world: &World, tx: &mut Tx, figures: &mut Figures) -> anyhow::Result<()> {
    let text = std::fs::read_to_string(world.path("executions"))?;
    let mut executed: HashMap<&str, u64> = HashMap::new();
    for line in text.lines() {
        *executed.entry(line).or_default() += 1;
        figures.executions += 1;
    }
    let sql = "SELECT runs.dedup_key AS name, tasks.id AS task FROM tasks JOIN runs ON runs.id = tasks.run_id \
               WHERE runs.workflow = 'work' AND tasks.state = 'succeeded'";
    let mut never = Vec::new();
    for row in sqlx::query(sql).fetch_all(&mut **tx).await? {
        let (name, task): (String, String) = (row.try_get("name")?, row.try_get("task")?);
        let line = format!("{} {task}", name.trim_start_matches("chaos-"));
        if !executed.contains_key(line.as_str()) {
            never.push(format!("{line}: it has an outcome, and was never executed"));
        }
    }
    figures.tell(never);
    Ok(())
}

/// A sequential reactor processed every event once, in order, and its firings started what they should.
async fn reactor(world: &World, tx: &mut Tx, figures: &mut Figures) -> anyhow::Result<()> {
    figures.events = *world.events.lock().expect("sound");
    let sql = "SELECT seq, value FROM reactor_outputs WHERE reactor = 'tally' ORDER BY seq";
    let rows = sqlx::query(sql).fetch_all(&mut **tx).await?;
    let mut wrong = Vec::new();
    if rows.len() as u64 != figures.events {
        wrong.push(format!("{} outputs are recorded for {} events", rows.len(), figures.events));
    }
    for (row, expected) in rows.iter().zip(1_u64..) {
        let (seq, value): (i64, Vec<u8>) = (row.try_get("seq")?, row.try_get("value")?);
        let value: Value = longshore_workflow::deserialize(&value)?;
        if seq as u64 != expected || value["n"] != expected {
            wrong.push(format!("output {expected} is that of input {seq}: {value}"));
        }
    }
    figures.tell(wrong);
    let sql = "SELECT COUNT(*) FROM runs WHERE workflow = 'marked' AND state = 'succeeded'";
    let marked: i64 = sqlx::query_scalar(sql).fetch_one(&mut **tx).await?;
    if marked as u64 != figures.events / 100 {
        figures.tell(vec![format!("{marked} runs were started for {} marked events", figures.events / 100)]);
    }
    Ok(())
}

/// Nothing is left that nobody looks after, and the schedule fired.
async fn remains(tx: &mut Tx, figures: &mut Figures) -> anyhow::Result<()> {
    let none = [
        ("tasks that run on no host", "SELECT COUNT(*) FROM tasks WHERE state = 'running'"),
        ("generations that are still loading", "SELECT COUNT(*) FROM generations WHERE state = 'loading'"),
        ("dead letters", "SELECT COUNT(*) FROM dead_letters"),
        ("inputs that were not processed", "SELECT COUNT(*) FROM reactor_inputs"),
    ];
    let mut wrong = Vec::new();
    for (what, sql) in none {
        let count: i64 = sqlx::query_scalar(sql).fetch_one(&mut **tx).await?;
        if count != 0 {
            wrong.push(format!("{count} {what}"));
        }
    }
    let ticks: i64 =
        sqlx::query_scalar("SELECT COUNT(*) FROM runs WHERE workflow = 'tick'").fetch_one(&mut **tx).await?;
    if ticks == 0 {
        wrong.push("a schedule never fired".to_owned());
    }
    figures.tell(wrong);
    Ok(())
}
