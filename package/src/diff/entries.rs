//! The entries of a record, each as fields that may differ.

use crate::diff::fields::{Fields, fields};
use crate::record::{StaticRecord, TaskRecord};
use serde_json::Value;
use std::collections::BTreeMap;

/// Kind and full name.
pub(super) type Key = (&'static str, String);

/// Entries with everything about them that may change what they do.
pub(super) fn entries(record: &StaticRecord) -> BTreeMap<Key, Fields> {
    let named = |kind: &'static str, name: &[&str], fields: Fields| ((kind, name.join("::")), fields);
    let workflows = record.workflows.iter().map(|w| {
        let fields = fields([
            ("author", w.author.clone()),
            ("description", w.description.clone()),
            ("secrets", w.secrets.join(", ")),
            ("triggers", w.triggers.join(", ")),
        ]);
        named("workflow", &[&w.tenant, &w.name], fields)
    });
    let tasks = record.tasks.iter().map(|t| named("task", &[&t.tenant, &t.workflow, &t.id], task(t)));
    let triggers = record.triggers.iter().map(|t| {
        let fields = fields([
            ("allow_concurrent", t.allow_concurrent.clone()),
            ("cron", t.cron.clone()),
            ("poll_interval_ms", t.poll_interval_ms.clone()),
            ("reactor", t.reactor.clone()),
            ("timezone", t.timezone.clone()),
            ("when", t.when.clone()),
            ("workflow", t.workflow.clone()),
        ]);
        named("trigger", &[&t.name], fields)
    });
    let reactors = record.reactors.iter().map(|r| {
        let fields = fields([
            ("criteria", format!("{}({})", r.criteria, r.criteria_sources.join(", "))),
            ("input_strategy", r.input_strategy.clone()),
            ("sources", r.sources.join(", ")),
        ]);
        named("reactor", &[&r.name], fields)
    });
    let accumulators = record.accumulators.iter().map(|a| {
        let fields = with_json(fields([("kind", a.kind.clone())]), "config", &a.config);
        named("accumulator", &[&a.name], fields)
    });
    workflows.chain(tasks).chain(triggers).chain(reactors).chain(accumulators).chain(graphs(record)).collect()
}

fn graphs(record: &StaticRecord) -> impl Iterator<Item = (Key, Fields)> {
    record.graphs.iter().map(|g| {
        let edge = |(from, to, variant): &(String, String, String)| match variant.as_str() {
            "" => format!("{from} -> {to}"),
            variant => format!("{from} ({variant}) -> {to}"),
        };
        let input = |(node, source): &(String, String)| format!("{node}({source})");
        let fields = fields([
            ("edges", g.edges.iter().map(edge).collect::<Vec<_>>().join(", ")),
            ("inputs", g.inputs.iter().map(input).collect::<Vec<_>>().join(", ")),
            ("nodes", g.nodes.join(", ")),
            ("reactor", g.reactor.clone()),
            ("terminals", g.terminals.join(", ")),
        ]);
        (("graph", g.name.clone()), fields)
    })
}

fn task(task: &TaskRecord) -> Fields {
    let fields = fields([
        ("code", task.fingerprint.clone()),
        ("dependencies", task.dependencies.join(", ")),
        ("invokes", task.invokes.clone()),
        ("rule", task.rule.clone()),
        ("what", task.what.clone()),
        ("why", task.why.clone()),
    ]);
    with_json(fields, "retry", &task.retry)
}

/// Adds the keys of a JSON object, each as a field `name.key`.
fn with_json(mut fields: Fields, name: &str, json: &str) -> Fields {
    let text = |value: Value| match value {
        Value::String(text) => text,
        other => other.to_string(),
    };
    match serde_json::from_str(json) {
        Ok(Value::Object(object)) => {
            let keys = object.into_iter().filter(|(_, value)| !value.is_null());
            fields.extend(keys.map(|(key, value)| (format!("{name}.{key}"), text(value))));
        }
        _ if json.is_empty() => {}
        _ => {
            fields.insert(name.to_owned(), json.to_owned());
        }
    }
    fields
}
