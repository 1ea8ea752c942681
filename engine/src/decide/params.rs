//! The context a run starts with: what was given, checked against the workflow's params.

use crate::error::Error;
use crate::model::context::ContextMap;
use crate::model::definition::{ParamDef, WorkflowDef};
use serde_json::{Map, Value};

/// Puts given values and defaults together.
///
/// A workflow that declares params takes exactly those; one that declares none takes any key.
///
/// # Errors
/// [`Error::MissingParam`], [`Error::UnknownParam`], [`Error::BadParam`].
pub fn start_context(def: &WorkflowDef, given: &Map<String, Value>) -> Result<ContextMap, Error> {
    let mut context = ContextMap::default();
    let declared = |name: &str| def.params.iter().find(|p| p.name == name);
    for (name, value) in given {
        match declared(name) {
            Some(param) => check(param, value)?,
            None if def.params.is_empty() => {}
            None => {
                let known = def.params.iter().map(|p| p.name.clone()).collect();
                return Err(Error::UnknownParam { workflow: def.name.clone(), param: name.clone(), known });
            }
        }
        context.set(name, value.to_string());
    }
    for param in &def.params {
        match (given.contains_key(&param.name), &param.default) {
            (true, _) => {}
            (false, Some(default)) => context.set(&param.name, default.to_string()),
            (false, None) => {
                let (workflow, param, ty) = (def.name.clone(), param.name.clone(), param.type_name.clone());
                return Err(Error::MissingParam { workflow, param, ty });
            }
        }
    }
    Ok(context)
}

/// Compares a value with the `type` of its schema. What a schema says beyond that, the task's own
/// deserialization checks: it is the one that decides.
fn check(param: &ParamDef, value: &Value) -> Result<(), Error> {
    let fits = match param.schema.get("type") {
        Some(Value::String(ty)) => is_a(value, ty),
        Some(Value::Array(types)) => types.iter().filter_map(Value::as_str).any(|ty| is_a(value, ty)),
        _ => true,
    };
    if fits {
        return Ok(());
    }
    Err(Error::BadParam { param: param.name.clone(), given: value.to_string(), ty: param.type_name.clone() })
}

fn is_a(value: &Value, ty: &str) -> bool {
    match ty {
        "string" => value.is_string(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        "null" => value.is_null(),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::definition::tests::flow;
    use serde_json::json;

    fn def() -> WorkflowDef {
        let param = |name: &str, ty: &str, default| ParamDef {
            name: name.into(),
            type_name: ty.into(),
            default,
            schema: json!({ "type": ty }),
        };
        let mut def = flow(&[("a", &[])]).expect("one task");
        def.params = vec![param("city", "string", None), param("days", "integer", Some(json!(7)))];
        def
    }

    fn given(value: &Value) -> Result<String, &'static str> {
        let map = value.as_object().expect("object");
        start_context(&def(), map).map(|c| c.to_json()).map_err(|e| e.code())
    }

    #[test]
    fn defaults_fill_what_was_not_given() {
        assert_eq!(given(&json!({"city": "Oslo"})), Ok(r#"{"city":"Oslo","days":7}"#.into()));
    }

    #[test]
    fn missing_unknown_and_wrong_params_are_refused() {
        for wrong in [
            json!({}),
            json!({"city": "Oslo", "town": 1}),
            json!({"city": 1}),
            json!({"city": "O", "days": 1.5}),
        ] {
            assert_eq!(given(&wrong), Err("LS0602"), "{wrong}");
        }
    }
}
