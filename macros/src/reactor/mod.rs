//! `#[reactor]`.

mod check;
mod expand;
mod model;
mod parse;

use crate::diag::Diagnostics;
use proc_macro2::TokenStream;
use quote::quote;

/// Expands the attribute; on errors the struct stands as written beside them.
pub(crate) fn macro_impl(args: TokenStream, item: TokenStream) -> TokenStream {
    let mut diag = Diagnostics::default();
    let Some(unit) = diag.keep(parse::unit_struct(item.clone())) else {
        let errors = diag.into_tokens();
        return quote!(#errors #item);
    };
    let args = parse::arguments(args, &mut diag);
    let model = model::ReactorModel::new(&args, &unit, &mut diag);
    check::check(&model, &mut diag);
    let private = diag.keep(crate::paths::private());
    match private {
        Some(private) if !diag.any() => expand::expand(&model, &unit, &private),
        _ => {
            let errors = diag.into_tokens();
            quote!(#errors #unit)
        }
    }
}
