//! Where the author put our crates.

use proc_macro_crate::{FoundCrate, crate_name};
use proc_macro2::{Span, TokenStream};
use quote::quote;
use syn::Ident;

/// Crates that re-export the `private` module, in the order they are looked for.
const HOMES: [&str; 3] = ["longshore-workflow", "longshore", "longshore-workflow-plugin"];

/// The path of `longshore_workflow::private` in the author's crate, whatever the dependency is called there.
///
/// # Errors
/// At the macro's call site, when the crate depends on none of ours.
pub(crate) fn private() -> syn::Result<TokenStream> {
    for home in HOMES {
        let name = match crate_name(home) {
            Ok(FoundCrate::Name(name)) => name,
            Ok(FoundCrate::Itself) => home.replace('-', "_"),
            Err(_) => continue,
        };
        let name = Ident::new(&name, Span::call_site());
        return Ok(quote!(::#name::private));
    }
    Err(syn::Error::new(
        Span::call_site(),
        "this crate depends on neither `longshore` nor `longshore-workflow`; run `cargo add longshore`",
    ))
}
