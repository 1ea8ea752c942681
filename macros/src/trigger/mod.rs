//! `#[trigger]`.

mod check;
mod expand;
mod model;
mod parse;

use crate::diag::Diagnostics;
use proc_macro2::TokenStream;
use quote::quote;

/// Expands the attribute; on errors the function stands as written beside them.
pub(crate) fn macro_impl(args: TokenStream, item: TokenStream) -> TokenStream {
    let mut diag = Diagnostics::default();
    let Some(function) = diag.keep(parse::function(item.clone())) else {
        let errors = diag.into_tokens();
        return quote!(#errors #item);
    };
    let args = parse::arguments(args, &mut diag);
    let model = model::TriggerModel::new(&args, &function, &mut diag);
    check::check(&model, &function, &mut diag);
    let private = diag.keep(crate::paths::private());
    match (private, model.when) {
        (Some(private), Some(when)) if !diag.any() => {
            expand::expand(&model.names, &when, &function, &private)
        }
        _ => {
            let errors = diag.into_tokens();
            quote!(#errors #function)
        }
    }
}
