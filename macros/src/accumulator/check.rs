//! Checks: arguments that parse and cannot work.

use super::model::{AccumulatorModel, Kind};
use super::parse::Function;
use crate::diag::Diagnostics;
use syn::spanned::Spanned;
use syn::{FnArg, ReturnType, Type};

pub(super) fn check(model: &AccumulatorModel, function: &Function, diag: &mut Diagnostics) {
    let (kind, sig) = (model.kind, &function.sig);
    let wrong = |what: &str| format!("{what}; `#[{}]` goes on {}", kind.macro_name(), kind.shape());
    if !sig.generics.params.is_empty() {
        diag.error(sig.generics.span(), "an accumulator is called by name and cannot be generic");
    }
    if function.block.is_none() && kind != Kind::State {
        diag.error(sig.ident.span(), wrong("the body is missing"));
    }
    check_parameters(model, function, diag);
    if matches!(sig.output, ReturnType::Default) {
        diag.error(sig.ident.span(), wrong("the result is missing"));
    }
    if kind == Kind::State && item_type(&sig.output).is_none() {
        diag.error(sig.output.span(), wrong("the result is not a `VecDeque<T>`"));
    }
    if kind == Kind::Stream && model.config.get("type").is_none_or(|text| text == "") {
        diag.error(sig.ident.span(), "what does it read? Write `type = \"file\"` or another kind of source");
    }
}

fn check_parameters(model: &AccumulatorModel, function: &Function, diag: &mut Diagnostics) {
    let expected = match model.kind {
        Kind::Passthrough | Kind::Batch => 1,
        Kind::Stream => 1 + usize::from(model.state.is_some()),
        Kind::Polling | Kind::State => 0,
    };
    let inputs = &function.sig.inputs;
    let shape = model.kind.shape();
    if inputs.len() != expected {
        let span =
            inputs.iter().nth(expected).map_or_else(|| function.sig.paren_token.span.join(), Spanned::span);
        diag.error(span, format!("`#[{}]` goes on {shape}", model.kind.macro_name()));
    }
    if let Some(FnArg::Receiver(receiver)) = inputs.first() {
        diag.error(receiver.span(), "an accumulator is a free function");
    }
    if let Some(FnArg::Typed(typed)) = inputs.first()
        && model.kind == Kind::Batch
        && !is_path(&typed.ty, "Vec")
    {
        diag.error(typed.ty.span(), format!("a batch takes its events as `Vec<Event>`: {shape}"));
    }
    if let Some(FnArg::Typed(typed)) = inputs.iter().nth(1)
        && model.state.is_some()
        && !matches!(&*typed.ty, Type::Reference(reference) if reference.mutability.is_some())
    {
        diag.error(typed.ty.span(), "the state parameter is `&mut` of the type that `state` names");
    }
}

fn is_path(ty: &Type, name: &str) -> bool {
    matches!(ty, Type::Path(path) if path.path.segments.last().is_some_and(|s| s.ident == name))
}

/// `T` of `VecDeque<T>`.
pub(super) fn item_type(output: &ReturnType) -> Option<&Type> {
    let ReturnType::Type(_, ty) = output else { return None };
    let Type::Path(path) = &**ty else { return None };
    let last = path.path.segments.last().filter(|segment| segment.ident == "VecDeque")?;
    let syn::PathArguments::AngleBracketed(arguments) = &last.arguments else { return None };
    match arguments.args.first()? {
        syn::GenericArgument::Type(item) => Some(item),
        _ => None,
    }
}
