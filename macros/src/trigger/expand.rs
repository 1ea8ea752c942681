//! Code: the function as written, and beside it its entry and its static record.

use super::model::{Names, When};
use proc_macro2::TokenStream;
use quote::quote;
use syn::{ItemFn, LitStr};

pub(super) fn expand(names: &Names, when: &When, function: &ItemFn, private: &TokenStream) -> TokenStream {
    let Names { name, on, allow_concurrent } = names;
    let on = on.as_ref().map(LitStr::value).unwrap_or_default();
    let ident = &function.sig.ident;
    let (kind, cron, timezone, interval) = match when {
        When::Cron { expression, timezone } => (
            quote!(#private::TriggerKind::Cron { expression: #expression, timezone: #timezone }),
            expression.clone(),
            timezone.clone(),
            String::new(),
        ),
        When::Poll { interval_ms } => (
            quote!(#private::TriggerKind::Poll {
                interval_ms: #interval_ms,
                poll: || ::std::boxed::Box::pin(#ident()),
            }),
            String::new(),
            String::new(),
            interval_ms.to_string(),
        ),
    };
    let allow_text = allow_concurrent.to_string();
    // The body of a cron function is never called.
    let unused = matches!(when, When::Cron { .. }).then(|| quote!(#[allow(dead_code)]));
    quote! {
        #unused
        #function
        #[doc(hidden)]
        #[allow(clippy::all, clippy::pedantic, missing_docs, unused_qualifications)]
        const _: () = {
            #private::inventory::submit! {
                #private::TriggerEntry {
                    module: ::core::module_path!(),
                    name: #name,
                    workflow: #on,
                    allow_concurrent: #allow_concurrent,
                    kind: #kind,
                }
            }
            #private::record! {
                Trigger,
                "module" => ::core::module_path!(),
                "name" => #name,
                "workflow" => #on,
                "allow_concurrent" => #allow_text,
                "cron" => #cron,
                "timezone" => #timezone,
                "poll_interval_ms" => #interval,
            }
        };
    }
}
