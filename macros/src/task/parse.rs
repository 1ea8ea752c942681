//! Tokens to raw arguments.

use crate::args::{Args, Expected};
use crate::diag::Diagnostics;
use proc_macro2::{Ident, TokenStream};
use syn::parse::{Parse, ParseStream};
use syn::{ItemFn, LitStr, parenthesized};

/// Every argument of `#[task]`.
pub(crate) const ARGUMENTS: [&str; 13] = [
    "id",
    "dependencies",
    "retry_attempts",
    "retry_backoff",
    "retry_delay_ms",
    "retry_max_delay_ms",
    "retry_condition",
    "retry_jitter",
    "trigger_rules",
    "on_success",
    "on_failure",
    "invokes",
    "post_invocation",
];

/// `computation_graph("name")`.
pub(super) struct Invokes(pub(super) LitStr);

impl Parse for Invokes {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let word: Ident = input.parse()?;
        if word != "computation_graph" {
            return Err(syn::Error::new(word.span(), "not a graph"));
        }
        let inner;
        parenthesized!(inner in input);
        inner.parse().map(Self)
    }
}

impl Expected for Invokes {
    const WHAT: &'static str = "`computation_graph(\"name\")`";
}

pub(super) fn function(item: TokenStream) -> syn::Result<ItemFn> {
    syn::parse2(item).map_err(|e| syn::Error::new(e.span(), "`#[task]` goes on a function"))
}

pub(super) fn arguments(args: TokenStream, diag: &mut Diagnostics) -> Args {
    Args::parse("task", args, &ARGUMENTS, diag)
}
