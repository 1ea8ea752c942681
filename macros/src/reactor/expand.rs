//! Code: the struct as written, and beside it the reactor's entry and its static record.

use super::model::ReactorModel;
use proc_macro2::TokenStream;
use quote::quote;
use syn::ext::IdentExt;
use syn::{ItemStruct, LitStr};

pub(super) fn expand(model: &ReactorModel, unit: &ItemStruct, private: &TokenStream) -> TokenStream {
    let name = model.name.as_ref().map(LitStr::value).unwrap_or_default();
    let accumulators: Vec<String> = model.accumulators.iter().map(|name| name.unraw().to_string()).collect();
    let criteria = model.criteria.as_ref().map(|c| c.mode.to_string()).unwrap_or_default();
    let sources: Vec<String> =
        model.criteria.iter().flat_map(|c| &c.sources).map(|name| name.unraw().to_string()).collect();
    let strategy = model.input_strategy.as_ref().map_or_else(|| "latest".to_owned(), LitStr::value);
    let accumulators_json = serde_json::json!(accumulators).to_string();
    let sources_json = serde_json::json!(sources).to_string();
    let ident = &unit.ident;
    quote! {
        #unit
        #[doc(hidden)]
        const _: () = {
            // Nobody makes a value of it: it stands for the reactor.
            const _: #ident = #ident;
            #private::inventory::submit! {
                #private::ReactorEntry {
                    module: ::core::module_path!(),
                    name: #name,
                    accumulators: &[#(#accumulators),*],
                    criteria: #criteria,
                    criteria_sources: &[#(#sources),*],
                    input_strategy: #strategy,
                }
            }
            #private::record! {
                Reactor,
                "module" => ::core::module_path!(),
                "name" => #name,
                "accumulators" => #accumulators_json,
                "criteria" => #criteria,
                "criteria_sources" => #sources_json,
                "input_strategy" => #strategy,
            }
        };
    }
}
