//! `#[computation_graph]`.

mod check;
mod expand;
mod model;
mod parse;

use crate::diag::Diagnostics;
use proc_macro2::TokenStream;
use quote::quote;

/// Expands the attribute; on errors the module stands as written beside them.
pub(crate) fn macro_impl(args: TokenStream, item: TokenStream) -> TokenStream {
    let mut diag = Diagnostics::default();
    let Some(mut module) = diag.keep(parse::module(item.clone())) else {
        let errors = diag.into_tokens();
        return quote!(#errors #item);
    };
    let args = parse::arguments(args, &mut diag);
    let model = model::GraphModel::new(&args, &module, &mut diag);
    check::check(&model, &mut diag);
    parse::strip_node_attributes(&mut module);
    let private = diag.keep(crate::paths::private());
    match private {
        Some(private) if !diag.any() => expand::expand(&model, module, &private),
        _ => {
            let errors = diag.into_tokens();
            quote!(#errors #module)
        }
    }
}
