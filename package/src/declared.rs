//! The entries of a package in one comparable form.

use crate::record::StaticRecord;
use longshore_workflow_plugin::wire::{TaskMetadata, TriggerMetadata};
use std::collections::BTreeSet;
use std::fmt;

/// One entry: its kind, its name, and all else of it that the static record carries too.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct DeclaredEntry {
    /// `workflow`, `task` or `trigger`.
    pub kind: &'static str,
    /// The full name.
    pub name: String,
    /// What else must agree.
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

impl Declared {
    /// What the static record declares.
    pub fn of_record(record: &StaticRecord) -> Self {
        let workflows = record.workflows.iter().map(|w| {
            let params: Vec<&str> = w.params.iter().map(|(name, ..)| name.as_str()).collect();
            entry("workflow", &[&w.tenant, &w.name], params.join(","))
        });
        let tasks =
            record.tasks.iter().map(|t| task(&t.tenant, &t.workflow, &t.id, &t.dependencies, &t.fingerprint));
        let triggers = record.triggers.iter().map(|t| {
            let interval = t.poll_interval_ms.parse().unwrap_or(0);
            trigger(&t.name, &t.workflow, &t.cron, &t.timezone, interval)
        });
        Self { entries: workflows.chain(tasks).chain(triggers).collect() }
    }

    /// What the loaded library answers.
    pub fn of_library(tasks: &TaskMetadata, triggers: &TriggerMetadata) -> Self {
        let workflows = tasks.workflows.iter().map(|w| {
            let params: Vec<&str> = w.params.iter().map(|p| p.name.as_str()).collect();
            entry("workflow", &[&w.tenant, &w.name], params.join(","))
        });
        let triggers = triggers
            .triggers
            .iter()
            .map(|t| trigger(&t.name, &t.workflow, &t.cron, &t.timezone, t.poll_interval_ms));
        let tasks =
            tasks.tasks.iter().map(|t| task(&t.tenant, &t.workflow, &t.id, &t.dependencies, &t.fingerprint));
        Self { entries: workflows.chain(tasks).chain(triggers).collect() }
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is no entry.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// What `self` (the record) and `live` disagree about, one sentence each.
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

fn entry(kind: &'static str, name: &[&str], detail: String) -> DeclaredEntry {
    DeclaredEntry { kind, name: name.join("::"), detail }
}

fn task(tenant: &str, workflow: &str, id: &str, dependencies: &[String], fingerprint: &str) -> DeclaredEntry {
    entry("task", &[tenant, workflow, id], format!("{} {fingerprint}", dependencies.join(",")))
}

fn trigger(name: &str, workflow: &str, cron: &str, timezone: &str, interval_ms: u64) -> DeclaredEntry {
    entry("trigger", &[name], format!("{workflow} {cron} {timezone} {interval_ms}"))
}
