//! Checks: arguments that parse and cannot work.

use super::model::{Named, TaskModel};
use crate::diag::{Diagnostics, did_you_mean};
use syn::spanned::Spanned;
use syn::{FnArg, GenericParam, ItemFn, PatType, ReturnType, Type, TypeGroup, TypeParen};

pub(super) fn check(model: &TaskModel, function: &ItemFn, diag: &mut Diagnostics) {
    identity(model, diag);
    rule(model, diag);
    if let (Some(callback), None) = (&model.post_invocation, &model.invokes) {
        let message = "`post_invocation` comes after a graph: add `invokes = computation_graph(\"name\")`";
        diag.error(callback.span(), message);
    }
    signature(model, function, diag);
}

fn identity(model: &TaskModel, diag: &mut Diagnostics) {
    let id = &model.id.text;
    if let Err(message) = crate::args::check_name("task", id) {
        diag.error(model.id.span, message);
    }
    for (i, dependency) in model.dependencies.iter().enumerate() {
        if dependency.text == *id {
            diag.error(dependency.span, format!("`{id}` depends on itself"));
        }
        if model.dependencies[..i].iter().any(|earlier| earlier.text == dependency.text) {
            diag.error(dependency.span, format!("`{}` is among the dependencies twice", dependency.text));
        }
    }
}

fn rule(model: &TaskModel, diag: &mut Diagnostics) {
    let Some(rule) = &model.rule else { return };
    let known = || model.dependencies.iter().map(|d: &Named| d.text.as_str());
    for (task, span) in &rule.tasks {
        if !known().any(|id| id == task) {
            let near = did_you_mean(task, known());
            let fix = if near.is_empty() { format!("; add it: `dependencies = [\"{task}\"]`") } else { near };
            diag.error(*span, format!("the rule names `{task}`, which is not among the dependencies{fix}"));
        }
    }
}

fn signature(model: &TaskModel, function: &ItemFn, diag: &mut Diagnostics) {
    let sig = &function.sig;
    if sig.generics.params.iter().any(|param| !matches!(param, GenericParam::Lifetime(_))) {
        diag.error(sig.generics.span(), "a task is called by name and cannot be generic");
    }
    if let Some(unsafety) = &sig.unsafety {
        diag.error(unsafety.span(), "a task is called by the host and cannot be unsafe");
    }
    if let Some(FnArg::Receiver(receiver)) = sig.inputs.first() {
        diag.error(
            receiver.span(),
            "a task is a free function: its first parameter is `&mut Context<Value>`",
        );
        return;
    }
    match &model.context {
        Some(param) => reference(param, "context", "&mut Context<serde_json::Value>", diag),
        None => diag.error(
            sig.paren_token.span.join(),
            "a task takes `context: &mut Context<serde_json::Value>`, and after it, if it wants, `handle: &mut TaskHandle`",
        ),
    }
    if let Some(param) = &model.handle {
        reference(param, "handle", "&mut TaskHandle", diag);
    }
    for extra in sig.inputs.iter().skip(2) {
        diag.error(
            extra.span(),
            "a task takes a context and at most a handle; pass data through the context",
        );
    }
    if matches!(sig.output, ReturnType::Default) {
        diag.error(sig.ident.span(), "a task returns `Result<(), TaskError>`");
    }
}

fn reference(param: &PatType, what: &str, expected: &str, diag: &mut Diagnostics) {
    let mut ty = &*param.ty;
    // A fragment of a macro, or brackets around a type.
    while let Type::Group(TypeGroup { elem, .. }) | Type::Paren(TypeParen { elem, .. }) = ty {
        ty = elem;
    }
    let fits = match ty {
        Type::Reference(reference) => reference.mutability.is_some(),
        // An alias may stand for the whole reference; the compiler knows.
        Type::Path(path) => {
            path.path.segments.last().is_none_or(|last| last.ident != "Context" && last.ident != "TaskHandle")
        }
        Type::Macro(_) => true,
        _ => false,
    };
    if !fits {
        diag.error(param.ty.span(), format!("the {what} parameter is `{expected}`"));
    }
}
