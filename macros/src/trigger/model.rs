//! What the author meant.

use crate::args::Args;
use crate::diag::Diagnostics;
use proc_macro2::Span;
use syn::{ItemFn, LitStr};

/// A trigger as written.
pub(super) struct TriggerModel {
    pub(super) names: Names,
    pub(super) timezone: Option<LitStr>,
    pub(super) cron: Option<LitStr>,
    pub(super) poll_interval: Option<LitStr>,
    /// When it fires, if exactly one way is given and it reads.
    pub(super) when: Option<When>,
    pub(super) at: Span,
}

/// Who it is and what it starts.
pub(super) struct Names {
    pub(super) name: String,
    pub(super) on: Option<LitStr>,
    pub(super) allow_concurrent: bool,
}

/// When it fires.
pub(super) enum When {
    Cron { expression: String, timezone: String },
    Poll { interval_ms: u64 },
}

impl TriggerModel {
    pub(super) fn new(args: &Args, function: &ItemFn, diag: &mut Diagnostics) -> Self {
        let timezone = args.string("timezone", diag);
        let cron = args.string("cron", diag);
        let poll_interval = args.string("poll_interval", diag);
        let when = match (&cron, &poll_interval) {
            (Some(cron), None) => Some(When::Cron {
                expression: cron.value(),
                timezone: timezone.as_ref().map_or_else(|| "UTC".to_owned(), LitStr::value),
            }),
            (None, Some(text)) => match interval_ms(&text.value()) {
                Ok(interval_ms) => Some(When::Poll { interval_ms }),
                Err(message) => {
                    diag.error(text.span(), message);
                    None
                }
            },
            _ => None,
        };
        Self {
            names: Names {
                name: args.string("name", diag).map_or_else(|| function.sig.ident.to_string(), |s| s.value()),
                on: args.string("on", diag),
                allow_concurrent: args.boolean("allow_concurrent", diag).unwrap_or(false),
            },
            timezone,
            cron,
            poll_interval,
            when,
            at: function.sig.ident.span(),
        }
    }
}

/// Reads `100ms`, `5s`, `2m` or `1h`.
fn interval_ms(text: &str) -> Result<u64, String> {
    let wrong =
        || format!("`{text}` is no interval: write a whole number and `ms`, `s`, `m` or `h`, as in `5s`");
    let digits = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
    let number: u64 = text[..digits].parse().map_err(|_| wrong())?;
    let unit = match &text[digits..] {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return Err(wrong()),
    };
    match number.checked_mul(unit) {
        Some(ms) if ms > 0 => Ok(ms),
        _ => Err(wrong()),
    }
}

#[cfg(test)]
mod tests {
    use super::interval_ms;

    #[test]
    fn intervals_have_a_number_and_a_unit() {
        assert_eq!(
            ["100ms", "5s", "2m", "1h"].map(|t| interval_ms(t).ok()),
            [100, 5000, 120_000, 3_600_000].map(Some)
        );
        for wrong in
            ["", "5", "s", "5 s", "-1s", "0s", "1d", "99999999999999999999s", "18446744073709551615h"]
        {
            assert!(interval_ms(wrong).is_err(), "{wrong}");
        }
    }
}
