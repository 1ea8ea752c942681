//! Tokens to raw arguments.

use crate::args::Args;
use crate::diag::Diagnostics;
use proc_macro2::TokenStream;
use syn::ItemFn;

const ARGUMENTS: [&str; 8] =
    ["on", "poll_interval", "cron", "timezone", "allow_concurrent", "name", "reactor", "when"];

pub(super) fn function(item: TokenStream) -> syn::Result<ItemFn> {
    syn::parse2(item).map_err(|e| syn::Error::new(e.span(), "`#[trigger]` goes on an async function"))
}

pub(super) fn arguments(args: TokenStream, diag: &mut Diagnostics) -> Args {
    Args::parse("trigger", args, &ARGUMENTS, diag)
}
