//! The entries of a package in one comparable form.

use crate::record::StaticRecord;
use longshore_workflow_plugin::wire::{GraphMetadata, ReactorMetadata, TaskMetadata, TriggerMetadata};
use std::collections::BTreeSet;
use std::fmt;

/// One entry: its kind, its name, and all else of it that the static record carries too.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct DeclaredEntry {
    /// `workflow`, `task`, `trigger`, `reactor`, `accumulator` or `graph`.
    pub kind: &'static str,
    /// The full name.
    pub name: String,
    /// The fields that must agree besides.
    pub detail: String,
}

impl fmt::Display for DeclaredEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} `{}`", self.kind, self.name)
    }
}

/// All entries, from the static record or from the live library: equal when the library is what it says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Declared {
    entries: BTreeSet<DeclaredEntry>,
}

/// A loaded library's answers about itself.
#[derive(Debug, Clone, Default)]
pub struct LiveEntries {
    /// Of `get_task_metadata`.
    pub tasks: TaskMetadata,
    /// Of `get_trigger_metadata`.
    pub triggers: TriggerMetadata,
    /// Of `get_reactor_metadata`.
    pub reactors: ReactorMetadata,
    /// Of `get_graph_metadata`.
    pub bound_graphs: GraphMetadata,
    /// Of `get_triggerless_graph_metadata`.
    pub triggerless_graphs: GraphMetadata,
}

impl Declared {
    /// The entries of the static record.
    pub fn of_record(record: &StaticRecord) -> Self {
        let workflows = record.workflows.iter().map(|w| {
            let params: Vec<&str> = w.params.iter().map(|(name, ..)| name.as_str()).collect();
            entry("workflow", &[&w.tenant, &w.name], params.join(","))
        });
        let tasks =
            record.tasks.iter().map(|t| task(&t.tenant, &t.workflow, &t.id, &t.dependencies, &t.fingerprint));
        let triggers = record.triggers.iter().map(|t| {
            let interval = t.poll_interval_ms.parse().unwrap_or(0);
            trigger(&t.name, [&t.workflow, &t.cron, &t.timezone, &t.reactor], interval)
        });
        let reactors = record.reactors.iter().map(|r| {
            let texts = [r.criteria.as_str(), r.input_strategy.as_str()];
            reactor(&r.name, &r.sources, texts, &r.criteria_sources)
        });
        let accumulators = record
            .accumulators
            .iter()
            .map(|a| entry("accumulator", &[&a.name], format!("{} {}", a.kind, a.config)));
        let graphs = record.graphs.iter().map(|g| {
            let edges = g.edges.iter().map(|(from, to, variant)| format!("{from}-{variant}>{to}"));
            graph(&g.name, &g.reactor, &g.nodes, edges.collect())
        });
        let entries =
            workflows.chain(tasks).chain(triggers).chain(reactors).chain(accumulators).chain(graphs);
        Self { entries: entries.collect() }
    }

    /// The entries that the loaded library answers with.
    pub fn of_library(live: &LiveEntries) -> Self {
        let workflows = live.tasks.workflows.iter().map(|w| {
            let params: Vec<&str> = w.params.iter().map(|p| p.name.as_str()).collect();
            entry("workflow", &[&w.tenant, &w.name], params.join(","))
        });
        let tasks = live
            .tasks
            .tasks
            .iter()
            .map(|t| task(&t.tenant, &t.workflow, &t.id, &t.dependencies, &t.fingerprint));
        let triggers =
            live.triggers.triggers.iter().map(|t| {
                trigger(&t.name, [&t.workflow, &t.cron, &t.timezone, &t.reactor], t.poll_interval_ms)
            });
        let reactors = live.reactors.reactors.iter().map(|r| {
            let sources: Vec<String> = r.sources.iter().map(|source| source.name.clone()).collect();
            reactor(&r.name, &sources, [&r.criteria, &r.input_strategy], &r.criteria_sources)
        });
        let accumulators = live
            .reactors
            .accumulators
            .iter()
            .map(|a| entry("accumulator", &[&a.name], format!("{} {}", a.kind, a.config)));
        let graphs = live.bound_graphs.graphs.iter().chain(&live.triggerless_graphs.graphs).map(|g| {
            let edges = g.edges.iter().map(|e| format!("{}-{}>{}", e.from, e.variant, e.to));
            graph(&g.name, &g.reactor, &g.nodes, edges.collect())
        });
        let entries =
            workflows.chain(tasks).chain(triggers).chain(reactors).chain(accumulators).chain(graphs);
        Self { entries: entries.collect() }
    }

    /// The number of entries.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// True when there is no entry.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The differences of `self` (the record) and `live`, one sentence each.
    pub fn differences(&self, live: &Self) -> Vec<String> {
        let missing = self
            .entries
            .difference(&live.entries)
            .map(|e| format!("{e} is in the static record and not in the library"));
        let extra = live
            .entries
            .difference(&self.entries)
            .map(|e| format!("{e} is in the library and not in the static record"));
        missing.chain(extra).collect()
    }
}

impl IntoIterator for Declared {
    type Item = DeclaredEntry;
    type IntoIter = std::collections::btree_set::IntoIter<DeclaredEntry>;

    fn into_iter(self) -> Self::IntoIter {
        self.entries.into_iter()
    }
}

fn entry(kind: &'static str, name: &[&str], detail: String) -> DeclaredEntry {
    DeclaredEntry { kind, name: name.join("::"), detail }
}

fn task(tenant: &str, workflow: &str, id: &str, dependencies: &[String], fingerprint: &str) -> DeclaredEntry {
    entry("task", &[tenant, workflow, id], format!("{} {fingerprint}", dependencies.join(",")))
}

fn trigger(name: &str, texts: [&str; 4], interval_ms: u64) -> DeclaredEntry {
    entry("trigger", &[name], format!("{} {interval_ms}", texts.join(" ")))
}

fn reactor(name: &str, sources: &[String], texts: [&str; 2], criteria: &[String]) -> DeclaredEntry {
    entry("reactor", &[name], format!("{} {} {}", sources.join(","), texts.join(" "), criteria.join(",")))
}

fn graph(name: &str, reactor: &str, nodes: &[String], edges: Vec<String>) -> DeclaredEntry {
    entry("graph", &[name], format!("{reactor} {} {}", nodes.join(","), edges.join(",")))
}
