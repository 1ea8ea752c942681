//! The inputs of a workflow: what they are called, what they take when nothing is given, and what is checked.

use super::typed::json_of;
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
    /// A sentence with the place and the reason when it does not fit.
    pub fn check(&self, value: &Value) -> Result<(), String> {
        let Err(error) = self.validator.validate(value) else { return Ok(()) };
        let (path, message) = (error.instance_path().to_string(), error.to_string());
        let text = if path.is_empty() { message } else { format!("at {path}: {message}") };
        Err(longshore_store::clip(text, MAX_MESSAGE))
    }
}

impl ParamDef {
    /// True of an `Option`, as its type is written: it need not be given.
    pub fn is_optional(&self) -> bool {
        let ty = self.type_name.split('<').next().unwrap_or_default();
        ty.rsplit("::").next().is_some_and(|last| last.trim() == "Option")
            && self.schema.check(&Value::Null).is_ok()
    }

    /// The value that somebody means who writes this text on a command line: JSON where that fits the type, or else the
    /// text itself. What fits in neither way is refused when the run is started.
    pub fn value_of(&self, text: &str) -> Value {
        let fits = |value: &Value| self.schema.check(value).is_ok();
        let (json, string) = (json_of(text).map(|json| self.as_whole(json)), Value::from(text));
        match json {
            Some(json) if fits(&json) => json,
            _ if fits(&string) => string,
            Some(json) => json,
            None => self.rounded(text).unwrap_or(string),
        }
    }

    /// The number nearest to one that is too long, for a type of such numbers.
    fn rounded(&self, text: &str) -> Option<Value> {
        serde_json::from_str::<Value>(text).ok().filter(|value| value.is_f64() && self.takes_fractions())
    }

    fn takes_fractions(&self) -> bool {
        self.schema.check(&Value::from(0.5)).is_ok()
    }

    /// A whole number that is written as `10.0` or `1e1`, as one: to a schema it is one, to the types of Rust it is not.
    pub fn as_whole(&self, value: Value) -> Value {
        /// From here on not every whole number is an f64.
        const EXACT: f64 = 9_007_199_254_740_992.0;
        match value.as_f64().filter(|number| value.is_f64() && number.fract() == 0.0 && number.abs() < EXACT)
        {
            Some(number) if !self.takes_fractions() => Value::from(number as i64),
            _ => value,
        }
    }

    /// Checks a value that a run is to start with.
    ///
    /// # Errors
    /// A sentence with the place and the reason when it does not fit.
    pub fn check(&self, value: &Value) -> Result<(), String> {
        let is_too_long = |text: &str| json_of(text).is_none() && serde_json::from_str::<Value>(text).is_ok();
        self.schema.check(value).map_err(|message| match value.as_str() {
            Some(text) if is_too_long(text) => format!("{message}; whole numbers have at most 64 bits"),
            _ => message,
        })
    }

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

#[cfg(test)]
mod tests {
    use super::*;
    use longshore_workflow::private::schema_of;
    use serde_json::json;

    fn param<T: longshore_workflow::private::schemars::JsonSchema>(type_name: &str) -> ParamDef {
        let schema = Schema::new(schema_of::<T>()).expect("a schema");
        ParamDef { name: "p".into(), type_name: type_name.into(), default: None, schema }
    }

    #[test]
    fn the_declared_type_decides_what_a_text_means() {
        let text = param::<String>("String");
        for written in ["12345", "1.10", "true", "01234", "null", "[1]", "a b"] {
            assert_eq!(text.value_of(written), json!(written));
        }
        assert_eq!(text.value_of("\"quoted\""), json!("quoted"));
        assert_eq!(param::<u64>("u64").value_of("7"), json!(7));
        assert_eq!(param::<u64>("u64").value_of("seven"), json!("seven"), "refused when it is started");
        let long = "123456789012345678901234567890";
        assert_eq!(text.value_of(long), json!(long));
        assert_eq!(param::<f64>("f64").value_of(long), json!(123456789012345678901234567890.0));
        let whole = param::<u128>("u128");
        let refused = whole.check(&whole.value_of(long)).expect_err("it would be rounded");
        assert!(refused.ends_with("at most 64 bits"), "{refused}");
        for (written, meant) in [("1e1", 10), ("7.0", 7), ("-0", 0)] {
            assert_eq!(param::<u32>("u32").value_of(written), json!(meant));
        }
        assert_eq!(param::<f64>("f64").value_of("7.0"), json!(7.0));
        assert_eq!(param::<Option<u64>>("Option<u64>").value_of("null"), json!(null));
        assert_eq!(param::<Vec<u8>>("Vec<u8>").value_of("[1, 2]"), json!([1, 2]));
    }

    #[test]
    fn options_are_optional_under_each_of_their_names() {
        assert!(param::<Option<u8>>("Option<u8>").is_optional());
        assert!(param::<Option<u8>>("std::option::Option<u8>").is_optional());
        assert!(!param::<u8>("u8").is_optional());
        assert!(!param::<Value>("Value").is_optional());
    }
}
