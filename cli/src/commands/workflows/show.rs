//! `longshore workflows show`.

use crate::error::CliError;
use crate::home::Home;
use crate::output::{ExitStatus, Printer};
use crate::view::drawing::{Drawing, Format, Shape};
use crate::view::entries::{Entry, entries, workflow_name};
use longshore_store::{EntryKind, Store};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::HashSet;
use std::fmt::Write;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The workflow; `tenant/name` for tenants other than public
    workflow: String,
    #[command(flatten)]
    format: Format,
}

/// A task as it is recorded with its package.
#[derive(Deserialize, Serialize)]
struct Task {
    #[serde(default)]
    id: String,
    dependencies: Vec<String>,
    rule: Value,
    what: String,
}

pub(super) async fn run(home: &Home, args: Args, printer: &Printer) -> anyhow::Result<ExitStatus> {
    let store = home.open_read_only().await?;
    let workflow = find(&store, &args.workflow).await?;
    let tasks = tasks(&store, &workflow).await?;
    let document = json!({ "workflow": args.workflow, "package": workflow.package, "tasks": serde_json::to_value(&tasks)? });
    printer.print(&document, || {
        args.format.print(&drawing(&tasks), &args.workflow, || as_text(&args.workflow, &workflow, &tasks))
    })?;
    Ok(ExitStatus::Done)
}

/// The workflow of this name in the desired packages.
async fn find(store: &Store, name: &str) -> anyhow::Result<Entry> {
    let workflows = entries(store, EntryKind::Workflow).await?;
    let known = workflows.iter().map(|entry| workflow_name(&entry.name)).collect();
    let found = workflows.into_iter().find(|entry| workflow_name(&entry.name) == name);
    Ok(found.ok_or_else(|| CliError::NoEntry { kind: "workflow", name: name.to_owned(), known })?)
}

/// The tasks of a workflow, each after those that it waits for.
async fn tasks(store: &Store, workflow: &Entry) -> anyhow::Result<Vec<Task>> {
    let within = format!("{}::", workflow.name);
    let mut left = Vec::new();
    for entry in entries(store, EntryKind::Task).await? {
        if let Some(id) = entry.name.strip_prefix(&within).filter(|_| entry.package == workflow.package) {
            left.push(Task { id: id.to_owned(), ..serde_json::from_value(entry.detail)? });
        }
    }
    Ok(in_order(left))
}

/// Tasks level by level.
fn in_order(mut left: Vec<Task>) -> Vec<Task> {
    let mut ordered: Vec<Task> = Vec::new();
    loop {
        let before: HashSet<&str> = ordered.iter().map(|task| task.id.as_str()).collect();
        let is_next = |task: &Task| task.dependencies.iter().all(|id| before.contains(id.as_str()));
        let (next, rest): (Vec<Task>, Vec<Task>) = left.into_iter().partition(is_next);
        left = rest;
        if next.is_empty() {
            // A package with a circle is not loaded; should one be recorded, its tasks come last.
            ordered.extend(left);
            return ordered;
        }
        ordered.extend(next);
    }
}

fn as_text(name: &str, workflow: &Entry, tasks: &[Task]) -> String {
    let mut out = format!("workflow {name} of {}\n", workflow.package);
    for task in tasks {
        let after = match task.dependencies.as_slice() {
            [] => String::new(),
            dependencies => format!(" after {}", dependencies.join(", ")),
        };
        // Writing to a String does not fail.
        let _ = writeln!(out, "  {}{after}", task.id);
        if let Some(what) = task.what.lines().next() {
            let _ = writeln!(out, "      {what}");
        }
        if !task.rule.is_null() {
            let _ = writeln!(out, "      runs when {}", task.rule);
        }
    }
    out
}

fn drawing(tasks: &[Task]) -> Drawing {
    let mut drawing = Drawing::default();
    let waited_for: HashSet<&String> = tasks.iter().flat_map(|task| &task.dependencies).collect();
    for task in tasks {
        drawing.node(&task.id, if waited_for.contains(&task.id) { Shape::Step } else { Shape::Last });
    }
    for task in tasks {
        for dependency in &task.dependencies {
            drawing.arrow(dependency, &task.id, "");
        }
    }
    drawing
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(tasks: &[(&str, &[&str])]) -> Vec<String> {
        let task = |(id, dependencies): &(&str, &[&str])| Task {
            id: (*id).to_owned(),
            dependencies: dependencies.iter().map(|id| (*id).to_owned()).collect(),
            rule: Value::Null,
            what: String::new(),
        };
        in_order(tasks.iter().map(task).collect()).into_iter().map(|task| task.id).collect()
    }

    #[test]
    fn tasks_come_after_those_that_they_wait_for_and_a_circle_comes_last() {
        assert_eq!(order(&[("c", &["a", "b"]), ("b", &["a"]), ("a", &[]), ("d", &[])]), ["a", "d", "b", "c"]);
        assert_eq!(order(&[("x", &["y"]), ("y", &["x"]), ("a", &[])]), ["a", "x", "y"]);
    }
}
