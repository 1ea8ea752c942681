//! Doc comments that travel with an item.

use syn::{Attribute, Expr, ExprLit, Lit, Meta};

/// A task's description and reason, from its doc comment.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Docs {
    pub(crate) what: String,
    pub(crate) why: String,
}

/// Reads doc comments: lines that begin `what:` or `why:` fill those fields; without either, all is `what`.
pub(crate) fn read(attrs: &[Attribute]) -> Docs {
    let lines: Vec<String> = attrs.iter().filter_map(doc_line).collect();
    let part = |prefix: &str| -> String {
        let found = lines.iter().filter_map(|line| strip_prefix_any_case(line.trim(), prefix));
        found.collect::<Vec<_>>().join(" ")
    };
    let docs = Docs { what: part("what:"), why: part("why:") };
    if docs == Docs::default() {
        return Docs {
            what: lines.iter().map(|l| l.trim()).collect::<Vec<_>>().join("\n").trim().to_owned(),
            ..docs
        };
    }
    docs
}

fn doc_line(attr: &Attribute) -> Option<String> {
    match &attr.meta {
        Meta::NameValue(pair) if pair.path.is_ident("doc") => match &pair.value {
            Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) => Some(text.value()),
            _ => None,
        },
        _ => None,
    }
}

fn strip_prefix_any_case<'l>(line: &'l str, prefix: &str) -> Option<&'l str> {
    let head = line.get(..prefix.len())?;
    head.eq_ignore_ascii_case(prefix).then(|| line[prefix.len()..].trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn docs_of(lines: &[&str]) -> Docs {
        let attrs: Vec<Attribute> = lines.iter().map(|l| syn::parse_quote!(#[doc = #l])).collect();
        read(&attrs)
    }

    #[test]
    fn marked_lines_fill_their_fields() {
        let docs = docs_of(&[" What: reads", " other", " WHY: because", " why: and so"]);
        assert_eq!(docs, Docs { what: "reads".into(), why: "because and so".into() });
    }

    #[test]
    fn without_marks_all_of_it_is_what() {
        assert_eq!(docs_of(&[" one", " two"]), Docs { what: "one\ntwo".into(), why: String::new() });
    }
}
