//! Code: the function as written, and beside it its entry and its static record.

use super::check::item_type;
use super::model::{AccumulatorModel, Kind};
use super::parse::Function;
use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{FnArg, Type};

pub(super) fn expand(model: &AccumulatorModel, function: &Function, private: &TokenStream) -> TokenStream {
    let (name, kind) = (function.sig.ident.to_string(), model.kind.word());
    let config = serde_json::Value::Object(model.config.clone()).to_string();
    let call = call(model, function, private);
    let written = function.as_written();
    // The result type of a function that is not there: what the author imported for it is used.
    let shape = (model.kind == Kind::State).then(|| {
        let output = &function.sig.output;
        quote!(#[allow(dead_code)] fn __longshore_shape() #output { ::core::unreachable!() })
    });
    quote! {
        #written
        #[doc(hidden)]
        #[allow(clippy::all, clippy::pedantic, missing_docs, unused_qualifications)]
        const _: () = {
            #shape
            #private::inventory::submit! {
                #private::AccumulatorEntry {
                    module: ::core::module_path!(),
                    name: #name,
                    kind: #kind,
                    config: #config,
                    call: #call,
                }
            }
            #private::record! {
                Accumulator,
                "module" => ::core::module_path!(),
                "name" => #name,
                "kind" => #kind,
                "config" => #config,
            }
        };
    }
}

fn call(model: &AccumulatorModel, function: &Function, private: &TokenStream) -> TokenStream {
    let name = &function.sig.ident;
    let ok = quote!(::core::result::Result::Ok);
    match model.kind {
        Kind::Polling => quote! {
            #private::AccumulatorCall::Poll(|| ::std::boxed::Box::pin(async {
                #private::maybe_boundary(#name().await)
            }))
        },
        Kind::Batch => quote! {
            #private::AccumulatorCall::Batch(|events| {
                let mut read = ::std::vec::Vec::with_capacity(events.len());
                for (at, event) in events.iter().enumerate() {
                    read.push(#private::event(at, event)?);
                }
                #private::maybe_boundary(#name(read))
            })
        },
        Kind::State => {
            let item = item_type(&function.sig.output);
            quote! {
                #private::AccumulatorCall::Event(|event| {
                    let value: #item = #private::event(0, event)?;
                    #private::boundary(&value)
                })
            }
        }
        Kind::Passthrough | Kind::Stream => match &model.state {
            Some(state) => quote! {
                #private::AccumulatorCall::Stateful(|state, event| {
                    let mut state: #state = #private::state(state)?;
                    let value = #name(#private::event(0, event)?, &mut state);
                    #ok((#private::boundary(&state)?, #private::boundary(&value)?))
                })
            },
            None => {
                let event = typed_event(function, private);
                quote! {
                    #private::AccumulatorCall::Event(|event| #private::boundary(&#name(#event)))
                }
            }
        },
    }
}

/// The event, read at the type the author wrote, so that a type that does not deserialize is an error there.
fn typed_event(function: &Function, private: &TokenStream) -> TokenStream {
    match function.sig.inputs.first() {
        Some(FnArg::Typed(typed)) => {
            let ty: &Type = &typed.ty;
            quote_spanned!(ty.span()=> #private::event::<#ty>(0, event)?)
        }
        _ => quote!(#private::event(0, event)?),
    }
}
