//! Attribute arguments as written: `key = tokens` or `key(tokens)`, whatever the tokens are.

use crate::diag::{Diagnostics, did_you_mean, list};
use proc_macro2::{Ident, Span, TokenStream, TokenTree};
use quote::ToTokens;
use syn::parse::{Parse, ParseStream, Parser};
use syn::punctuated::Punctuated;
use syn::{Lit, LitBool, LitInt, LitStr, Token};

/// One argument.
pub(crate) struct Arg {
    pub(crate) key: Ident,
    pub(crate) value: TokenStream,
}

/// The arguments of an attribute, in order, with unknown and repeated keys already reported.
pub(crate) struct Args {
    args: Vec<Arg>,
}

impl Args {
    /// Splits attribute tokens at their top-level commas.
    pub(crate) fn parse(
        macro_name: &str,
        tokens: TokenStream,
        known: &[&str],
        diag: &mut Diagnostics,
    ) -> Self {
        let raw =
            diag.keep(Punctuated::<Arg, Token![,]>::parse_terminated.parse2(tokens)).unwrap_or_default();
        let mut args: Vec<Arg> = Vec::new();
        for arg in raw {
            let key = arg.key.to_string();
            if !known.contains(&key.as_str()) {
                let near = did_you_mean(&key, known.iter().copied());
                let all = match (near.is_empty(), known) {
                    (false, _) => String::new(),
                    (true, []) => "; it takes none".to_owned(),
                    (true, known) => format!("; it takes {}", list(known)),
                };
                diag.error(arg.key.span(), format!("`#[{macro_name}]` has no argument `{key}`{near}{all}"));
            } else if args.iter().any(|seen| seen.key == arg.key) {
                diag.error(arg.key.span(), format!("`{key}` is given twice"));
            } else {
                args.push(arg);
            }
        }
        Self { args }
    }

    /// The argument under a key.
    pub(crate) fn get(&self, key: &str) -> Option<&Arg> {
        self.args.iter().find(|arg| arg.key == key)
    }

    /// Parses the value under a key; a value of another kind is an error at that value.
    pub(crate) fn value<T: Expected>(&self, key: &str, diag: &mut Diagnostics) -> Option<T> {
        let arg = self.get(key)?;
        match syn::parse2::<T>(arg.value.clone()) {
            Ok(value) => Some(value),
            Err(_) => {
                diag.error(arg.span(), format!("`{key}` takes {}", T::WHAT));
                None
            }
        }
    }

    /// A string and its span.
    pub(crate) fn string(&self, key: &str, diag: &mut Diagnostics) -> Option<LitStr> {
        self.value(key, diag)
    }

    /// A number that fits.
    pub(crate) fn integer<N>(&self, key: &str, diag: &mut Diagnostics) -> Option<N>
    where
        N: std::str::FromStr<Err: std::fmt::Display>,
    {
        let literal: LitInt = self.value(key, diag)?;
        let fits = literal.base10_parse().map_err(|_| {
            syn::Error::new(
                literal.span(),
                format!("`{key}` takes a whole number that is not negative and not huge"),
            )
        });
        diag.keep(fits)
    }

    /// A bool.
    pub(crate) fn boolean(&self, key: &str, diag: &mut Diagnostics) -> Option<bool> {
        self.value::<LitBool>(key, diag).map(|b| b.value)
    }

    /// An array of strings.
    pub(crate) fn strings(&self, key: &str, diag: &mut Diagnostics) -> Vec<LitStr> {
        self.value::<Strings>(key, diag).map(|s| s.0).unwrap_or_default()
    }
}

impl Arg {
    /// The span of the value, or of the key when there is no value.
    pub(crate) fn span(&self) -> Span {
        self.value.clone().into_iter().next().map_or_else(|| self.key.span(), |token| token.span())
    }
}

impl Parse for Arg {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let key: Ident = input.call(syn::ext::IdentExt::parse_any)?;
        if input.peek(syn::token::Paren) {
            let group: proc_macro2::Group = input.parse()?;
            return Ok(Self { key, value: group.stream() });
        }
        if !input.peek(Token![=]) {
            return Err(syn::Error::new(key.span(), format!("write `{key} = ..`")));
        }
        input.parse::<Token![=]>()?;
        if key == "state" {
            // A type, in which a comma may stand: `HashMap<String, u64>`.
            let value =
                input.parse::<syn::Type>().map_err(|e| syn::Error::new(e.span(), "`state` takes a type"))?;
            return Ok(Self { key, value: value.to_token_stream() });
        }
        let mut value = TokenStream::new();
        while !input.is_empty() && !input.peek(Token![,]) {
            input.parse::<TokenTree>()?.to_tokens(&mut value);
        }
        Ok(Self { key, value })
    }
}

/// Longest name; names are part of keys in the database and are typed on the command line.
const MAX_NAME: usize = 128;

/// Checks the name of an entry.
pub(crate) fn check_name(what: &str, name: &str) -> Result<(), String> {
    let bad =
        name.is_empty() || name.len() > MAX_NAME || name.chars().any(|c| c.is_control() || c.is_whitespace());
    let article = if what.starts_with(['a', 'e', 'i', 'o', 'u']) { "an" } else { "a" };
    if bad {
        Err(format!("{article} {what} name has 1 to {MAX_NAME} characters and no white space"))
    } else {
        Ok(())
    }
}

/// As [`check_name`], for what has its tenant before its name on a host, and `@` behind it in a replay.
pub(crate) fn check_qualified_name(what: &str, name: &str) -> Result<(), String> {
    if name.contains(['/', '@']) {
        return Err(format!("a {what} name has no `/` and no `@`: hosts put its tenant before a `/`"));
    }
    check_name(what, name)
}

/// Reads `100ms`, `5s`, `2m` or `1h`.
pub(crate) fn interval_ms(text: &str) -> Result<u64, String> {
    let wrong =
        || format!("`{text}` is not an interval: write a whole number and `ms`, `s`, `m` or `h`, as in `5s`");
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

/// A kind of value, with the words that say what is expected.
pub(crate) trait Expected: Parse {
    const WHAT: &'static str;
}

impl Expected for LitStr {
    const WHAT: &'static str = "a string literal";
}

impl Expected for LitInt {
    const WHAT: &'static str = "a whole number";
}

impl Expected for LitBool {
    const WHAT: &'static str = "`true` or `false`";
}

impl Expected for syn::Path {
    const WHAT: &'static str = "the path of an async function";
}

/// `["a", "b"]`.
struct Strings(Vec<LitStr>);

impl Parse for Strings {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let inner;
        syn::bracketed!(inner in input);
        let items = Punctuated::<Lit, Token![,]>::parse_terminated(&inner)?;
        let strings = items.into_iter().map(|lit| match lit {
            Lit::Str(text) => Ok(text),
            other => Err(syn::Error::new(other.span(), "not a string")),
        });
        strings.collect::<syn::Result<_>>().map(Self)
    }
}

impl Expected for Strings {
    const WHAT: &'static str = "an array of string literals, as in `[\"a\", \"b\"]`";
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
