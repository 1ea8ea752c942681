//! Fields of an entry, and those that differ.

use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// A field that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FieldChange {
    /// The field.
    pub field: String,
    /// Its old text, when it had one.
    pub old: Option<String>,
    /// Its new text, when it has one.
    pub new: Option<String>,
}

/// Fields with their texts; one that says nothing is not there.
pub(super) type Fields = BTreeMap<String, String>;

/// Fields of these names and texts.
pub(super) fn fields<const N: usize>(fields: [(&str, String); N]) -> Fields {
    fields
        .into_iter()
        .filter(|(_, text)| !text.is_empty())
        .map(|(name, text)| (name.to_owned(), text))
        .collect()
}

/// The fields that differ.
pub(super) fn fields_between(old: &Fields, new: &Fields) -> Vec<FieldChange> {
    let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    let change = |name: &String| {
        let (old, new) = (old.get(name).cloned(), new.get(name).cloned());
        (old != new).then(|| FieldChange { field: name.clone(), old, new })
    };
    names.into_iter().filter_map(change).collect()
}

/// Longest text of a field that is shown: records may hold whole documents.
const SHOWN: usize = 120;

impl fmt::Display for FieldChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |text: &Option<String>| match text {
            None => "nothing".to_owned(),
            Some(text) if text.chars().count() > SHOWN => {
                text.chars().take(SHOWN).chain("..".chars()).collect()
            }
            Some(text) => text.clone(),
        };
        if self.field == "code" {
            return f.write_str("code");
        }
        write!(f, "{}: {} -> {}", self.field, shown(&self.old), shown(&self.new))
    }
}
