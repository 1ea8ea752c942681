//! Code: the module as written with a function that runs it at the end, and beside it the direct call, the
//! entry and the static record.

use super::model::{GraphModel, Node};
use proc_macro2::{Ident, Span, TokenStream};
use quote::{format_ident, quote, quote_spanned};
use syn::ext::IdentExt;
use syn::spanned::Spanned;
use syn::{FnArg, GenericArgument, Item, ItemMod, LitStr, PathArguments, ReturnType, Type};

pub(super) fn expand(model: &GraphModel, mut module: ItemMod, private: &TokenStream) -> TokenStream {
    let run = run(model, private);
    if let Some((_, items)) = &mut module.content {
        items.push(Item::Verbatim(run));
    }
    let compiled = compiled(model, &module, private);
    let entry = entry(model, private);
    let record = record(model, private);
    let direct = format_ident!("{}_compiled", model.name.unraw());
    quote! {
        #module
        #compiled
        #[doc(hidden)]
        const _: () = {
            // Used, so that nobody has to allow that it is not.
            let _ = #direct;
            #entry
            #record
        };
    }
}

/// The input of the graph.
fn input(model: &GraphModel, private: &TokenStream) -> TokenStream {
    if model.reactor.is_some() { quote!(#private::InputCache) } else { quote!(#private::Context) }
}

fn run(model: &GraphModel, private: &TokenStream) -> TokenStream {
    let input = input(model, private);
    // `check` found no cycle.
    let order = model.order().unwrap_or_default();
    let steps = order.iter().map(|node| step(model, *node, private));
    let terminals = (0..model.nodes.len()).filter(|node| model.is_terminal(*node)).map(|node| {
        let (value, name) = (value(node), model.nodes[node].name.unraw().to_string());
        quote! {
            if let ::core::option::Option::Some(value) = #value {
                __terminals.take(#name, value)?;
            }
        }
    });
    quote! {
        #[doc(hidden)]
        pub async fn __longshore_run<__Terminals: #private::Terminals>(
            __input: &#input,
            __terminals: &mut __Terminals,
        ) -> ::core::result::Result<(), #private::GraphError> {
            #(#steps)*
            #(#terminals)*
            ::core::result::Result::Ok(())
        }
    }
}

fn value(node: usize) -> Ident {
    format_ident!("__node_{node}")
}

fn payload(edge: usize) -> Ident {
    format_ident!("__payload_{edge}")
}

/// Computes one node from what is above it; its value is none when a route passed it by.
fn step(model: &GraphModel, place: usize, private: &TokenStream) -> TokenStream {
    let node = &model.nodes[place];
    let value = value(place);
    let types = parameter_types(node);
    let upstreams = model.upstreams(place);
    let mut sources = TokenStream::new();
    let mut arguments = Vec::new();
    for (i, source) in node.sources.iter().enumerate() {
        let (variable, name) = (format_ident!("__source_{place}_{i}"), source.unraw().to_string());
        let ty = types.get(i).and_then(option_item);
        let read = quote_spanned!(ty.span()=> __input.get::<#ty>(#name).transpose()?);
        sources.extend(quote!(let #variable = #read;));
        arguments.push(quote!(#variable.as_ref()));
    }
    if upstreams.is_empty() {
        if model.reactor.is_none() {
            arguments.push(typed(types.first(), quote!(__input)));
        }
        let call = call(node, &arguments, private);
        let routes = routes(model, place);
        return quote!(#sources let #value = ::core::option::Option::Some(#call); #routes);
    }
    let mut arrived = Vec::new();
    let mut patterns = Vec::new();
    for (i, upstream) in upstreams.iter().enumerate() {
        let variable = format_ident!("__from_{i}");
        arrived.push(delivered(model, *upstream, place));
        patterns.push(quote!(::core::option::Option::Some(#variable)));
        arguments.push(typed(types.get(node.sources.len() + i), quote!(#variable)));
    }
    let call = call(node, &arguments, private);
    let routes = routes(model, place);
    quote! {
        #sources
        let #value = match (#(#arrived,)*) {
            (#(#patterns,)*) => ::core::option::Option::Some(#call),
            _ => ::core::option::Option::None,
        };
        #routes
    }
}

/// The value that `from` delivers to `to`, as an option of a reference.
fn delivered(model: &GraphModel, from: usize, to: usize) -> TokenStream {
    if !model.nodes[from].routes {
        let value = value(from);
        return quote!(#value.as_ref());
    }
    let edges = model.edges.iter().enumerate().filter(|(_, edge)| edge.from == from && edge.to == to);
    let mut payloads = edges.map(|(at, _)| payload(at));
    let first = payloads.next().map(|payload| quote!(#payload.as_ref()));
    quote!(#first #(.or(#payloads.as_ref()))*)
}

/// A value at the type the author wrote, so that another type is an error there.
fn typed(ty: Option<&Type>, value: TokenStream) -> TokenStream {
    match ty {
        Some(ty) => {
            let value = at(ty.span(), value);
            quote_spanned!(ty.span()=> { let value: #ty = #value; value })
        }
        None => value,
    }
}

/// Tokens that mean what they meant, at another place in the source.
fn at(span: Span, tokens: TokenStream) -> TokenStream {
    let moved = tokens.into_iter().map(|mut token| {
        token.set_span(span.resolved_at(token.span()));
        token
    });
    moved.collect()
}

fn call(node: &Node, arguments: &[TokenStream], private: &TokenStream) -> TokenStream {
    let name = &node.name;
    let is_async = node.function.as_ref().is_some_and(|function| function.sig.asyncness.is_some());
    match (node.blocking, is_async) {
        (false, false) => quote!(#name(#(#arguments),*)),
        (false, true) => quote!(#name(#(#arguments),*).await),
        (true, false) => quote!(#private::blocking(|| #name(#(#arguments),*))),
        (true, true) => quote!(#private::blocking(|| #private::wait(#name(#(#arguments),*)))),
    }
}

/// Hands the payload of the variant that a node chose to that branch.
fn routes(model: &GraphModel, place: usize) -> Option<TokenStream> {
    let node = &model.nodes[place];
    let ty = match node.function.as_ref().map(|function| &function.sig.output) {
        Some(ReturnType::Type(_, ty)) if node.routes => enum_path(ty)?,
        _ => return None,
    };
    let value = value(place);
    let mut declared = TokenStream::new();
    let mut arms = TokenStream::new();
    for (at, edge) in model.edges.iter().enumerate().filter(|(_, edge)| edge.from == place) {
        let (payload, variant) = (payload(at), &edge.variant);
        let pattern = quote_spanned!(variant.span()=> #ty::#variant(payload));
        declared.extend(quote!(let mut #payload = ::core::option::Option::None;));
        arms.extend(quote! {
            ::core::option::Option::Some(#pattern) => #payload = ::core::option::Option::Some(payload),
        });
    }
    Some(quote! {
        #declared
        match #value {
            #arms
            _ => {}
        }
    })
}

/// The path of an enum as a pattern takes it: its generic arguments are inferred.
fn enum_path(ty: &Type) -> Option<syn::Path> {
    let Type::Path(path) = ty else { return None };
    let mut path = path.path.clone();
    path.segments.last_mut()?.arguments = PathArguments::None;
    Some(path)
}

fn parameter_types(node: &Node) -> Vec<Type> {
    let inputs = node.function.iter().flat_map(|function| &function.sig.inputs);
    let types = inputs.filter_map(|input| match input {
        FnArg::Typed(typed) => Some((*typed.ty).clone()),
        FnArg::Receiver(_) => None,
    });
    types.collect()
}

/// `T` of `Option<&T>`.
fn option_item(ty: &Type) -> Option<Type> {
    let Type::Path(path) = ty else { return None };
    let PathArguments::AngleBracketed(arguments) = &path.path.segments.last()?.arguments else { return None };
    match arguments.args.first()? {
        GenericArgument::Type(Type::Reference(reference)) => Some((*reference.elem).clone()),
        _ => None,
    }
}

/// `{module}_compiled`, for direct calls.
fn compiled(model: &GraphModel, module: &ItemMod, private: &TokenStream) -> TokenStream {
    let (name, vis, input) = (&model.name, &module.vis, input(model, private));
    let compiled = format_ident!("{}_compiled", name.unraw());
    let doc = format!("Calls the graph `{name}` directly.");
    quote! {
        #[doc = #doc]
        #vis async fn #compiled(input: &#input) -> #private::GraphResult {
            let mut terminals = #private::AnyOutputs::default();
            match #name::__longshore_run(input, &mut terminals).await {
                ::core::result::Result::Ok(()) => terminals.finish(),
                ::core::result::Result::Err(error) => #private::GraphResult::Error(error),
            }
        }
    }
}

/// The fields that entry and record share.
struct Texts {
    name: String,
    reactor: String,
    nodes: Vec<String>,
    edges: Vec<(String, String, String)>,
    terminals: Vec<String>,
    /// (node, source), for every source a node takes.
    inputs: Vec<(String, String)>,
}

impl Texts {
    fn of(model: &GraphModel) -> Self {
        let name = |node: usize| model.nodes[node].name.unraw().to_string();
        let edge = |edge: &super::model::Edge| {
            let variant =
                edge.variant.as_ref().map(|variant| variant.unraw().to_string()).unwrap_or_default();
            (name(edge.from), name(edge.to), variant)
        };
        let inputs = |node: &Node| {
            let of = node.name.unraw().to_string();
            node.sources
                .iter()
                .map(move |source| (of.clone(), source.unraw().to_string()))
                .collect::<Vec<_>>()
        };
        Self {
            name: model.name.unraw().to_string(),
            reactor: model.reactor.as_ref().map(LitStr::value).unwrap_or_default(),
            nodes: (0..model.nodes.len()).map(name).collect(),
            edges: model.edges.iter().map(edge).collect(),
            terminals: (0..model.nodes.len()).filter(|n| model.is_terminal(*n)).map(name).collect(),
            inputs: model.nodes.iter().flat_map(inputs).collect(),
        }
    }
}

fn entry(model: &GraphModel, private: &TokenStream) -> TokenStream {
    let Texts { name, reactor, nodes, edges, terminals, inputs } = Texts::of(model);
    let edges = edges.iter().map(|(from, to, variant)| quote!((#from, #to, #variant)));
    let inputs = inputs.iter().map(|(node, source)| quote!((#node, #source)));
    let module = &model.name;
    let call = if model.reactor.is_some() { quote!(Cache) } else { quote!(Context) };
    quote! {
        #private::inventory::submit! {
            #private::GraphEntry {
                name: #name,
                reactor: #reactor,
                nodes: &[#(#nodes),*],
                edges: &[#(#edges),*],
                terminals: &[#(#terminals),*],
                inputs: &[#(#inputs),*],
                call: #private::GraphCall::#call(|input| ::std::boxed::Box::pin(async move {
                    let mut terminals = #private::ByteOutputs::default();
                    #module::__longshore_run(input, &mut terminals).await?;
                    ::core::result::Result::Ok(terminals.0)
                })),
            }
        }
    }
}

fn record(model: &GraphModel, private: &TokenStream) -> TokenStream {
    let Texts { name, reactor, nodes, edges, terminals, inputs } = Texts::of(model);
    let [nodes, edges, terminals, inputs] = [
        serde_json::json!(nodes),
        serde_json::json!(edges),
        serde_json::json!(terminals),
        serde_json::json!(inputs),
    ]
    .map(|json| json.to_string());
    quote! {
        #private::record! {
            Graph,
            "module" => ::core::module_path!(),
            "name" => #name,
            "reactor" => #reactor,
            "nodes" => #nodes,
            "edges" => #edges,
            "terminals" => #terminals,
            "inputs" => #inputs,
        }
    }
}
