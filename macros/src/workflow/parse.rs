//! Tokens to raw arguments.

use crate::args::Args;
use crate::diag::Diagnostics;
use proc_macro2::{Ident, TokenStream};
use syn::ext::IdentExt;
use syn::parse::{Parse, ParseStream};
use syn::{Expr, ItemMod, Token, Type};

const ARGUMENTS: [&str; 7] = ["name", "description", "author", "tenant", "triggers", "params", "secrets"];

pub(super) fn module(item: TokenStream) -> syn::Result<ItemMod> {
    let module: ItemMod = syn::parse2(item)
        .map_err(|e| syn::Error::new(e.span(), "`#[workflow]` goes on a module that holds tasks"))?;
    if module.content.is_none() {
        let message = "`#[workflow]` needs the module's body here: write `mod name { .. }`, not `mod name;`";
        return Err(syn::Error::new(module.ident.span(), message));
    }
    Ok(module)
}

pub(super) fn arguments(args: TokenStream, diag: &mut Diagnostics) -> Args {
    Args::parse("workflow", args, &ARGUMENTS, diag)
}

/// `name: Type` or `name: Type = default`.
pub(super) struct Param {
    pub(super) name: Ident,
    pub(super) ty: Type,
    pub(super) default: Option<Expr>,
}

impl Param {
    /// The key of the context: `type` of `r#type`.
    pub(super) fn key(&self) -> String {
        self.name.unraw().to_string()
    }
}

impl Parse for Param {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        // A keyword is a key like any other.
        let name: Ident = input.call(Ident::parse_any)?;
        let colon = input.parse::<Token![:]>();
        colon.map_err(|_| {
            syn::Error::new(name.span(), format!("write `{name}: Type` or `{name}: Type = default`"))
        })?;
        let ty = input.parse()?;
        let default = if input.peek(Token![=]) {
            input.parse::<Token![=]>()?;
            Some(input.parse()?)
        } else {
            None
        };
        Ok(Self { name, ty, default })
    }
}
