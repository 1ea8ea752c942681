//! Checks: arguments that parse and cannot work.

use super::model::{GraphModel, Node};
use crate::diag::{Diagnostics, did_you_mean};
use quote::ToTokens;
use syn::spanned::Spanned;
use syn::{FnArg, GenericArgument, PathArguments, ReturnType, Type};

pub(super) fn check(model: &GraphModel, diag: &mut Diagnostics) {
    if let Some(reactor) = &model.reactor
        && let Err(message) = crate::args::check_qualified_name("reactor", &reactor.value())
    {
        diag.error(reactor.span(), message);
    }
    strangers(model, diag);
    edges(model, diag);
    if let Err(cycle) = model.order() {
        let names: Vec<String> = cycle.iter().map(|node| model.nodes[*node].name.to_string()).collect();
        let at = model.nodes[cycle[0]].name.span();
        diag.error(at, format!("these nodes wait for each other: {}", names.join(" -> ")));
    }
    for place in 0..model.nodes.len() {
        sources(model, place, diag);
        if model.nodes[place].function.is_some() {
            signature(model, place, diag);
        }
    }
}

/// Nodes without a function, functions without a node.
fn strangers(model: &GraphModel, diag: &mut Diagnostics) {
    let strays: Vec<String> = model.strays.iter().map(ToString::to_string).collect();
    for node in model.nodes.iter().filter(|node| node.function.is_none()) {
        let near = did_you_mean(&node.name.to_string(), strays.iter().map(String::as_str));
        diag.error(node.name.span(), format!("the module has no function `{}`{near}", node.name));
    }
    let names: Vec<String> = model.nodes.iter().map(|node| node.name.to_string()).collect();
    for stray in &model.strays {
        let near = did_you_mean(&stray.to_string(), names.iter().map(String::as_str));
        let fix = if near.is_empty() { "; move helpers out of the module" } else { &near };
        diag.error(stray.span(), format!("`{stray}` is not a node of the graph{fix}"));
    }
}

fn edges(model: &GraphModel, diag: &mut Diagnostics) {
    for (i, edge) in model.edges.iter().enumerate() {
        let earlier = || model.edges[..i].iter().filter(|other| other.from == edge.from);
        let from = &model.nodes[edge.from];
        match &edge.variant {
            None if from.routes => {
                diag.error(
                    edge.target.span(),
                    format!("`{}` routes by variant; it has no plain edge", from.name),
                );
            }
            None if earlier().any(|other| other.to == edge.to) => {
                diag.error(edge.target.span(), format!("`{} -> {}` is there twice", from.name, edge.target));
            }
            None => {}
            Some(variant) if earlier().any(|other| other.variant.as_ref() == Some(variant)) => {
                diag.error(variant.span(), format!("`{}` routes `{variant}` twice", from.name));
            }
            Some(_) => {}
        }
    }
}

fn sources(model: &GraphModel, place: usize, diag: &mut Diagnostics) {
    let node = &model.nodes[place];
    for (i, source) in node.sources.iter().enumerate() {
        if node.sources[..i].contains(source) {
            diag.error(source.span(), format!("`{}` takes `{source}` twice", node.name));
        }
    }
    if model.reactor.is_none() {
        if let Some(source) = node.sources.first() {
            let message =
                "a graph without `trigger = reactor(..)` has no sources: its entry takes the context";
            diag.error(source.span(), message);
        }
    } else if node.sources.is_empty() && model.upstreams(place).is_empty() {
        let name = &node.name;
        diag.error(name.span(), format!("`{name}` has nothing to take: name its sources, `{name}(source)`"));
    }
}

fn signature(model: &GraphModel, place: usize, diag: &mut Diagnostics) {
    let node = &model.nodes[place];
    let Some(function) = &node.function else { return };
    let sig = &function.sig;
    if !sig.generics.params.is_empty() {
        diag.error(sig.generics.span(), "a node is called by the graph and cannot be generic");
    }
    let names_enum = matches!(&sig.output, ReturnType::Type(_, ty) if matches!(**ty, Type::Path(_)));
    if node.routes && !names_enum {
        diag.error(sig.ident.span(), format!("`{}` routes by variant: it returns an enum", node.name));
    }
    let expected = expected(model, place);
    let shape = || {
        let parameters: Vec<String> = expected.iter().map(|(name, ty)| format!("{name}: {ty}")).collect();
        format!("`{}` takes ({})", node.name, parameters.join(", "))
    };
    if sig.inputs.len() != expected.len() {
        diag.error(sig.paren_token.span.join(), format!("{}: {}", shape(), why(model, place)));
        return;
    }
    let (sources, context) = (node.sources.len(), takes_context(model, place));
    for (i, input) in sig.inputs.iter().enumerate() {
        let FnArg::Typed(typed) = input else {
            diag.error(input.span(), "a node is a free function");
            continue;
        };
        let fits = if i < sources { is_option_of_reference(&typed.ty) } else { is_reference(&typed.ty) };
        if !fits {
            let what = match (i < sources, context) {
                (true, _) => "a source arrives as `Option<&T>`: it may have no value yet",
                (false, true) => "the entry takes the context as `&Context<Value>`",
                (false, false) => "an upstream's value arrives as `&T`",
            };
            diag.error(typed.ty.span(), format!("{}: {what}", shape()));
        }
    }
}

fn takes_context(model: &GraphModel, place: usize) -> bool {
    model.reactor.is_none() && model.upstreams(place).is_empty()
}

/// Names and types of the parameters, as far as the topology tells them.
fn expected(model: &GraphModel, place: usize) -> Vec<(String, String)> {
    let node = &model.nodes[place];
    if takes_context(model, place) {
        return vec![("context".to_owned(), "&Context<Value>".to_owned())];
    }
    let sources = node.sources.iter().map(|source| (source.to_string(), "Option<&_>".to_owned()));
    let upstreams = model.upstreams(place).into_iter().map(|upstream| {
        let upstream = &model.nodes[upstream];
        let ty = if upstream.routes { "_".to_owned() } else { output_of(upstream) };
        (upstream.name.to_string(), format!("&{ty}"))
    });
    sources.chain(upstreams).collect()
}

fn output_of(node: &Node) -> String {
    match node.function.as_ref().map(|function| &function.sig.output) {
        Some(ReturnType::Type(_, ty)) => ty.to_token_stream().to_string().replace(' ', ""),
        Some(ReturnType::Default) => "()".to_owned(),
        None => "_".to_owned(),
    }
}

fn why(model: &GraphModel, place: usize) -> String {
    if takes_context(model, place) {
        return "it is the entry of a graph without a reactor".to_owned();
    }
    let (sources, upstreams) = (model.nodes[place].sources.len(), model.upstreams(place).len());
    format!("one parameter for each of its {sources} sources and {upstreams} upstreams")
}

fn is_reference(ty: &Type) -> bool {
    matches!(ty, Type::Reference(reference) if reference.mutability.is_none())
}

fn is_option_of_reference(ty: &Type) -> bool {
    let Type::Path(path) = ty else { return false };
    let Some(last) = path.path.segments.last().filter(|segment| segment.ident == "Option") else {
        return false;
    };
    let PathArguments::AngleBracketed(arguments) = &last.arguments else { return false };
    matches!(arguments.args.first(), Some(GenericArgument::Type(inner)) if is_reference(inner))
}
