//! The types of computation graphs that cross boundaries.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::any::Any;
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, OnceLock};

/// The name of a source that feeds a reactor.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SourceName(pub String);

impl SourceName {
    /// Wraps a name.
    pub fn new(name: impl Into<String>) -> Self {
        Self(name.into())
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SourceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<&str> for SourceName {
    fn from(name: &str) -> Self {
        Self(name.to_owned())
    }
}

impl From<String> for SourceName {
    fn from(name: String) -> Self {
        Self(name)
    }
}

/// The last boundary value of each source, as bytes: what a graph is fired with.
///
/// Clones share the bytes.
#[derive(Debug, Clone, Default)]
pub struct InputCache {
    /// Few sources: looking through them is faster than hashing a name.
    entries: Vec<(SourceName, Arc<[u8]>)>,
    copied: Copied,
}

/// All values in a map, made when somebody asks for it.
#[derive(Debug, Default)]
struct Copied(OnceLock<HashMap<SourceName, Vec<u8>>>);

impl Clone for Copied {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl InputCache {
    /// An empty cache.
    pub fn new() -> Self {
        Self::default()
    }

    /// Replaces the value of a source.
    pub fn update(&mut self, source: SourceName, bytes: Vec<u8>) {
        self.put(source, bytes.into());
    }

    #[doc(hidden)]
    pub fn put(&mut self, source: SourceName, bytes: Arc<[u8]>) {
        self.copied = Copied::default();
        match self.entries.iter_mut().find(|(name, _)| *name == source) {
            Some((_, value)) => *value = bytes,
            None => self.entries.push((source, bytes)),
        }
    }

    #[doc(hidden)]
    pub fn remove(&mut self, source: &str) {
        self.copied = Copied::default();
        self.entries.retain(|(name, _)| name.as_str() != source);
    }

    /// True when a source has a value.
    pub fn has(&self, name: &str) -> bool {
        self.get_raw(name).is_some()
    }

    /// The bytes of a source.
    pub fn get_raw(&self, name: &str) -> Option<&[u8]> {
        self.entries.iter().find(|(source, _)| source.as_str() == name).map(|(_, bytes)| &**bytes)
    }

    /// The value of a source, none when it has none; [`GraphError::BadInput`] when its bytes are not a `T`.
    pub fn get<T: DeserializeOwned>(&self, name: &str) -> Option<Result<T, GraphError>> {
        let value = decode(self.get_raw(name)?);
        Some(value.map_err(|error| GraphError::BadInput {
            source_name: name.to_owned(),
            field: error.field,
            message: error.message,
        }))
    }

    /// All values as they are now: a clone.
    pub fn snapshot(&self) -> Self {
        self.clone()
    }

    /// Replaces all values by those of another cache.
    pub fn replace_all(&mut self, other: Self) {
        *self = other;
    }

    /// All bytes by source. They are copied the first time after a change.
    pub fn entries_raw(&self) -> &HashMap<SourceName, Vec<u8>> {
        let copied = || self.entries.iter().map(|(name, bytes)| (name.clone(), bytes.to_vec())).collect();
        self.copied.0.get_or_init(copied)
    }

    /// All values as JSON texts, for a person who asks; bytes that are not a value in hexadecimal digits.
    pub fn entries_as_json(&self) -> HashMap<String, String> {
        let text = |bytes: &[u8]| match decode::<Value>(bytes) {
            Ok(value) => value.to_string(),
            Err(_) => bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
        };
        self.entries.iter().map(|(name, bytes)| (name.0.clone(), text(bytes))).collect()
    }

    /// The number of sources that have a value.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// True when no source has a value.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The sources that have a value, sorted.
    pub fn sources(&self) -> Vec<&SourceName> {
        let mut sources: Vec<_> = self.entries.iter().map(|(name, _)| name).collect();
        sources.sort();
        sources
    }
}

/// The bytes of a boundary value: MessagePack with field names, so that whoever reads them needs no schema.
///
/// # Errors
/// [`GraphError::Serialization`] when the value refuses.
pub fn serialize<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>, GraphError> {
    rmp_serde::to_vec_named(value).map_err(|e| GraphError::Serialization(e.to_string()))
}

/// The value of boundary bytes.
///
/// # Errors
/// [`GraphError::Deserialization`] that names the field.
pub fn deserialize<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, GraphError> {
    decode(bytes).map_err(|error| GraphError::Deserialization(error.to_string()))
}

/// Bytes that are not the value they should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DecodeError {
    /// The path of the field, `.` for the whole value.
    pub(crate) field: String,
    /// The fault.
    pub(crate) message: String,
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "field `{}`: {}", self.field, self.message)
    }
}

/// Reads bytes, and only when that fails again with an eye on the path of the field: as JSON values, whose
/// errors are written for people.
pub(crate) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, DecodeError> {
    let error = match rmp_serde::from_slice(bytes) {
        Ok(value) => return Ok(value),
        Err(error) => DecodeError { field: ".".to_owned(), message: error.to_string() },
    };
    let Ok(value) = rmp_serde::from_slice::<Value>(bytes) else { return Err(error) };
    serde_path_to_error::deserialize(value).map_err(|error| DecodeError {
        field: error.path().to_string(),
        message: error.into_inner().to_string(),
    })
}

/// A terminal of a graph that delivered.
#[derive(Clone)]
pub struct Terminal {
    /// The node's name; empty in a result that was put together by hand.
    pub name: &'static str,
    pub(crate) json: TerminalJson,
}

/// The JSON of a terminal's value.
#[derive(Clone)]
pub(crate) enum TerminalJson {
    /// Made when somebody asks.
    Of(fn(&(dyn Any + Send)) -> Value),
    /// Given.
    Is(Value),
}

impl fmt::Debug for Terminal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

/// The result of a graph call.
#[derive(Debug)]
pub enum GraphResult {
    /// Every terminal that the input leads to delivered.
    Completed {
        /// The terminals' values.
        outputs: Vec<Box<dyn Any + Send>>,
        /// Which terminals they are of, in the same order.
        terminals: Vec<Terminal>,
    },
    /// The graph failed.
    Error(GraphError),
}

impl GraphResult {
    /// A result of values without names.
    pub fn completed(outputs: Vec<Box<dyn Any + Send>>) -> Self {
        let nulls = vec![Value::Null; outputs.len()];
        Self::completed_with_json(outputs, nulls)
    }

    /// A result of values without names, each with its JSON.
    pub fn completed_with_json(outputs: Vec<Box<dyn Any + Send>>, outputs_json: Vec<Value>) -> Self {
        let terminal = |json| Terminal { name: "", json: TerminalJson::Is(json) };
        Self::Completed { outputs, terminals: outputs_json.into_iter().map(terminal).collect() }
    }

    /// A result of an error.
    pub fn error(error: GraphError) -> Self {
        Self::Error(error)
    }

    /// True when the graph completed.
    pub fn is_completed(&self) -> bool {
        matches!(self, Self::Completed { .. })
    }

    /// True when the graph failed.
    pub fn is_error(&self) -> bool {
        !self.is_completed()
    }

    /// The terminals with their values as JSON, for a person who asks; empty when the graph failed.
    pub fn outputs_json(&self) -> Vec<(&'static str, Value)> {
        let Self::Completed { outputs, terminals } = self else { return Vec::new() };
        let json = |(value, terminal): (&Box<dyn Any + Send>, &Terminal)| match &terminal.json {
            TerminalJson::Of(make) => (terminal.name, make(&**value)),
            TerminalJson::Is(json) => (terminal.name, json.clone()),
        };
        outputs.iter().zip(terminals).map(json).collect()
    }
}

/// Why a graph failed.
#[derive(Debug, thiserror::Error)]
pub enum GraphError {
    /// A value did not serialize.
    #[error("a graph value does not serialize: {0}")]
    Serialization(String),
    /// An input did not parse.
    #[error("a graph input does not parse: {0}")]
    Deserialization(String),
    /// The value of a source is not what the graph takes.
    #[error("source `{source_name}`, field `{field}`: {message}")]
    BadInput {
        /// The source.
        source_name: String,
        /// The path of the field, `.` for the whole value.
        field: String,
        /// The fault.
        message: String,
    },
    /// A source the graph needs has no value.
    #[error("source `{0}` has no value")]
    MissingInput(String),
    /// A node failed.
    #[error("a node failed: {0}")]
    NodeExecution(String),
    /// The graph failed outside a node.
    #[error("the graph failed: {0}")]
    Execution(String),
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, Serialize, Deserialize, PartialEq)]
    struct Quote {
        bid: f64,
        levels: Vec<u32>,
    }

    #[test]
    fn boundary_values_survive_and_need_no_schema() {
        let quote = Quote { bid: 1.5, levels: vec![1, 2] };
        let bytes = serialize(&quote).expect("serializes");
        assert_eq!(deserialize::<Quote>(&bytes).expect("reads"), quote);
        let json: Value = deserialize(&bytes).expect("reads as anything");
        assert_eq!(json, serde_json::json!({"bid": 1.5, "levels": [1, 2]}));
    }

    #[test]
    fn a_wrong_value_names_source_and_field() {
        let mut cache = InputCache::new();
        let wrong = serde_json::json!({"bid": 1.0, "levels": [1, "two"]});
        cache.update("book".into(), serialize(&wrong).expect("serializes"));
        let error =
            cache.get::<Quote>("book").expect("a value").expect_err("a text among numbers").to_string();
        assert!(error.starts_with("source `book`, field `levels[1]`: invalid type: string"), "{error}");
        assert!(cache.get::<Quote>("other").is_none());
    }

    #[test]
    fn a_result_that_was_put_together_has_its_values_and_their_json() {
        let result = GraphResult::completed_with_json(vec![Box::new(7_u8)], vec![serde_json::json!(7)]);
        assert_eq!(result.outputs_json(), [("", serde_json::json!(7))]);
        assert!(GraphResult::completed(Vec::new()).is_completed());
        assert!(GraphResult::error(GraphError::MissingInput("a".into())).is_error());
    }

    #[test]
    fn a_later_value_replaces_an_earlier_one() {
        let mut cache = InputCache::new();
        cache.update("a".into(), vec![1]);
        cache.update("b".into(), vec![2]);
        cache.update("a".into(), vec![3]);
        assert_eq!((cache.len(), cache.get_raw("a")), (2, Some(&[3_u8][..])));
        assert_eq!(cache.sources(), [&SourceName::new("a"), &SourceName::new("b")]);
        assert_eq!(cache.entries_raw()[&SourceName::new("a")], [3]);
        let before = cache.snapshot();
        cache.update("b".into(), vec![0xc1]);
        assert_eq!(
            (cache.entries_as_json()["a"].as_str(), cache.entries_as_json()["b"].as_str()),
            ("3", "c1")
        );
        assert_eq!(cache.entries_raw()[&SourceName::new("b")], [0xc1], "what was copied is forgotten");
        cache.replace_all(before);
        assert_eq!(cache.get_raw("b"), Some(&[2_u8][..]));
    }
}
