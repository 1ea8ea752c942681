//! Contexts between tasks: keys with raw JSON, merged without parsing a value.

use longshore_workflow::private::{FrameError, read_frame, write_frame};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Keys with the JSON of their values, shared between the tasks that see them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ContextMap {
    entries: BTreeMap<Arc<str>, Arc<str>>,
}

/// The changes of a task.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Patch {
    set: BTreeMap<Arc<str>, Arc<str>>,
    removed: BTreeSet<Arc<str>>,
}

/// Memory of an entry beside the bytes of its key and its value: two pointers with counts, and its place in a tree.
const ENTRY_BYTES: usize = 96;

#[derive(Serialize, Deserialize, Default)]
struct StoredPatch {
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    set: BTreeMap<String, Box<RawValue>>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    remove: Vec<String>,
}

impl ContextMap {
    /// Reads a JSON object.
    ///
    /// # Errors
    /// When the text is not one.
    pub fn from_json(text: &str) -> Result<Self, serde_json::Error> {
        let raw: BTreeMap<String, Box<RawValue>> = serde_json::from_str(text)?;
        Ok(Self { entries: raw.into_iter().map(|(k, v)| (k.into(), v.get().into())).collect() })
    }

    /// The context as one JSON object.
    pub fn to_json(&self) -> String {
        let mut out = String::from("{");
        for (i, (key, value)) in self.entries.iter().enumerate() {
            if i > 0 {
                out.push(',');
            }
            out.push_str(&serde_json::Value::from(&**key).to_string());
            out.push(':');
            out.push_str(value);
        }
        out.push('}');
        out
    }

    /// The context as a frame.
    pub fn to_frame(&self) -> Vec<u8> {
        let mut out = Vec::new();
        write_frame(self.entries.iter().map(|(k, v)| (&**k, v.as_bytes())), &mut out);
        out
    }

    /// Applies what a task changed.
    pub fn apply(&mut self, patch: &Patch) {
        for key in &patch.removed {
            self.entries.remove(key);
        }
        self.entries.extend(patch.set.iter().map(|(k, v)| (Arc::clone(k), Arc::clone(v))));
    }

    /// The JSON of a key.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.entries.get(key).map(|value| &**value)
    }

    /// Sets a key to a JSON text.
    pub fn set(&mut self, key: &str, json: String) {
        self.entries.insert(key.into(), json.into());
    }

    /// The memory that its keys and values take, about.
    pub(crate) fn bytes(&self) -> usize {
        self.entries.iter().map(|(key, value)| ENTRY_BYTES + key.len() + value.len()).sum()
    }

    /// All keys.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.entries.keys().map(|key| &**key)
    }
}

impl Patch {
    /// The memory that its keys and values take, about.
    pub(crate) fn bytes(&self) -> usize {
        let set = self.set.iter().map(|(key, value)| ENTRY_BYTES + key.len() + value.len());
        set.chain(self.removed.iter().map(|key| ENTRY_BYTES + key.len())).sum()
    }

    /// Reads the frame a task sent back: an empty value means the key was removed.
    ///
    /// # Errors
    /// When the frame is broken, or a value is not JSON.
    pub fn from_frame(frame: &[u8]) -> Result<Self, FrameError> {
        let mut patch = Self::default();
        for (key, value) in read_frame(frame)? {
            if value.is_empty() {
                patch.removed.insert(key.into());
                continue;
            }
            let raw: Result<&RawValue, _> = serde_json::from_slice(value);
            let raw = raw.map_err(|source| FrameError::Value { key: key.to_owned(), source })?;
            patch.set.insert(key.into(), raw.get().into());
        }
        Ok(patch)
    }

    /// Reads what [`Patch::to_json`] wrote.
    ///
    /// # Errors
    /// When the text is not that.
    pub fn from_json(text: &str) -> Result<Self, serde_json::Error> {
        let stored: StoredPatch = serde_json::from_str(text)?;
        Ok(Self {
            set: stored.set.into_iter().map(|(k, v)| (k.into(), v.get().into())).collect(),
            removed: stored.remove.into_iter().map(Into::into).collect(),
        })
    }

    /// The patch as the database keeps it; none when nothing changed.
    pub fn to_json(&self) -> Option<String> {
        if self.set.is_empty() && self.removed.is_empty() {
            return None;
        }
        let raw = |(k, v): (&Arc<str>, &Arc<str>)| {
            Some((k.to_string(), RawValue::from_string(v.to_string()).ok()?))
        };
        let stored = StoredPatch {
            set: self.set.iter().filter_map(raw).collect(),
            remove: self.removed.iter().map(ToString::to_string).collect(),
        };
        serde_json::to_string(&stored).ok()
    }

    /// Every change: a key with its new value, none when it was removed.
    pub fn changes(&self) -> impl Iterator<Item = (&str, Option<&str>)> {
        let set = self.set.iter().map(|(key, value)| (&**key, Some(&**value)));
        set.chain(self.removed.iter().map(|key| (&**key, None)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_patch_survives_the_database() {
        let mut frame = Vec::new();
        let entries: [(&str, &[u8]); 3] = [("a", b"{\"x\": 1.0}"), ("b", b""), ("c", b"\"\\u00e4\"")];
        write_frame(entries.into_iter(), &mut frame);
        let patch = Patch::from_frame(&frame).expect("own frame");
        assert_eq!(Patch::from_json(&patch.to_json().expect("not empty")).expect("own text"), patch);
        assert_eq!(Patch::default().to_json(), None);
    }

    #[test]
    fn a_value_that_is_no_json_is_refused() {
        let mut frame = Vec::new();
        write_frame([("a", &b"{broken"[..])].into_iter(), &mut frame);
        assert!(matches!(Patch::from_frame(&frame), Err(FrameError::Value { key, .. }) if key == "a"));
    }

    #[test]
    fn the_last_writer_wins() {
        let patch = |text| Patch::from_json(text).expect("patch");
        let (first, second) = (
            patch(r#"{"set":{"k":1,"same":0},"remove":["gone"]}"#),
            patch(r#"{"set":{"k":2,"same":0,"gone":3}}"#),
        );
        let mut context = ContextMap::from_json(r#"{"gone": true, "kept": [1]}"#).expect("object");
        context.apply(&first);
        context.apply(&second);
        assert_eq!(context.to_json(), r#"{"gone":3,"k":2,"kept":[1],"same":0}"#);
        let changes: Vec<_> = first.changes().collect();
        assert_eq!(changes, [("k", Some("1")), ("same", Some("0")), ("gone", None)]);
    }
}
