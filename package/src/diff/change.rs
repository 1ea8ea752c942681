//! [`Change`]: an entry that is not as it was.

use crate::diff::fields::{FieldChange, Fields};
use crate::diff::step::Step;
use serde::Serialize;
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
    /// Added, removed or changed.
    pub change: ChangeKind,
    /// `workflow`, `param`, `task`, `trigger`, `reactor`, `accumulator` or `graph`.
    pub kind: &'static str,
    /// Its full name.
    pub name: String,
    /// The fields that differ, of an entry that both have.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<FieldChange>,
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
    /// The trigger starts another workflow.
    StartsAnother,
    /// Graphs and triggers that are bound to the reactor stop.
    Subscribers,
    /// Graphs and rules that read this of it find nothing.
    Readers,
    /// Runs need a secret that a host of the old version may not have.
    MissingSecret,
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

/// Fields that say something about an entry, or are its code, and change nothing for others.
const INNER_FIELDS: [&str; 5] = ["author", "code", "description", "what", "why"];

impl Change {
    /// The step of the version that this change asks for.
    pub fn step(&self) -> Step {
        let is_inner = |field: &FieldChange| INNER_FIELDS.contains(&field.field.as_str());
        match self.change {
            _ if self.breaks.is_some() => Step::Major,
            ChangeKind::Changed if self.fields.iter().all(is_inner) => Step::Patch,
            ChangeKind::Added | ChangeKind::Removed | ChangeKind::Changed => Step::Minor,
        }
    }
}

/// The consequences of the removal of an entry.
pub(super) fn breaks_of_removal(kind: &str, fields: &Fields) -> Option<Breaks> {
    match kind {
        "workflow" => Some(Breaks::Starts),
        "trigger" => Some(Breaks::Fires),
        "reactor" => Some(Breaks::Subscribers),
        "graph" if fields.contains_key("reactor") => Some(Breaks::Readers),
        _ => None,
    }
}

/// The consequences of fields that differ.
pub(super) fn breaks_of_fields(kind: &str, fields: &[FieldChange]) -> Option<Breaks> {
    let of = |wanted: &str| fields.iter().find(|field| field.field == wanted);
    match kind {
        "workflow" => of("secrets").filter(|field| gains(field)).map(|_| Breaks::MissingSecret),
        "trigger" => of("workflow").map(|_| Breaks::StartsAnother),
        "reactor" => of("sources").filter(|field| loses(field)).map(|_| Breaks::Readers),
        "graph" => of("terminals").filter(|field| loses(field)).map(|_| Breaks::Readers),
        _ => None,
    }
}

/// The names of a list.
fn names(list: Option<&String>) -> Vec<&str> {
    list.map(|list| list.split(", ").collect()).unwrap_or_default()
}

fn loses(field: &FieldChange) -> bool {
    let now = names(field.new.as_ref());
    names(field.old.as_ref()).iter().any(|name| !now.contains(name))
}

fn gains(field: &FieldChange) -> bool {
    let before = names(field.old.as_ref());
    names(field.new.as_ref()).iter().any(|name| !before.contains(name))
}

impl fmt::Display for Breaks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Starts => f.write_str("whoever starts it gets an error"),
            Self::Fires => f.write_str("it fires no more"),
            Self::StartsAnother => f.write_str("it starts another workflow"),
            Self::Subscribers => f.write_str("graphs and triggers bound to it stop"),
            Self::Readers => f.write_str("graphs and rules that read what is gone find nothing"),
            Self::MissingSecret => f.write_str("its runs need another secret"),
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
