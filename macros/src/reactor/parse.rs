//! Tokens to raw arguments.

use crate::args::Args;
use crate::diag::Diagnostics;
use proc_macro2::{Ident, TokenStream};
use syn::parse::{Parse, ParseStream};
use syn::punctuated::Punctuated;
use syn::{Fields, ItemStruct, Token, bracketed, parenthesized};

const ARGUMENTS: [&str; 4] = ["name", "accumulators", "criteria", "input_strategy"];

pub(super) fn unit_struct(item: TokenStream) -> syn::Result<ItemStruct> {
    const WHERE: &str = "`#[reactor]` goes on a unit struct: `pub struct Name;`";
    let unit: ItemStruct = syn::parse2(item).map_err(|e| syn::Error::new(e.span(), WHERE))?;
    if !matches!(unit.fields, Fields::Unit) {
        return Err(syn::Error::new(unit.ident.span(), WHERE));
    }
    Ok(unit)
}

pub(super) fn arguments(args: TokenStream, diag: &mut Diagnostics) -> Args {
    Args::parse("reactor", args, &ARGUMENTS, diag)
}

/// `[a, b]`.
pub(super) struct Sources(pub(super) Vec<Ident>);

impl Parse for Sources {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let inner;
        bracketed!(inner in input);
        Ok(Self(Punctuated::<Ident, Token![,]>::parse_terminated(&inner)?.into_iter().collect()))
    }
}

impl crate::args::Expected for Sources {
    const WHAT: &'static str = "an array of source names, as in `[orders, prices]`";
}

/// `when_any(a, b)` or `when_all(a, b)`; without sources all of them are meant.
pub(super) struct Criteria {
    pub(super) mode: Ident,
    pub(super) sources: Vec<Ident>,
    /// True without a list.
    pub(super) all: bool,
}

impl Parse for Criteria {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let mode = input.parse()?;
        if input.is_empty() {
            return Ok(Self { mode, sources: Vec::new(), all: true });
        }
        let inner;
        parenthesized!(inner in input);
        let sources = Punctuated::<Ident, Token![,]>::parse_terminated(&inner)?.into_iter().collect();
        Ok(Self { mode, sources, all: false })
    }
}

impl crate::args::Expected for Criteria {
    const WHAT: &'static str = "`when_any(source, ..)` or `when_all(source, ..)`";
}
