//! The differences between two packages, read from their static records.

use crate::declared::Declared;
use crate::record::{StaticRecord, WorkflowRecord};
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;

/// The change of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ChangeKind {
    /// Only the new package has it.
    Added,
    /// Only the old package has it.
    Removed,
    /// Both have it, not alike.
    Changed,
}

/// One difference.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Change {
    /// True when it was added, removed or changed.
    pub change: ChangeKind,
    /// `workflow`, `param`, `task`, `trigger`, `reactor`, `accumulator` or `graph`.
    pub kind: &'static str,
    /// Its full name.
    pub name: String,
    /// The consequences.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub breaks: Option<Breaks>,
}

/// The consequences of a change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "what", rename_all = "snake_case")]
pub enum Breaks {
    /// Starts of the workflow are refused.
    Starts,
    /// The trigger fires no more.
    Fires,
    /// Graphs and triggers that are bound to the reactor stop.
    Subscribers,
    /// Starts that give the param are refused.
    GivenParam,
    /// Starts without the param are refused.
    MissingParam,
    /// The param has another type.
    ParamType {
        /// The old type.
        old: String,
        /// The new type.
        new: String,
    },
}

impl fmt::Display for Breaks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Starts => f.write_str("whoever starts it gets an error"),
            Self::Fires => f.write_str("it fires no more"),
            Self::Subscribers => f.write_str("graphs and triggers bound to it stop"),
            Self::GivenParam => f.write_str("starts that give it are refused"),
            Self::MissingParam => f.write_str("starts without it are refused"),
            Self::ParamType { old, new } => write!(f, "it was {old} and is {new}"),
        }
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = match self.change {
            ChangeKind::Added => '+',
            ChangeKind::Removed => '-',
            ChangeKind::Changed => '~',
        };
        write!(f, "{sign} {} {}", self.kind, self.name)?;
        match &self.breaks {
            Some(breaks) => write!(f, "  ({breaks})"),
            None => Ok(()),
        }
    }
}

/// Differences from an old package to a new one, by kind and name.
pub fn diff(old: &StaticRecord, new: &StaticRecord) -> Vec<Change> {
    let (before, after) = (entries(old), entries(new));
    let mut changes: Vec<Change> = Vec::new();
    for (key, detail) in &before {
        match after.get(key) {
            None => changes.push(change(ChangeKind::Removed, key, removal_breaks(key.0))),
            Some(now) if now != detail => changes.push(change(ChangeKind::Changed, key, None)),
            Some(_) => {}
        }
    }
    let added = after.keys().filter(|key| !before.contains_key(*key));
    changes.extend(added.map(|key| change(ChangeKind::Added, key, None)));
    changes.extend(params(old, new));
    changes.sort_by(|a, b| (a.kind, &a.name).cmp(&(b.kind, &b.name)));
    changes
}

type Key = (&'static str, String);

/// Entries with everything about them that may change what they do.
fn entries(record: &StaticRecord) -> BTreeMap<Key, String> {
    let declared = Declared::of_record(record);
    let mut entries: BTreeMap<Key, String> =
        declared.into_iter().map(|e| ((e.kind, e.name), e.detail)).collect();
    let mut add = |kind, name: &[&str], more: String| {
        if let Some(detail) = entries.get_mut(&(kind, name.join("::"))) {
            detail.push_str(&more);
        }
    };
    for w in &record.workflows {
        let defaults: Vec<_> = w.params.iter().map(|(name, _, default)| (name, default)).collect();
        let more = format!(" {defaults:?} {:?} {:?}", w.triggers, w.secrets);
        add("workflow", &[&w.tenant, &w.name], more);
    }
    for t in &record.tasks {
        add("task", &[&t.tenant, &t.workflow, &t.id], format!(" {} {} {}", t.retry, t.rule, t.invokes));
    }
    for t in &record.triggers {
        add("trigger", &[&t.name], format!(" {} {}", t.when, t.allow_concurrent));
    }
    entries
}

fn change(change: ChangeKind, (kind, name): &Key, breaks: Option<Breaks>) -> Change {
    Change { change, kind, name: name.clone(), breaks }
}

fn removal_breaks(kind: &str) -> Option<Breaks> {
    match kind {
        "workflow" => Some(Breaks::Starts),
        "trigger" => Some(Breaks::Fires),
        "reactor" => Some(Breaks::Subscribers),
        _ => None,
    }
}

fn params(old: &StaticRecord, new: &StaticRecord) -> Vec<Change> {
    let mut changes = Vec::new();
    for before in &old.workflows {
        let same = |w: &&WorkflowRecord| w.tenant == before.tenant && w.name == before.name;
        let Some(after) = new.workflows.iter().find(same) else { continue };
        let mut note = |kind, name: &str, breaks: Option<Breaks>| {
            let full = format!("{}::{}::{name}", before.tenant, before.name);
            changes.push(change(kind, &("param", full), breaks));
        };
        for (name, ty, _) in &before.params {
            match after.params.iter().find(|(other, ..)| other == name) {
                None => note(ChangeKind::Removed, name, Some(Breaks::GivenParam)),
                Some((_, now, _)) if now != ty => {
                    let (old, new) = (ty.clone(), now.clone());
                    note(ChangeKind::Changed, name, Some(Breaks::ParamType { old, new }));
                }
                Some(_) => {}
            }
        }
        for (name, _, default) in &after.params {
            if before.params.iter().all(|(other, ..)| other != name) {
                let breaks = default.is_none().then_some(Breaks::MissingParam);
                note(ChangeKind::Added, name, breaks);
            }
        }
    }
    changes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{PackageRecord, TriggerRecord};

    fn record(params: &[(&str, &str, Option<&str>)], cron: Option<&str>) -> StaticRecord {
        let params =
            params.iter().map(|(n, t, d)| ((*n).to_owned(), (*t).to_owned(), d.map(str::to_owned))).collect();
        let trigger = |cron: &str| TriggerRecord {
            module: String::new(),
            name: "nightly".into(),
            workflow: "w".into(),
            cron: cron.into(),
            timezone: "UTC".into(),
            poll_interval_ms: String::new(),
            reactor: String::new(),
            when: String::new(),
            allow_concurrent: "false".into(),
        };
        StaticRecord {
            package: PackageRecord::default(),
            workflows: vec![WorkflowRecord {
                module: String::new(),
                name: "w".into(),
                tenant: "public".into(),
                description: String::new(),
                params,
                triggers: Vec::new(),
                secrets: Vec::new(),
                author: String::new(),
            }],
            tasks: Vec::new(),
            triggers: cron.into_iter().map(trigger).collect(),
            reactors: Vec::new(),
            accumulators: Vec::new(),
            graphs: Vec::new(),
        }
    }

    #[test]
    fn what_a_new_version_breaks_is_said() {
        let old = record(&[("a", "u64", None), ("b", "String", None)], Some("0 1 * * *"));
        let new = record(&[("a", "String", None), ("c", "u8", None), ("d", "u8", Some("1"))], None);
        let lines: Vec<String> = diff(&old, &new).iter().map(ToString::to_string).collect();
        assert_eq!(
            lines,
            [
                "~ param public::w::a  (it was u64 and is String)",
                "- param public::w::b  (starts that give it are refused)",
                "+ param public::w::c  (starts without it are refused)",
                "+ param public::w::d",
                "- trigger nightly  (it fires no more)",
                "~ workflow public::w",
            ]
        );
        assert_eq!(diff(&old, &old), []);
        let moved = record(&[("a", "u64", None), ("b", "String", None)], Some("0 2 * * *"));
        assert_eq!(diff(&old, &moved)[0].to_string(), "~ trigger nightly");
        let mut overlaps = old.clone();
        overlaps.triggers[0].allow_concurrent = "true".into();
        assert_eq!(diff(&old, &overlaps)[0].to_string(), "~ trigger nightly");
        let mut subscribes = old.clone();
        subscribes.workflows[0].triggers.push("hourly".into());
        assert_eq!(diff(&old, &subscribes)[0].to_string(), "~ workflow public::w");
        let other_default = record(&[("a", "u64", Some("7")), ("b", "String", None)], Some("0 1 * * *"));
        assert_eq!(diff(&old, &other_default)[0].to_string(), "~ workflow public::w");
    }
}
