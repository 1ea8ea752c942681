//! The grammar of `trigger_rules`.

use crate::diag::{did_you_mean, list};
use proc_macro2::{Ident, Span};
use serde_json::{Value, json};
use syn::parse::{Parse, ParseStream};
use syn::punctuated::Punctuated;
use syn::{Lit, LitStr, Token};

const WORDS: [&str; 8] =
    ["always", "task_success", "task_failed", "task_skipped", "context_value", "all", "any", "none"];
const OPERATORS: [&str; 8] =
    ["equals", "not_equals", "greater_than", "less_than", "contains", "not_contains", "exists", "not_exists"];

/// A rule with the JSON that travels and the tasks it names, each with its span.
#[derive(Debug)]
pub(crate) struct RuleModel {
    pub(crate) json: Value,
    pub(crate) tasks: Vec<(String, Span)>,
}

impl Parse for RuleModel {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let word: Ident = input.parse()?;
        let name = word.to_string();
        match name.as_str() {
            "always" => {
                if input.peek(syn::token::Paren) {
                    let inner;
                    syn::parenthesized!(inner in input);
                    end(&inner, "`always` takes nothing")?;
                }
                Ok(Self { json: json!("always"), tasks: Vec::new() })
            }
            "task_success" | "task_failed" | "task_skipped" => task_rule(&name, &word, input),
            "context_value" => context_rule(&word, input),
            "all" | "any" | "none" => nested(&name, &word, input),
            _ => {
                let near = did_you_mean(&name, WORDS);
                let all =
                    if near.is_empty() { format!("; rules are {}", list(&WORDS)) } else { String::new() };
                Err(syn::Error::new(word.span(), format!("no rule `{name}`{near}{all}")))
            }
        }
    }
}

fn arguments<'i>(
    word: &Ident,
    input: ParseStream<'i>,
    example: &str,
) -> syn::Result<syn::parse::ParseBuffer<'i>> {
    let parse = || {
        let inner;
        syn::parenthesized!(inner in input);
        Ok(inner)
    };
    parse().map_err(|_: syn::Error| syn::Error::new(word.span(), format!("write `{example}`")))
}

fn end(inner: ParseStream<'_>, message: &str) -> syn::Result<()> {
    if inner.is_empty() { Ok(()) } else { Err(inner.error(message)) }
}

fn task_rule(name: &str, word: &Ident, input: ParseStream<'_>) -> syn::Result<RuleModel> {
    let inner = arguments(word, input, &format!("{name}(\"task id\")"))?;
    let id: LitStr = inner
        .parse()
        .map_err(|e| syn::Error::new(e.span(), format!("`{name}` takes a task id in quotes")))?;
    end(&inner, "one task id is enough; join rules with `all(..)` or `any(..)`")?;
    Ok(RuleModel { json: json!({ name: id.value() }), tasks: vec![(id.value(), id.span())] })
}

fn context_rule(word: &Ident, input: ParseStream<'_>) -> syn::Result<RuleModel> {
    let inner = arguments(word, input, "context_value(\"key\", equals, 1)")?;
    let key: LitStr = inner
        .parse()
        .map_err(|e| syn::Error::new(e.span(), "`context_value` begins with a key in quotes"))?;
    inner.parse::<Token![,]>()?;
    let operator: Ident = inner.parse()?;
    let name = operator.to_string();
    if !OPERATORS.contains(&name.as_str()) {
        let near = did_you_mean(&name, OPERATORS);
        let all =
            if near.is_empty() { format!("; operators are {}", list(&OPERATORS)) } else { String::new() };
        return Err(syn::Error::new(operator.span(), format!("no operator `{name}`{near}{all}")));
    }
    let value = if name.ends_with("exists") {
        // A literal that other engines want there means nothing.
        let ahead = inner.fork();
        if ahead.parse::<Token![,]>().is_ok() && !ahead.is_empty() {
            inner.parse::<Token![,]>()?;
            literal(&inner)?;
        }
        Value::Null
    } else {
        inner
            .parse::<Token![,]>()
            .map_err(|e| syn::Error::new(e.span(), format!("`{name}` compares with a literal")))?;
        literal(&inner)?
    };
    if !inner.is_empty() {
        inner.parse::<Token![,]>()?;
    }
    end(&inner, "nothing follows the literal")?;
    let json = json!({ "context_value": { "key": key.value(), "operator": name, "value": value } });
    Ok(RuleModel { json, tasks: Vec::new() })
}

fn literal(input: ParseStream<'_>) -> syn::Result<Value> {
    let negative = input.parse::<Option<Token![-]>>()?.is_some();
    match (input.parse::<Lit>()?, negative) {
        (Lit::Str(text), false) => Ok(json!(text.value())),
        (Lit::Bool(value), false) => Ok(json!(value.value)),
        (Lit::Int(number), _) => {
            let value: i64 = number.base10_parse()?;
            Ok(json!(if negative { -value } else { value }))
        }
        (Lit::Float(number), _) => {
            let value: f64 = number.base10_parse()?;
            Ok(json!(if negative { -value } else { value }))
        }
        (other, _) => Err(syn::Error::new(other.span(), "a rule compares with a string, a number or a bool")),
    }
}

fn nested(name: &str, word: &Ident, input: ParseStream<'_>) -> syn::Result<RuleModel> {
    let inner = arguments(word, input, &format!("{name}(rule, rule)"))?;
    let rules = Punctuated::<RuleModel, Token![,]>::parse_terminated(&inner)?;
    if rules.is_empty() {
        return Err(syn::Error::new(word.span(), format!("`{name}` needs at least one rule")));
    }
    let (json, tasks): (Vec<_>, Vec<_>) = rules.into_iter().map(|rule| (rule.json, rule.tasks)).unzip();
    Ok(RuleModel { json: json!({ name: json }), tasks: tasks.into_iter().flatten().collect() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<RuleModel, String> {
        syn::parse_str(text).map_err(|e: syn::Error| e.to_string())
    }

    #[test]
    fn nested_rules_become_the_json_that_travels() {
        let rule = parse(r#"all(task_success("a"), none(context_value("n", less_than, -1.5)), always)"#)
            .expect("rule");
        let expected = json!({"all": [
            {"task_success": "a"},
            {"none": [{"context_value": {"key": "n", "operator": "less_than", "value": -1.5}}]},
            "always",
        ]});
        assert_eq!(rule.json, expected);
        assert_eq!(rule.tasks[0].0, "a");
    }

    #[test]
    fn a_literal_after_exists_is_ignored() {
        let of = |text: &str| parse(text).expect("rule").json;
        assert_eq!(of(r#"context_value("k", exists, true)"#), of(r#"context_value("k", exists)"#));
        assert_eq!(of(r#"context_value("k", not_exists, "x",)"#), of(r#"context_value("k", not_exists,)"#));
    }

    #[test]
    fn misspelt_words_name_the_nearest() {
        assert!(parse(r#"task_sucess("a")"#).expect_err("typo").contains("did you mean `task_success`?"));
        assert!(parse(r#"context_value("k", equal, 1)"#).expect_err("typo").contains("`equals`"));
        assert!(parse("sometimes").expect_err("unknown").contains("rules are"));
    }
}
