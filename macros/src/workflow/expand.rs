//! Code: the module as written with its entry and its static record added at the end.

use super::model::WorkflowModel;
use proc_macro2::TokenStream;
use quote::{ToTokens, quote, quote_spanned};
use syn::ext::IdentExt;
use syn::spanned::Spanned;
use syn::{Expr, ItemMod, LitStr, Type};

pub(super) fn expand(model: &WorkflowModel, mut module: ItemMod, private: &TokenStream) -> TokenStream {
    let entry = entry(model, private);
    let record = record(model, private);
    let addition = quote! {
        #[doc(hidden)]
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
    let secrets = model.secrets.iter().map(|secret| secret.unraw().to_string());
    let params = model.params.iter().map(|param| {
        let (name, ty) = (param.key(), &param.ty);
        let (type_name, default_text) = (spelled(ty), param.default.as_ref().map(spelled).unwrap_or_default());
        let default = match &param.default {
            None => quote!(::core::option::Option::None),
            Some(value) => {
                let typed = typed_default(ty, value);
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
        serde_json::json!(model.secrets.iter().map(|secret| secret.unraw().to_string()).collect::<Vec<_>>())
            .to_string();
    let params: Vec<_> = model
        .params
        .iter()
        .map(|param| {
            serde_json::json!({
                "name": param.key(),
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

/// A default as a value of its type: as it is where it fits (a bare number takes its type from there), or converted.
fn typed_default(ty: &Type, value: &Expr) -> TokenStream {
    let get = quote_spanned!(value.span()=> __LongshoreDefault(#value).get());
    quote! {{
        struct __LongshoreDefault<T>(T);
        impl __LongshoreDefault<#ty> {
            fn get(self) -> #ty { self.0 }
        }
        // The method above comes first where both fit.
        trait __LongshoreInto {
            fn get(self) -> #ty;
        }
        impl<T: ::core::convert::Into<#ty>> __LongshoreInto for __LongshoreDefault<T> {
            fn get(self) -> #ty { ::core::convert::Into::into(self.0) }
        }
        let typed: #ty = #get;
        typed
    }}
}
