//! The model: the author's meaning, free of syntax.

use super::parse::Invokes;
use crate::args::Args;
use crate::diag::{Diagnostics, did_you_mean, list};
use crate::docs::{self, Docs};
use crate::rule::RuleModel;
use proc_macro2::Span;
use quote::ToTokens;
use sha2::{Digest, Sha256};
use syn::{FnArg, ItemFn, LitStr, PatType, Path};

const BACKOFFS: [&str; 3] = ["fixed", "linear", "exponential"];

/// A name with the token it came from.
#[derive(Debug, Clone)]
pub(crate) struct Named {
    pub(crate) text: String,
    pub(crate) span: Span,
}

impl Named {
    pub(crate) fn from_literal(literal: &LitStr) -> Self {
        Self { text: literal.value(), span: literal.span() }
    }
}

/// A task as written.
pub(crate) struct TaskModel {
    pub(crate) id: Named,
    pub(crate) dependencies: Vec<Named>,
    pub(crate) retry: RetryModel,
    pub(crate) rule: Option<RuleModel>,
    pub(crate) on_success: Option<Path>,
    pub(crate) on_failure: Option<Path>,
    pub(crate) invokes: Option<LitStr>,
    pub(crate) post_invocation: Option<Path>,
    pub(crate) context: Option<PatType>,
    pub(crate) handle: Option<PatType>,
    pub(crate) docs: Docs,
    pub(crate) fingerprint: String,
}

/// A retry policy as written.
pub(crate) struct RetryModel {
    pub(crate) attempts: u32,
    pub(crate) backoff: String,
    pub(crate) delay_ms: u64,
    pub(crate) max_delay_ms: u64,
    pub(crate) condition: String,
    pub(crate) jitter: bool,
}

impl TaskModel {
    pub(crate) fn new(args: &Args, function: &ItemFn, diag: &mut Diagnostics) -> Self {
        let (id, dependencies) = read_identity(args, function, diag);
        let mut params = function.sig.inputs.iter().filter_map(|input| match input {
            FnArg::Typed(typed) => Some(typed.clone()),
            FnArg::Receiver(_) => None,
        });
        let rule = args.get("trigger_rules").and_then(|arg| diag.keep(syn::parse2(arg.value.clone())));
        Self {
            id,
            dependencies,
            retry: RetryModel::new(args, diag),
            rule,
            on_success: args.value("on_success", diag),
            on_failure: args.value("on_failure", diag),
            invokes: args.value::<Invokes>("invokes", diag).map(|invokes| invokes.0),
            post_invocation: args.value("post_invocation", diag),
            context: params.next(),
            handle: params.next(),
            docs: docs::read(&function.attrs),
            fingerprint: fingerprint(function),
        }
    }
}

/// The id and the dependencies: all that `#[workflow]` needs of a task.
pub(crate) fn read_identity(args: &Args, function: &ItemFn, diag: &mut Diagnostics) -> (Named, Vec<Named>) {
    let name = &function.sig.ident;
    let id = args.string("id", diag).map_or_else(
        || Named { text: syn::ext::IdentExt::unraw(name).to_string(), span: name.span() },
        |literal| Named::from_literal(&literal),
    );
    let dependencies = args.strings("dependencies", diag).iter().map(Named::from_literal).collect();
    (id, dependencies)
}

impl RetryModel {
    fn new(args: &Args, diag: &mut Diagnostics) -> Self {
        let backoff = args.string("retry_backoff", diag);
        if let Some(word) = &backoff
            && !BACKOFFS.contains(&word.value().as_str())
        {
            let near = did_you_mean(&word.value(), BACKOFFS);
            let message = format!("no backoff `{}`{near}; backoffs are {}", word.value(), list(&BACKOFFS));
            diag.error(word.span(), message.replace("?; ", "? "));
        }
        Self {
            attempts: args.integer("retry_attempts", diag).unwrap_or(3),
            backoff: backoff.map_or_else(|| "exponential".to_owned(), |b| b.value()),
            delay_ms: args.integer("retry_delay_ms", diag).unwrap_or(1000),
            max_delay_ms: args.integer("retry_max_delay_ms", diag).unwrap_or(30_000),
            condition: condition(args, diag),
            jitter: args.boolean("retry_jitter", diag).unwrap_or(true),
        }
    }
}

fn condition(args: &Args, diag: &mut Diagnostics) -> String {
    const WORDS: [&str; 3] = ["never", "all", "transient"];
    let Some(literal) = args.string("retry_condition", diag) else { return "all".to_owned() };
    let text = literal.value();
    if text.split(',').all(|pattern| pattern.trim().is_empty()) {
        diag.error(
            literal.span(),
            "`retry_condition` is empty: write `never`, `all`, `transient`, or patterns",
        );
    }
    // A slip of the hand in a keyword is a typo; every other word may stand in a message.
    if let Some(word) = WORDS.into_iter().find(|word| is_slip(&text, word)) {
        diag.error(literal.span(), format!("no retry condition `{text}`, did you mean `{word}`?"));
    }
    text
}

/// True when two letters of a word are exchanged, or one letter after the first is missing or doubled.
fn is_slip(text: &str, word: &str) -> bool {
    let (text, word): (Vec<char>, Vec<char>) = (text.chars().collect(), word.chars().collect());
    let without = |letters: &[char], at: usize| [&letters[..at], &letters[at + 1..]].concat();
    let exchanged = |at: usize| {
        let mut letters = word.clone();
        letters.swap(at, at + 1);
        letters
    };
    let missing = || (1..word.len()).any(|at| without(&word, at) == text);
    let doubled = || (1..text.len()).any(|at| text[at] == text[at - 1] && without(&text, at) == word);
    text != word && (missing() || doubled() || (0..word.len() - 1).any(|at| exchanged(at) == text))
}

/// A digest of the signature and the body, the same whatever the layout of the source.
fn fingerprint(function: &ItemFn) -> String {
    let mut hasher = Sha256::new();
    hasher.update(function.sig.to_token_stream().to_string());
    hasher.update(function.block.to_token_stream().to_string());
    hasher.finalize()[..16].iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::is_slip;

    #[test]
    fn slips_are_told_from_words_that_messages_have() {
        for (text, word) in [
            ("nevr", "never"),
            ("nevver", "never"),
            ("nevre", "never"),
            ("al", "all"),
            ("transeint", "transient"),
        ] {
            assert!(is_slip(text, word), "{text}");
        }
        for text in ["server", "call", "level", "over", "fever", "newer", "ever", "never", "all", "tall"] {
            assert!(!is_slip(text, "never") && !is_slip(text, "all"), "{text}");
        }
    }
}
