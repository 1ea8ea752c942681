//! Tokens to raw arguments and the statements of a topology.

use crate::args::{Args, Expected};
use crate::diag::Diagnostics;
use proc_macro2::{Ident, TokenStream};
use syn::parse::{Parse, ParseStream};
use syn::punctuated::Punctuated;
use syn::{Attribute, Item, ItemMod, LitStr, Token, braced, parenthesized, token};

const ARGUMENTS: [&str; 2] = ["trigger", "graph"];

pub(super) fn module(item: TokenStream) -> syn::Result<ItemMod> {
    let module: ItemMod = syn::parse2(item)
        .map_err(|e| syn::Error::new(e.span(), "`#[computation_graph]` goes on a module of nodes"))?;
    if module.content.is_none() {
        let message =
            "`#[computation_graph]` needs the module's body here: write `mod name { .. }`, not `mod name;`";
        return Err(syn::Error::new(module.ident.span(), message));
    }
    Ok(module)
}

pub(super) fn arguments(args: TokenStream, diag: &mut Diagnostics) -> Args {
    Args::parse("computation_graph", args, &ARGUMENTS, diag)
}

/// True when an attribute is our own `#[node(..)]`, which is gone after expansion.
pub(super) fn is_node(attr: &Attribute) -> bool {
    attr.path().is_ident("node")
}

pub(super) fn strip_node_attributes(module: &mut ItemMod) {
    for item in module.content.iter_mut().flat_map(|(_, items)| items) {
        if let Item::Fn(function) = item {
            function.attrs.retain(|attr| !is_node(attr));
        }
    }
}

/// `reactor("name")`.
pub(super) struct Trigger(pub(super) LitStr);

impl Parse for Trigger {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let word: Ident = input.parse()?;
        if word != "reactor" {
            return Err(syn::Error::new(word.span(), "not a reactor"));
        }
        let inner;
        parenthesized!(inner in input);
        inner.parse().map(Self)
    }
}

impl Expected for Trigger {
    const WHAT: &'static str = "`reactor(\"name\")`";
}

/// One statement of a topology.
pub(super) struct Statement {
    pub(super) node: Ident,
    /// The sources named in parentheses.
    pub(super) sources: Vec<Ident>,
    pub(super) targets: Targets,
}

/// The nodes after a node.
pub(super) enum Targets {
    /// `-> a -> b`, or nothing.
    Chain(Vec<Ident>),
    /// `=> { Variant -> a, .. }`.
    Routes(Vec<(Ident, Ident)>),
}

/// `{ statement, .. }`.
pub(super) struct Topology(pub(super) Vec<Statement>);

impl Parse for Topology {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let inner;
        braced!(inner in input);
        Ok(Self(Punctuated::<Statement, Token![,]>::parse_terminated(&inner)?.into_iter().collect()))
    }
}

impl Parse for Statement {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let node: Ident = input.parse()?;
        let mut sources = Vec::new();
        if input.peek(token::Paren) {
            let inner;
            parenthesized!(inner in input);
            sources = Punctuated::<Ident, Token![,]>::parse_terminated(&inner)?.into_iter().collect();
        }
        if input.peek(Token![=>]) {
            input.parse::<Token![=>]>()?;
            let inner;
            braced!(inner in input);
            let routes = Punctuated::<Route, Token![,]>::parse_terminated(&inner)?;
            let routes = routes.into_iter().map(|route| (route.variant, route.target)).collect();
            return Ok(Self { node, sources, targets: Targets::Routes(routes) });
        }
        let mut chain = Vec::new();
        while input.peek(Token![->]) {
            input.parse::<Token![->]>()?;
            chain.push(input.parse()?);
        }
        Ok(Self { node, sources, targets: Targets::Chain(chain) })
    }
}

/// `Variant -> node`.
struct Route {
    variant: Ident,
    target: Ident,
}

impl Parse for Route {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let variant = input.parse()?;
        input.parse::<Token![->]>()?;
        Ok(Self { variant, target: input.parse()? })
    }
}
