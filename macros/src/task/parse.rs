//! Tokens to raw arguments.

use crate::args::Args;
use crate::diag::Diagnostics;
use proc_macro2::TokenStream;
use syn::ItemFn;

/// Every argument of `#[task]`.
pub(crate) const ARGUMENTS: [&str; 11] = [
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
];

pub(super) fn function(item: TokenStream) -> syn::Result<ItemFn> {
    syn::parse2(item).map_err(|e| syn::Error::new(e.span(), "`#[task]` goes on a function"))
}

pub(super) fn arguments(args: TokenStream, diag: &mut Diagnostics) -> Args {
    Args::parse("task", args, &ARGUMENTS, diag)
}
