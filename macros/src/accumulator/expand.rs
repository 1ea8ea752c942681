//! Code: the function as written, and beside it its entry and its static record.

use super::check::item_type;
use super::model::{AccumulatorModel, Kind};
use super::parse::Function;
use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::ext::IdentExt;
use syn::spanned::Spanned;
use syn::{FnArg, Type};

pub(super) fn expand(model: &AccumulatorModel, function: &Function, private: &TokenStream) -> TokenStream {
    let (name, kind) = (function.sig.ident.unraw().to_string(), model.kind.word());
    let config = serde_json::Value::Object(model.config.clone()).to_string();
    let call = call(model, function, private);
    let written = function.as_written();
    // The result type of a function that is not there: what the author imported for it is used.
    let ident = &function.sig.ident;
    let shape = (model.kind == Kind::State).then(|| {
        if function.block.is_some() {
            // The host keeps the values: the body is never called.
            return quote!(let _ = #ident;);
        }
        let output = &function.sig.output;
        quote!(fn __longshore_shape() #output { ::core::unreachable!() } let _ = __longshore_shape;)
    });
    quote! {
        #written
        #[doc(hidden)]
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
    let is_async = function.sig.asyncness.is_some();
    let value = |call: TokenStream| if is_async { quote!(#private::wait_for_event(#call)?) } else { call };
    match model.kind {
        Kind::Polling => {
            let polled = if is_async { quote!(#name().await) } else { quote!(#name()) };
            quote! {
                #private::AccumulatorCall::Poll(|| ::std::boxed::Box::pin(async {
                    #private::maybe_boundary(#polled)
                }))
            }
        }
        Kind::Batch => {
            let flushed = value(quote!(#name(__longshore_read)));
            quote! {
                #private::AccumulatorCall::Batch(|__longshore_events| {
                    let mut __longshore_read = ::std::vec::Vec::with_capacity(__longshore_events.len());
                    for (at, event) in __longshore_events.iter().enumerate() {
                        __longshore_read.push(#private::event(at, event)?);
                    }
                    #private::maybe_boundary(#flushed)
                })
            }
        }
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
            Some(state) => {
                let taken = value(quote! {
                    #name(#private::event(0, __longshore_event)?, &mut __longshore_state)
                });
                quote! {
                    #private::AccumulatorCall::Stateful(|__longshore_state, __longshore_event| {
                        let mut __longshore_state: #state = #private::state(__longshore_state)?;
                        let __longshore_value = #taken;
                        #ok((
                            #private::boundary(&__longshore_state)?,
                            #private::boundary(&__longshore_value)?,
                        ))
                    })
                }
            }
            None => {
                let event = typed_event(function, private);
                let taken = value(quote!(#name(#event)));
                quote! {
                    #private::AccumulatorCall::Event(|__longshore_event| #private::boundary(&#taken))
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
            quote_spanned!(ty.span()=> #private::event::<#ty>(0, __longshore_event)?)
        }
        _ => quote!(#private::event(0, __longshore_event)?),
    }
}
