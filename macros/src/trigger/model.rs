//! The model: the author's meaning, free of syntax.

use crate::args::{Args, interval_ms};
use crate::diag::Diagnostics;
use crate::rule::RuleModel;
use proc_macro2::Span;
use syn::ext::IdentExt;
use syn::{ItemFn, LitStr};

/// A trigger as written.
pub(super) struct TriggerModel {
    pub(super) names: Names,
    pub(super) timezone: Option<LitStr>,
    pub(super) cron: Option<LitStr>,
    pub(super) poll_interval: Option<LitStr>,
    pub(super) reactor: Option<LitStr>,
    /// Over the firing's outputs.
    pub(super) rule: Option<RuleModel>,
    /// Where `when` stands, or the function.
    pub(super) when_at: Span,
    /// When it fires, if exactly one way is given and it reads.
    pub(super) when: Option<When>,
    pub(super) at: Span,
}

/// Its name and the workflow it starts.
pub(super) struct Names {
    pub(super) name: String,
    pub(super) name_at: Span,
    pub(super) on: Option<LitStr>,
    pub(super) allow_concurrent: bool,
}

/// When it fires.
pub(super) enum When {
    Cron { expression: String, timezone: String },
    Poll { interval_ms: u64 },
    Reactor { name: String, rule: String },
}

impl TriggerModel {
    pub(super) fn new(args: &Args, function: &ItemFn, diag: &mut Diagnostics) -> Self {
        let timezone = args.string("timezone", diag);
        let cron = args.string("cron", diag);
        let poll_interval = args.string("poll_interval", diag);
        let reactor = args.string("reactor", diag);
        let rule: Option<RuleModel> =
            args.get("when").and_then(|arg| diag.keep(syn::parse2(arg.value.clone())));
        let when = match (&cron, &poll_interval, &reactor) {
            (Some(cron), None, None) => Some(When::Cron {
                expression: cron.value(),
                timezone: timezone.as_ref().map_or_else(|| "UTC".to_owned(), LitStr::value),
            }),
            (None, None, Some(name)) => Some(When::Reactor {
                name: name.value(),
                rule: rule.as_ref().map(|rule| rule.json.to_string()).unwrap_or_default(),
            }),
            (None, Some(text), None) => match interval_ms(&text.value()) {
                Ok(interval_ms) => Some(When::Poll { interval_ms }),
                Err(message) => {
                    diag.error(text.span(), message);
                    None
                }
            },
            _ => None,
        };
        let name = args.string("name", diag);
        Self {
            names: Names {
                name_at: name.as_ref().map_or_else(|| function.sig.ident.span(), LitStr::span),
                name: name.map_or_else(|| function.sig.ident.unraw().to_string(), |name| name.value()),
                on: args.string("on", diag),
                allow_concurrent: args.boolean("allow_concurrent", diag).unwrap_or(false),
            },
            timezone,
            cron,
            poll_interval,
            reactor,
            rule,
            when_at: args.get("when").map_or_else(|| function.sig.ident.span(), crate::args::Arg::span),
            when,
            at: function.sig.ident.span(),
        }
    }
}
