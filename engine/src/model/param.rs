//! The inputs of a workflow: what they are called, what they take when nothing is given, and what is checked.

use longshore_workflow_plugin::wire::ParamMeta;
use serde_json::Value;
use std::fmt;
use std::sync::Arc;

/// Longest message about a value that does not fit, in bytes.
const MAX_MESSAGE: usize = 512;

/// An input of a workflow.
#[derive(Debug, Clone)]
pub struct ParamDef {
    /// The context key.
    pub name: String,
    /// Its Rust type as written.
    pub type_name: String,
    /// The default, none when it is required.
    pub default: Option<Value>,
    /// The check of its values.
    pub schema: Schema,
}

/// A JSON Schema that is ready to check values. It refers to nothing outside itself.
#[derive(Clone)]
pub struct Schema {
    json: Value,
    validator: Arc<jsonschema::Validator>,
}

impl fmt::Debug for Schema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.json.fmt(f)
    }
}

impl Schema {
    /// A schema from its JSON.
    ///
    /// # Errors
    /// Why the JSON is not a schema.
    pub fn new(json: Value) -> Result<Self, String> {
        let validator = jsonschema::validator_for(&json).map_err(|error| error.to_string())?;
        Ok(Self { json, validator: Arc::new(validator) })
    }

    /// The schema as it was given.
    pub fn json(&self) -> &Value {
        &self.json
    }

    /// Checks a value.
    ///
    /// # Errors
    /// Where and why it does not fit.
    pub fn check(&self, value: &Value) -> Result<(), String> {
        let Err(error) = self.validator.validate(value) else { return Ok(()) };
        let (path, message) = (error.instance_path().to_string(), error.to_string());
        let text = if path.is_empty() { message } else { format!("at {path}: {message}") };
        Err(longshore_store::clip(text, MAX_MESSAGE))
    }
}

impl ParamDef {
    /// A param from a package's metadata.
    ///
    /// # Errors
    /// The fault of its schema or its default.
    pub(super) fn read(meta: &ParamMeta) -> Result<Self, String> {
        let parse = |what: &str, text: &str| -> Result<Value, String> {
            serde_json::from_str(text).map_err(|error| format!("its {what} is not JSON: {error}"))
        };
        let schema = Schema::new(parse("schema", &meta.schema)?)
            .map_err(|error| format!("its schema is not a JSON Schema: {error}"))?;
        let default = (!meta.required).then(|| parse("default", &meta.default)).transpose()?;
        if let Some(default) = &default {
            schema.check(default).map_err(|error| format!("its default does not fit its type: {error}"))?;
        }
        Ok(Self { name: meta.name.clone(), type_name: meta.type_name.clone(), default, schema })
    }
}
