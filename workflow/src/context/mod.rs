//! [`Context`]: what tasks read and write, as keys with JSON values.

pub(crate) mod finite;
mod frame;

#[doc(hidden)]
pub use frame::{FrameEntry, FrameError, FrameHeader};

use crate::error::{ContextError, TaskError};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::sync::OnceLock;

/// The largest context that crosses into a task or comes back from one, in bytes of its frame.
///
/// Contexts are for decisions and references. Above this the copy dominates the task, and a run's record
/// would outgrow what a database row is good for.
pub const MAX_CONTEXT_BYTES: usize = 16 * 1024 * 1024;

/// One value of an arrived frame: parsed when it is first asked for.
struct Arrived<T> {
    span: frame::Span,
    value: OnceLock<Option<T>>,
}

impl<T> From<frame::Span> for Arrived<T> {
    fn from(span: frame::Span) -> Self {
        Self { span, value: OnceLock::new() }
    }
}

/// The data of a run as one task sees it: keys with JSON values.
///
/// A task reads what its predecessors wrote and writes what its successors will read. Values arrive as raw
/// JSON and are parsed when touched; only what a task changed travels back.
///
/// ```
/// use longshore_workflow::Context;
/// let mut context = Context::new();
/// context.insert("city", serde_json::json!("Seattle"))?;
/// context.insert_as("days", 1461)?;
/// assert_eq!(context.get_required::<u32>("days")?, 1461);
/// assert!(context.insert("city", serde_json::json!("Oslo")).is_err());
/// # Ok::<(), longshore_workflow::TaskError>(())
/// ```
pub struct Context<T = Value> {
    bytes: Vec<u8>,
    arrived: Vec<Arrived<T>>,
    set: HashMap<String, T>,
    removed: BTreeSet<String>,
    /// The map that [`Context::data`] lends out while values of the frame are still raw.
    whole: OnceLock<HashMap<String, T>>,
}

impl<T> Context<T>
where
    T: Serialize + DeserializeOwned + fmt::Debug,
{
    /// An empty context.
    pub fn new() -> Self {
        Self::from_data(HashMap::new())
    }

    /// Adds a key.
    ///
    /// # Errors
    /// [`ContextError::KeyExists`] when the key is there already; see [`Context::update`].
    pub fn insert(&mut self, key: impl Into<String>, value: T) -> Result<(), ContextError> {
        let key = key.into();
        if self.contains(&key) {
            return Err(ContextError::KeyExists(key));
        }
        self.put(key, value);
        Ok(())
    }

    /// Replaces the value of a key.
    ///
    /// # Errors
    /// [`ContextError::KeyNotFound`] when the key is not there; see [`Context::insert`].
    pub fn update(&mut self, key: impl Into<String>, value: T) -> Result<(), ContextError> {
        let key = key.into();
        if !self.contains(&key) {
            return Err(ContextError::KeyNotFound(key));
        }
        self.put(key, value);
        Ok(())
    }

    /// The value of a key, or `None` when it is absent or is not a `T`.
    pub fn get(&self, key: &str) -> Option<&T> {
        if let Some(value) = self.set.get(key) {
            return Some(value);
        }
        if self.removed.contains(key) {
            return None;
        }
        self.arrived(key)
    }

    /// Takes a key out and returns its value.
    pub fn remove(&mut self, key: &str) -> Option<T> {
        let at = self.find(key);
        let own = self.set.remove(key);
        self.whole.take();
        match at {
            None => own,
            Some(_) if !self.removed.insert(key.to_owned()) => own,
            Some(at) => own.or_else(|| {
                let entry = &mut self.arrived[at];
                let raw = entry.span.value(&self.bytes);
                entry.value.take().unwrap_or_else(|| serde_json::from_slice(raw).ok())
            }),
        }
    }

    /// All keys and values. Parses what has not been touched yet.
    pub fn data(&self) -> &HashMap<String, T> {
        if self.arrived.is_empty() {
            return &self.set;
        }
        self.whole.get_or_init(|| {
            let mut whole: HashMap<String, T> = self
                .arrived
                .iter()
                .map(|a| (a.span.key(&self.bytes), a.span.value(&self.bytes)))
                .filter(|(key, _)| !self.removed.contains(*key) && !self.set.contains_key(*key))
                .filter_map(|(key, raw)| Some((key.to_owned(), serde_json::from_slice(raw).ok()?)))
                .collect();
            for (key, value) in &self.set {
                if let Some(copy) = copy_of(value) {
                    whole.insert(key.clone(), copy);
                }
            }
            whole
        })
    }

    /// All keys and values, owned.
    pub fn into_data(mut self) -> HashMap<String, T> {
        let mut data = std::mem::take(&mut self.set);
        for entry in self.arrived.drain(..) {
            let key = entry.span.key(&self.bytes);
            if self.removed.contains(key) || data.contains_key(key) {
                continue;
            }
            let value = entry
                .value
                .into_inner()
                .unwrap_or_else(|| serde_json::from_slice(entry.span.value(&self.bytes)).ok());
            if let Some(value) = value {
                data.insert(key.to_owned(), value);
            }
        }
        data
    }

    /// A context that holds `data`.
    pub fn from_data(data: HashMap<String, T>) -> Self {
        Self {
            bytes: Vec::new(),
            arrived: Vec::new(),
            set: data,
            removed: BTreeSet::new(),
            whole: OnceLock::new(),
        }
    }

    /// A copy of the data without the record of what changed.
    pub fn clone_data(&self) -> Self
    where
        T: Clone,
    {
        Self::from_data(self.data().clone())
    }

    /// The context as one JSON object.
    ///
    /// # Errors
    /// [`ContextError::Serialization`] when a value of `T` refuses.
    pub fn to_json(&self) -> Result<String, ContextError> {
        let sorted: BTreeMap<_, _> = self.data().iter().collect();
        Ok(serde_json::to_string(&sorted)?)
    }

    /// A context from one JSON object.
    ///
    /// # Errors
    /// [`ContextError::Serialization`] when the text is not an object of `T`.
    #[expect(clippy::needless_pass_by_value, reason = "the signature existing packages call")]
    pub fn from_json(json: String) -> Result<Self, ContextError> {
        Ok(Self::from_data(serde_json::from_str(&json)?))
    }

    /// A context over the frame that begins at `start` of a message, whose values are parsed when they are
    /// touched. The message is kept as it is: nothing is copied.
    #[doc(hidden)]
    pub fn from_frame(bytes: Vec<u8>, start: usize) -> Result<Self, FrameError> {
        let len = bytes.len().saturating_sub(start);
        if len > MAX_CONTEXT_BYTES {
            return Err(FrameError::TooLarge { bytes: len, limit: MAX_CONTEXT_BYTES });
        }
        let arrived = frame::index(&bytes, start)?;
        Ok(Self { bytes, arrived, set: HashMap::new(), removed: BTreeSet::new(), whole: OnceLock::new() })
    }

    /// The changes since the frame arrived, as a frame: set keys with their JSON, removed keys with an
    /// empty value. Empty when nothing changed.
    #[doc(hidden)]
    pub fn patch(&self) -> Result<Vec<u8>, FrameError> {
        let mut out = Vec::new();
        if self.set.is_empty() && self.removed.is_empty() {
            return Ok(out);
        }
        let mut changed: BTreeMap<&str, Vec<u8>> =
            self.removed.iter().map(|k| (k.as_str(), Vec::new())).collect();
        for (key, value) in &self.set {
            let json =
                serde_json::to_vec(value).map_err(|e| FrameError::Value { key: key.clone(), source: e })?;
            if json == b"null" && finite::non_finite(value).is_some() {
                return Err(FrameError::NotFinite { key: key.clone() });
            }
            changed.insert(key, json);
        }
        frame::write(changed.iter().map(|(k, v)| (*k, v.as_slice())), &mut out);
        if out.len() > MAX_CONTEXT_BYTES {
            return Err(FrameError::TooLarge { bytes: out.len(), limit: MAX_CONTEXT_BYTES });
        }
        Ok(out)
    }

    fn find(&self, key: &str) -> Option<usize> {
        self.arrived.binary_search_by(|a| a.span.key_bytes(&self.bytes).cmp(key.as_bytes())).ok()
    }

    fn arrived(&self, key: &str) -> Option<&T> {
        let entry = &self.arrived[self.find(key)?];
        entry.value.get_or_init(|| serde_json::from_slice(entry.span.value(&self.bytes)).ok()).as_ref()
    }

    fn contains(&self, key: &str) -> bool {
        self.set.contains_key(key) || (!self.removed.contains(key) && self.find(key).is_some())
    }

    fn put(&mut self, key: String, value: T) {
        self.whole.take();
        self.removed.remove(&key);
        self.set.insert(key, value);
    }
}

/// True when a value holds a `null`, which may stand for a number that JSON does not have.
fn has_null(json: &Value) -> bool {
    match json {
        Value::Null => true,
        Value::Array(items) => items.iter().any(has_null),
        Value::Object(fields) => fields.values().any(has_null),
        _ => false,
    }
}

fn copy_of<T: Serialize + DeserializeOwned>(value: &T) -> Option<T> {
    serde_json::from_value(serde_json::to_value(value).ok()?).ok()
}

impl Context<Value> {
    /// The value of a key as `V`, or `None` when the key is absent, or null and a `V` is not: an optional param that was
    /// not given.
    ///
    /// # Errors
    /// [`TaskError::ValidationFailed`] naming the key and the type when the value is not a `V`.
    pub fn get_as<V: DeserializeOwned>(&self, key: &str) -> Result<Option<V>, TaskError> {
        let Some(value) = self.get(key) else { return Ok(None) };
        match V::deserialize(value) {
            Ok(value) => Ok(Some(value)),
            Err(_) if value.is_null() => Ok(None),
            Err(error) => Err(TaskError::ValidationFailed {
                message: format!("context key `{key}` is not a {}: {error}", std::any::type_name::<V>()),
            }),
        }
    }

    /// The value of a key as `V`.
    ///
    /// # Errors
    /// [`TaskError::ValidationFailed`] when the key is absent or its value is not a `V`.
    pub fn get_required<V: DeserializeOwned>(&self, key: &str) -> Result<V, TaskError> {
        self.get_as(key)?.ok_or_else(|| TaskError::ValidationFailed {
            message: format!(
                "context key `{key}` is {} (expected a {})",
                if self.get(key).is_some() { "null" } else { "missing" },
                std::any::type_name::<V>()
            ),
        })
    }

    /// Stores a serializable value under a key, whether or not the key was there.
    ///
    /// # Errors
    /// [`TaskError::ValidationFailed`] when the value does not serialize, or holds a number that JSON does not have:
    /// NaN or an infinity.
    pub fn insert_as<V: Serialize>(&mut self, key: impl Into<String>, value: V) -> Result<(), TaskError> {
        let key = key.into();
        let json = serde_json::to_value(&value).map_err(|e| TaskError::ValidationFailed {
            message: format!("context key `{key}` does not serialize: {e}"),
        })?;
        if has_null(&json)
            && let Some(path) = finite::non_finite(&value)
        {
            let message =
                format!("context key `{key}`: the number at `{path}` is NaN or infinite, which JSON has not");
            return Err(TaskError::ValidationFailed { message });
        }
        self.put(key, json);
        Ok(())
    }
}

impl<T> Default for Context<T>
where
    T: Serialize + DeserializeOwned + fmt::Debug,
{
    fn default() -> Self {
        Self::new()
    }
}

impl<T> fmt::Debug for Context<T>
where
    T: Serialize + DeserializeOwned + fmt::Debug,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.data().iter().collect::<BTreeMap<_, _>>()).finish()
    }
}

/// Reads a frame into its keys and raw JSON values; a patch's removed keys have empty values.
#[doc(hidden)]
pub fn read_frame(bytes: &[u8]) -> Result<Vec<(&str, &[u8])>, FrameError> {
    Ok(frame::index::<frame::Span>(bytes, 0)?.into_iter().map(|s| (s.key(bytes), s.value(bytes))).collect())
}

/// Writes a frame from entries sorted by key.
#[doc(hidden)]
pub fn write_frame<'a>(entries: impl Iterator<Item = (&'a str, &'a [u8])> + Clone, out: &mut Vec<u8>) {
    frame::write(entries, out);
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn arrived(entries: &[(&str, &str)]) -> Context {
        let mut frame = Vec::new();
        write_frame(entries.iter().map(|(k, v)| (*k, v.as_bytes())), &mut frame);
        Context::from_frame(frame, 0).expect("own frame")
    }

    fn patch_of(context: &Context) -> Vec<(String, String)> {
        let bytes = context.patch().expect("patch");
        let entries = read_frame(&bytes).expect("own frame");
        entries.iter().map(|(k, v)| ((*k).to_owned(), String::from_utf8_lossy(v).into_owned())).collect()
    }

    #[test]
    fn an_untouched_context_has_no_patch() {
        assert!(arrived(&[("a", "1")]).patch().expect("patch").is_empty());
    }

    #[test]
    fn null_is_none_for_whoever_wants_no_null() {
        let context = arrived(&[("count", "\"x\""), ("note", "null")]);
        assert_eq!(context.get_as::<String>("note").expect("reads"), None);
        assert_eq!(context.get_as::<Option<String>>("note").expect("reads"), Some(None));
        assert_eq!(context.get_required::<Option<u8>>("note").expect("reads"), None);
        let missing = context.get_required::<u8>("note").expect_err("is null").to_string();
        assert!(missing.contains("key `note` is null (expected a u8)"), "{missing}");
        assert!(context.get_as::<u8>("count").is_err());
    }

    #[test]
    fn only_what_changed_travels_back() {
        let mut context = arrived(&[("a", "1"), ("b", "2"), ("c", "3")]);
        context.update("b", json!(20)).expect("b is there");
        context.insert("d", json!(4)).expect("d is new");
        assert_eq!(context.remove("c"), Some(json!(3)));
        let expected = [("b", "20"), ("c", ""), ("d", "4")].map(|(k, v)| (k.to_owned(), v.to_owned()));
        assert_eq!(patch_of(&context), expected);
    }

    #[test]
    fn insert_and_update_tell_apart_what_is_there() {
        let mut context = arrived(&[("a", "1")]);
        assert!(matches!(context.insert("a", json!(2)), Err(ContextError::KeyExists(k)) if k == "a"));
        assert!(matches!(context.update("z", json!(2)), Err(ContextError::KeyNotFound(k)) if k == "z"));
        context.remove("a");
        assert!(context.get("a").is_none());
        assert_eq!(context.remove("a"), None);
        context.insert("a", json!(2)).expect("removed before");
        assert_eq!(context.get("a"), Some(&json!(2)));
    }

    #[test]
    fn data_shows_the_frame_and_the_changes_together() {
        let mut context = arrived(&[("a", "1"), ("b", "2")]);
        context.insert_as("a", 10).expect("upsert");
        context.remove("b");
        context.insert_as("c", "new").expect("insert");
        let expected: HashMap<_, _> = [("a".to_owned(), json!(10)), ("c".to_owned(), json!("new"))].into();
        assert_eq!(context.data(), &expected);
        assert_eq!(context.into_data(), expected);
    }

    #[test]
    fn a_wrong_type_names_the_key_and_the_type() {
        let context = arrived(&[("n", "\"seven\"")]);
        let error = context.get_required::<u32>("n").expect_err("a string").to_string();
        assert!(error.contains("`n`") && error.contains("u32"), "{error}");
    }

    #[test]
    fn a_patch_over_the_limit_is_refused() {
        let mut context = Context::new();
        context.insert_as("big", "x".repeat(MAX_CONTEXT_BYTES)).expect("insert");
        assert!(matches!(context.patch(), Err(FrameError::TooLarge { .. })));
    }
}
