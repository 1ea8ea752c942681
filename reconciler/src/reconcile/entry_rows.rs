//! The entries of a generation as rows.

use crate::runtime::generation::Generation;
use longshore_engine::{TriggerWhen, WorkflowDef};
use longshore_store::{EntryKind, EntryRow};
use serde_json::json;

/// The entries of a generation, each with its details as JSON.
pub(crate) fn entries(generation: &Generation) -> Vec<EntryRow> {
    let workflow = |def: &WorkflowDef| {
        let params: Vec<_> = def
            .params
            .iter()
            .map(|p| json!({ "name": p.name, "type": p.type_name, "default": p.default, "schema": p.schema.json() }))
            .collect();
        let detail = json!({ "description": def.description, "params": params }).to_string();
        EntryRow { kind: EntryKind::Workflow, name: format!("{}::{}", def.tenant, def.name), detail }
    };
    let tasks = |def: &WorkflowDef| -> Vec<EntryRow> {
        let task = |task: &longshore_engine::TaskDef| {
            let dependencies: Vec<&str> =
                task.dependencies.iter().map(|d| def.tasks[*d].id.as_str()).collect();
            let detail = json!({
                "dependencies": dependencies,
                "rule": task.rule,
                "retry": task.retry,
                "what": task.what,
            });
            EntryRow {
                kind: EntryKind::Task,
                name: format!("{}::{}::{}", def.tenant, def.name, task.id),
                detail: detail.to_string(),
            }
        };
        def.tasks.iter().map(task).collect()
    };
    let mut rows: Vec<EntryRow> = generation.workflows().iter().map(|def| workflow(def)).collect();
    rows.extend(generation.workflows().iter().flat_map(|def| tasks(def)));
    rows.extend(generation.triggers().iter().map(|trigger| {
        let when = match &trigger.when {
            TriggerWhen::Cron { expression, timezone } => json!({ "cron": expression, "timezone": timezone }),
            TriggerWhen::Poll { interval_ms } => json!({ "poll_interval_ms": interval_ms }),
            TriggerWhen::Reactor { reactor, when } => json!({ "reactor": reactor, "when": when }),
        };
        let detail = json!({ "workflow": trigger.workflow, "when": when }).to_string();
        EntryRow { kind: EntryKind::Trigger, name: trigger.name.clone(), detail }
    }));
    let record = generation.artifact().record();
    rows.extend(record.reactors.iter().map(|r| {
        let detail = json!({
            "sources": r.sources,
            "criteria": r.criteria,
            "criteria_sources": r.criteria_sources,
            "input_strategy": r.input_strategy,
        });
        EntryRow { kind: EntryKind::Reactor, name: r.name.clone(), detail: detail.to_string() }
    }));
    rows.extend(record.graphs.iter().map(|g| {
        let detail = json!({
            "reactor": g.reactor,
            "nodes": g.nodes,
            "edges": g.edges,
            "terminals": g.terminals,
            "inputs": g.inputs,
        });
        EntryRow { kind: EntryKind::Graph, name: g.name.clone(), detail: detail.to_string() }
    }));
    rows
}
