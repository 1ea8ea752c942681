//! The types of computation graphs that cross boundaries.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::any::Any;
use std::fmt;
use std::sync::Arc;

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
        match self.entries.iter_mut().find(|(name, _)| *name == source) {
            Some((_, value)) => *value = bytes,
            None => self.entries.push((source, bytes)),
        }
    }

    #[doc(hidden)]
    pub fn remove(&mut self, source: &str) {
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

    /// The value of a source, none when it has none.
    ///
    /// # Errors
    /// [`GraphError::BadInput`] when the bytes are not a `T`.
    pub fn get<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, GraphError> {
        let Some(bytes) = self.get_raw(name) else { return Ok(None) };
        decode(bytes).map(Some).map_err(|error| GraphError::BadInput {
            source_name: name.to_owned(),
            field: error.field,
            message: error.message,
        })
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
#[derive(Clone, Copy)]
pub struct Terminal {
    /// The node's name.
    pub name: &'static str,
    pub(crate) json: fn(&(dyn Any + Send)) -> Value,
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
        outputs.iter().zip(terminals).map(|(value, t)| (t.name, (t.json)(&**value))).collect()
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
        let error = cache.get::<Quote>("book").expect_err("a text among numbers").to_string();
        assert!(error.starts_with("source `book`, field `levels[1]`: invalid type: string"), "{error}");
        assert_eq!(cache.get::<Quote>("other").expect("no value"), None);
    }

    #[test]
    fn a_later_value_replaces_an_earlier_one() {
        let mut cache = InputCache::new();
        cache.update("a".into(), vec![1]);
        cache.update("b".into(), vec![2]);
        cache.update("a".into(), vec![3]);
        assert_eq!((cache.len(), cache.get_raw("a")), (2, Some(&[3_u8][..])));
        assert_eq!(cache.sources(), [&SourceName::new("a"), &SourceName::new("b")]);
    }
}
