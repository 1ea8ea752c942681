//! Code: the module as written with its entry and its static record added at the end.

use super::model::WorkflowModel;
use proc_macro2::TokenStream;
use quote::{ToTokens, quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{Expr, ItemMod, Lit, LitStr, Type, UnOp};

pub(super) fn expand(model: &WorkflowModel, mut module: ItemMod, private: &TokenStream) -> TokenStream {
    let entry = entry(model, private);
    let record = record(model, private);
    let addition = quote! {
        #[doc(hidden)]
        #[allow(clippy::all, clippy::pedantic, missing_docs, unused_qualifications)]
        const _: () = {
            #private::inventory::submit! { #entry }
            #record
        };
    };
    if let Some((_, items)) = &mut module.content {
        items.push(syn::Item::Verbatim(addition));
    }
    module.to_token_stream()
}

fn entry(model: &WorkflowModel, private: &TokenStream) -> TokenStream {
    let name = text(model.name.as_ref());
    let tenant = tenant(model);
    let (description, author) = (&model.description, &model.author);
    let triggers = &model.triggers;
    let secrets = model.secrets.iter().map(ToString::to_string);
    let params = model.params.iter().map(|param| {
        let (name, ty) = (param.name.to_string(), &param.ty);
        let (type_name, default_text) = (spelled(ty), param.default.as_ref().map(spelled).unwrap_or_default());
        let default = match &param.default {
            None => quote!(::core::option::Option::None),
            Some(value) => {
                let converted = if is_whole_number(value) && is_integer(ty) {
                    // A bare number takes its type from its place; converted, it would be an i32 first.
                    quote!(#value)
                } else {
                    quote_spanned!(value.span()=> ::core::convert::Into::into(#value))
                };
                let typed = quote_spanned!(value.span()=> { let value: #ty = #converted; value });
                quote!(::core::option::Option::Some(|| #private::json_of::<#ty>(#typed)))
            }
        };
        let schema = quote_spanned!(ty.span()=> #private::schema_of::<#ty>);
        quote!(#private::ParamEntry {
            name: #name, type_name: #type_name, default_text: #default_text, default: #default, schema: #schema,
        })
    });
    quote! {
        #private::WorkflowEntry {
            module: ::core::module_path!(),
            name: #name,
            tenant: #tenant,
            description: #description,
            author: #author,
            triggers: &[#(#triggers),*],
            params: &[#(#params),*],
            secrets: &[#(#secrets),*],
        }
    }
}

fn record(model: &WorkflowModel, private: &TokenStream) -> TokenStream {
    let name = text(model.name.as_ref());
    let tenant = tenant(model);
    let (description, author) = (&model.description, &model.author);
    let triggers =
        serde_json::json!(model.triggers.iter().map(LitStr::value).collect::<Vec<_>>()).to_string();
    let secrets =
        serde_json::json!(model.secrets.iter().map(ToString::to_string).collect::<Vec<_>>()).to_string();
    let params: Vec<_> = model
        .params
        .iter()
        .map(|param| {
            serde_json::json!({
                "name": param.name.to_string(),
                "type": spelled(&param.ty),
                "default": param.default.as_ref().map(spelled),
            })
        })
        .collect();
    let params = serde_json::json!(params).to_string();
    quote! {
        #private::record! {
            Workflow,
            "module" => ::core::module_path!(),
            "name" => #name,
            "tenant" => #tenant,
            "description" => #description,
            "author" => #author,
            "triggers" => #triggers,
            "params" => #params,
            "secrets" => #secrets,
        }
    }
}

fn text(literal: Option<&LitStr>) -> String {
    literal.map(LitStr::value).unwrap_or_default()
}

fn tenant(model: &WorkflowModel) -> String {
    model.tenant.as_ref().map_or_else(|| "public".to_owned(), LitStr::value)
}

/// Tokens as a person would write them: without the spaces the token printer puts everywhere.
fn spelled(tokens: &impl ToTokens) -> String {
    let text = tokens.to_token_stream().to_string();
    text.replace(" :: ", "::").replace(" < ", "<").replace(" >", ">").replace(" ,", ",").replace("& ", "&")
}

fn is_whole_number(value: &Expr) -> bool {
    match value {
        Expr::Lit(literal) => matches!(&literal.lit, Lit::Int(number) if number.suffix().is_empty()),
        Expr::Unary(unary) => matches!(unary.op, UnOp::Neg(_)) && is_whole_number(&unary.expr),
        _ => false,
    }
}

fn is_integer(ty: &Type) -> bool {
    const INTEGERS: [&str; 12] =
        ["u8", "u16", "u32", "u64", "u128", "usize", "i8", "i16", "i32", "i64", "i128", "isize"];
    matches!(ty, Type::Path(path) if INTEGERS.iter().any(|name| path.path.is_ident(name)))
}
