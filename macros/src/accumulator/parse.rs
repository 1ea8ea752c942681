//! Tokens to raw arguments.

use super::model::Kind;
use crate::args::Args;
use crate::diag::Diagnostics;
use proc_macro2::TokenStream;
use quote::quote;
use syn::parse::{Parse, ParseStream};
use syn::{Attribute, Block, Signature, Token, Visibility};

/// A function, whose body a state accumulator leaves out.
pub(super) struct Function {
    pub(super) attrs: Vec<Attribute>,
    pub(super) vis: Visibility,
    pub(super) sig: Signature,
    pub(super) block: Option<Block>,
}

impl Function {
    /// The item that stays in the author's module: nothing of a function without a body.
    pub(super) fn as_written(&self) -> Option<TokenStream> {
        let Self { attrs, vis, sig, block } = self;
        block.as_ref().map(|block| quote!(#(#attrs)* #vis #sig #block))
    }
}

impl Parse for Function {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let attrs = input.call(Attribute::parse_outer)?;
        let (vis, sig) = (input.parse()?, input.parse()?);
        let block = if input.peek(Token![;]) {
            input.parse::<Token![;]>()?;
            None
        } else {
            Some(input.parse()?)
        };
        Ok(Self { attrs, vis, sig, block })
    }
}

pub(super) fn function(kind: Kind, item: TokenStream) -> syn::Result<Function> {
    let wrong = |span| syn::Error::new(span, format!("`#[{}]` goes on {}", kind.macro_name(), kind.shape()));
    syn::parse2(item).map_err(|e| wrong(e.span()))
}

pub(super) fn arguments(kind: Kind, args: TokenStream, diag: &mut Diagnostics) -> Args {
    Args::parse(kind.macro_name(), args, kind.arguments(), diag)
}
