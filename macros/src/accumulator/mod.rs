//! `#[passthrough_accumulator]`, `#[polling_accumulator]`, `#[batch_accumulator]`, `#[stream_accumulator]` and
//! `#[state_accumulator]`.

mod check;
mod expand;
mod model;
mod parse;

pub(crate) use model::Kind;

use crate::diag::Diagnostics;
use proc_macro2::TokenStream;
use quote::quote;

/// Expands one of the five attributes; on errors the function stands as written beside them.
pub(crate) fn macro_impl(kind: Kind, args: TokenStream, item: TokenStream) -> TokenStream {
    let mut diag = Diagnostics::default();
    let Some(function) = diag.keep(parse::function(kind, item.clone())) else {
        let errors = diag.into_tokens();
        // A function without a body is not Rust: it would bury our own error.
        let item = if kind == Kind::State { TokenStream::new() } else { item };
        return quote!(#errors #item);
    };
    let args = parse::arguments(kind, args, &mut diag);
    let model = model::AccumulatorModel::new(kind, &args, &mut diag);
    check::check(&model, &function, &mut diag);
    let private = diag.keep(crate::paths::private());
    match private {
        Some(private) if !diag.any() => expand::expand(&model, &function, &private),
        _ => {
            let errors = diag.into_tokens();
            let item = function.as_written();
            quote!(#errors #item)
        }
    }
}
