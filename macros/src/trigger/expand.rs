//! Code: the function as written, and beside it its entry and its static record.

use super::model::{Names, When};
use proc_macro2::TokenStream;
use quote::quote;
use syn::{ItemFn, LitStr};

pub(super) fn expand(names: &Names, when: &When, function: &ItemFn, private: &TokenStream) -> TokenStream {
    let Names { name, on, allow_concurrent, .. } = names;
    let on = on.as_ref().map(LitStr::value).unwrap_or_default();
    let ident = &function.sig.ident;
    let kind = match when {
        When::Cron { expression, timezone } => {
            quote!(#private::TriggerKind::Cron { expression: #expression, timezone: #timezone })
        }
        When::Poll { interval_ms } => quote! {
            #private::TriggerKind::Poll {
                interval_ms: #interval_ms,
                poll: || ::std::boxed::Box::pin(#ident()),
            }
        },
        When::Reactor { name, rule } => {
            quote!(#private::TriggerKind::Reactor { reactor: #name, when: #rule })
        }
    };
    let texts = Texts::of(when);
    let Texts { cron, timezone, interval, reactor, rule } = &texts;
    let allow_text = allow_concurrent.to_string();
    // Only the body of a poll is ever called; the others are used here, so that nobody has to allow that they are not.
    let used = (!matches!(when, When::Poll { .. })).then(|| quote!(let _ = #ident;));
    quote! {
        #function
        #[doc(hidden)]
        const _: () = {
            #used
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
                "reactor" => #reactor,
                "when" => #rule,
            }
        };
    }
}

/// The static record's word for the moment.
#[derive(Default)]
struct Texts {
    cron: String,
    timezone: String,
    interval: String,
    reactor: String,
    rule: String,
}

impl Texts {
    fn of(when: &When) -> Self {
        match when {
            When::Cron { expression, timezone } => {
                Self { cron: expression.clone(), timezone: timezone.clone(), ..Self::default() }
            }
            When::Poll { interval_ms } => Self { interval: interval_ms.to_string(), ..Self::default() },
            When::Reactor { name, rule } => {
                Self { reactor: name.clone(), rule: rule.clone(), ..Self::default() }
            }
        }
    }
}
