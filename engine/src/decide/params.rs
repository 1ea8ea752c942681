//! The context a run starts with: what was given, checked against the workflow's params.

use crate::error::Error;
use crate::model::context::ContextMap;
use crate::model::definition::WorkflowDef;
use crate::model::param::ParamDef;
use serde_json::{Map, Value};

/// Puts params, the context beside them and defaults together. A param that is an `Option` and was not given is null.
///
/// A workflow that declares params takes exactly those as params, one that declares none takes any. A context brings params
/// too, and whatever else it has passes.
///
/// # Errors
/// [`Error::MissingParam`], [`Error::UnknownParam`], [`Error::BadParam`]; [`Error::BadParams`] with all of them when there
/// are several.
pub fn start_context(
    def: &WorkflowDef,
    params: &Map<String, Value>,
    beside: &Map<String, Value>,
) -> Result<ContextMap, Error> {
    let mut context = ContextMap::default();
    let mut errors = Vec::new();
    let declared = |name: &str| def.params.iter().find(|p| p.name == name);
    for (name, value) in beside.iter().chain(params) {
        let param = declared(name);
        errors.extend(param.and_then(|param| check(param, value).err()));
        let whole = param.filter(|_| value.is_f64()).map(|param| param.as_whole(value.clone()));
        context.set(name, whole.as_ref().unwrap_or(value).to_string());
    }
    if !def.params.is_empty() {
        for name in params.keys().filter(|name| declared(name).is_none()) {
            let known = def.params.iter().map(|p| p.name.clone()).collect();
            errors.push(Error::UnknownParam { workflow: def.name.clone(), param: name.clone(), known });
        }
    }
    let is_given = |name: &str| params.contains_key(name) || beside.contains_key(name);
    for param in def.params.iter().filter(|param| !is_given(&param.name)) {
        match &param.default {
            Some(default) => context.set(&param.name, default.to_string()),
            None if param.is_optional() => context.set(&param.name, Value::Null.to_string()),
            None => {
                let (workflow, param, ty) = (def.name.clone(), param.name.clone(), param.type_name.clone());
                errors.push(Error::MissingParam { workflow, param, ty });
            }
        }
    }
    match errors.len() {
        0 => Ok(context),
        1 => Err(errors.remove(0)),
        _ => Err(Error::BadParams { errors }),
    }
}

/// Compares a value with its schema.
fn check(param: &ParamDef, value: &Value) -> Result<(), Error> {
    param.check(value).map_err(|message| {
        let (param, ty) = (param.name.clone(), param.type_name.clone());
        Error::BadParam { param, ty, message }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::definition::tests::flow;
    use crate::model::param::Schema;
    use serde_json::json;

    fn def() -> WorkflowDef {
        let param = |name: &str, ty: &str, default| ParamDef {
            name: name.into(),
            type_name: ty.into(),
            default,
            schema: Schema::new(json!({ "type": ty })).expect("a schema"),
        };
        let mut def = flow(&[("a", &[])]).expect("one task");
        def.params = vec![param("city", "string", None), param("days", "integer", Some(json!(7)))];
        def
    }

    fn given(value: &Value) -> Result<String, &'static str> {
        let map = value.as_object().expect("object");
        start_context(&def(), map, &Map::new()).map(|c| c.to_json()).map_err(|e| e.code())
    }

    #[test]
    fn defaults_fill_what_was_not_given() {
        assert_eq!(given(&json!({"city": "Oslo"})), Ok(r#"{"city":"Oslo","days":7}"#.into()));
    }

    #[test]
    fn all_that_is_wrong_is_said_at_once() {
        let given = json!({"town": 1, "days": "x"});
        let error = start_context(&def(), given.as_object().expect("object"), &Map::new());
        let error = error.map(drop).expect_err("three mistakes");
        let text = error.to_string();
        for part in ["no param `town`", "param `days`", "needs", "`city`"] {
            assert!(error.code() == "LS0602" && text.contains(part), "{text}");
        }
    }

    #[test]
    fn a_context_brings_params_and_whatever_else_it_has() {
        let beside = |value: Value| {
            let context = start_context(&def(), &Map::new(), value.as_object().expect("object"));
            context.map(|c| c.to_json()).map_err(|e| e.code())
        };
        let context = beside(json!({"city": "Oslo", "scheduled_at": 5}));
        assert_eq!(context, Ok(r#"{"city":"Oslo","days":7,"scheduled_at":5}"#.into()));
        assert_eq!(beside(json!({"city": 5})), Err("LS0602"), "a param has its type wherever it comes from");
        assert_eq!(beside(json!({"scheduled_at": 5})), Err("LS0602"), "the city is missing");
    }

    #[test]
    fn an_optional_param_needs_no_default() {
        let mut def = def();
        def.params[0].type_name = "Option<String>".into();
        def.params[0].schema = Schema::new(json!({ "type": ["string", "null"] })).expect("a schema");
        let context = start_context(&def, &Map::new(), &Map::new()).expect("it is null");
        assert_eq!(context.to_json(), r#"{"city":null,"days":7}"#);
    }

    /// The error of a value for a param of this type.
    fn refused<T: longshore_workflow::private::schemars::JsonSchema>(value: &Value) -> Option<String> {
        let schema = longshore_workflow::private::schema_of::<T>();
        Schema::new(schema).expect("a schema").check(value).err()
    }

    #[test]
    fn values_that_a_type_cannot_hold_are_refused() {
        assert_eq!(refused::<u64>(&json!(-1)).as_deref(), Some("-1 is less than the minimum of 0"));
        assert_eq!(refused::<u8>(&json!(300)).as_deref(), Some("300 is greater than the maximum of 255"));
        assert_eq!(refused::<u8>(&json!(255)), None);
        assert_eq!(refused::<Option<u8>>(&json!(null)), None);
        let nested = refused::<Vec<u8>>(&json!([1, "two"])).expect("a text");
        assert!(nested.starts_with("at /1: "), "{nested}");
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
