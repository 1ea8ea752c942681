//! The types of computation graphs that cross boundaries.

use std::any::Any;
use std::collections::HashMap;
use std::fmt;

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
#[derive(Debug, Clone, Default)]
pub struct InputCache {
    entries: HashMap<SourceName, Vec<u8>>,
}

impl InputCache {
    /// An empty cache.
    pub fn new() -> Self {
        Self::default()
    }

    /// Replaces the value of a source.
    pub fn update(&mut self, source: SourceName, bytes: Vec<u8>) {
        self.entries.insert(source, bytes);
    }

    /// Whether a source has a value.
    pub fn has(&self, name: &str) -> bool {
        self.get_raw(name).is_some()
    }

    /// The bytes of a source.
    pub fn get_raw(&self, name: &str) -> Option<&[u8]> {
        self.entries.get(&SourceName::new(name)).map(Vec::as_slice)
    }

    /// How many sources have a value.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether no source has a value.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The sources that have a value, sorted.
    pub fn sources(&self) -> Vec<&SourceName> {
        let mut sources: Vec<_> = self.entries.keys().collect();
        sources.sort();
        sources
    }
}

/// What a graph call came to.
#[derive(Debug)]
pub enum GraphResult {
    /// Every terminal delivered.
    Completed {
        /// The terminals' values.
        outputs: Vec<Box<dyn Any + Send>>,
        /// The same values as JSON, for a person who asks.
        outputs_json: Vec<serde_json::Value>,
    },
    /// The graph failed.
    Error(GraphError),
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
