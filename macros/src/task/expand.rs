//! Code: the function as written, and beside it its entry and its static record.

use super::model::TaskModel;
use proc_macro2::TokenStream;
use quote::{format_ident, quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{ItemFn, LitStr, PatType};

pub(super) fn expand(model: &TaskModel, function: &ItemFn, private: &TokenStream) -> TokenStream {
    let entry = entry(model, private);
    let run = run(model, function, private);
    let callbacks = callbacks(model, private);
    let checks = type_checks(model, private);
    let record = record(model, private);
    quote! {
        #function
        #[doc(hidden)]
        #[allow(clippy::all, clippy::pedantic, missing_docs, unused_qualifications, single_use_lifetimes)]
        const _: () = {
            #checks
            #run
            #callbacks
            #private::inventory::submit! { #entry }
            #record
        };
    }
}

fn entry(model: &TaskModel, private: &TokenStream) -> TokenStream {
    let (id, fingerprint) = (&model.id.text, &model.fingerprint);
    let (what, why) = (&model.docs.what, &model.docs.why);
    let dependencies = model.dependencies.iter().map(|d| &d.text);
    let rule = model.rule.as_ref().map(|r| r.json.to_string()).unwrap_or_default();
    let requires_handle = model.handle.is_some();
    let invokes = invokes(model);
    let retry = &model.retry;
    let (attempts, backoff, condition, jitter) =
        (retry.attempts, &retry.backoff, &retry.condition, retry.jitter);
    let (delay_ms, max_delay_ms) = (retry.delay_ms, retry.max_delay_ms);
    let optional = |there: bool, name: &str| {
        let name = format_ident!("{name}");
        if there { quote!(::core::option::Option::Some(#name)) } else { quote!(::core::option::Option::None) }
    };
    let on_success = optional(model.on_success.is_some(), "__longshore_on_success");
    let on_failure = optional(model.on_failure.is_some(), "__longshore_on_failure");
    quote! {
        #private::TaskEntry {
            module: ::core::module_path!(),
            id: #id,
            dependencies: &[#(#dependencies),*],
            retry: #private::RetryEntry {
                attempts: #attempts,
                backoff: #backoff,
                delay_ms: #delay_ms,
                max_delay_ms: #max_delay_ms,
                condition: #condition,
                jitter: #jitter,
            },
            rule: #rule,
            what: #what,
            why: #why,
            fingerprint: #fingerprint,
            requires_handle: #requires_handle,
            invokes: #invokes,
            run: __longshore_run,
            on_success: #on_success,
            on_failure: #on_failure,
        }
    }
}

fn run(model: &TaskModel, function: &ItemFn, private: &TokenStream) -> TokenStream {
    let id = &model.id.text;
    let name = &function.sig.ident;
    let handle = model.handle.is_some().then(|| {
        quote! {
            let ::core::option::Option::Some(handle) = handle else {
                return ::core::result::Result::Err(#private::missing_handle(#id));
            };
        }
    });
    let argument = model.handle.is_some().then(|| quote!(, handle));
    let wait = function.sig.asyncness.is_some().then(|| quote!(.await));
    let graph = graph_call(model, private);
    quote! {
        fn __longshore_run<'a>(
            context: &'a mut #private::Context,
            handle: ::core::option::Option<&'a mut #private::TaskHandle>,
        ) -> #private::EntryFuture<'a, ::core::result::Result<(), #private::TaskError>> {
            ::std::boxed::Box::pin(async move {
                #handle
                let result: ::core::result::Result<(), #private::TaskError> =
                    #name(&mut *context #argument)#wait.map_err(|error| #private::task_error(error, #id));
                #graph
                result
            })
        }
    }
}

/// What is called when the task has ended: after it, and not as a part of it.
fn callbacks(model: &TaskModel, private: &TokenStream) -> TokenStream {
    let id = &model.id.text;
    let outcome = quote!(#private::EntryFuture<'a, ::core::option::Option<::std::string::String>>);
    let on_success = model.on_success.as_ref().map(|callback| {
        let call = quote_spanned!(callback.span()=> #callback(#id, context).await);
        quote! {
            fn __longshore_on_success<'a>(context: &'a #private::Context) -> #outcome {
                ::std::boxed::Box::pin(async move { #private::failure_of_callback(#call) })
            }
        }
    });
    let on_failure = model.on_failure.as_ref().map(|callback| {
        let call = quote_spanned!(callback.span()=> #callback(#id, error, context).await);
        quote! {
            fn __longshore_on_failure<'a>(
                error: &'a #private::TaskError,
                context: &'a #private::Context,
            ) -> #outcome {
                ::std::boxed::Box::pin(async move { #private::failure_of_callback(#call) })
            }
        }
    });
    quote!(#on_success #on_failure)
}

fn invokes(model: &TaskModel) -> String {
    model.invokes.as_ref().map(LitStr::value).unwrap_or_default()
}

/// The graph after the body, and the callback after the graph.
fn graph_call(model: &TaskModel, private: &TokenStream) -> Option<TokenStream> {
    let (id, graph) = (&model.id.text, model.invokes.as_ref()?);
    let after = model.post_invocation.as_ref().map(|callback| {
        let call = quote_spanned!(callback.span()=> #callback(&mut *context).await);
        quote! {
            let result = match result {
                ::core::result::Result::Ok(()) => #private::after_graph(#id, #call),
                failed => failed,
            };
        }
    });
    Some(quote! {
        let result = match result {
            ::core::result::Result::Ok(()) => #private::invoke(#id, #graph, &mut *context).await,
            failed => failed,
        };
        #after
    })
}

/// A function per parameter whose only purpose is that a wrong type is an error at that parameter.
fn type_checks(model: &TaskModel, private: &TokenStream) -> TokenStream {
    let check = |param: &PatType, name: &str, expected: TokenStream| {
        let name = syn::Ident::new(name, proc_macro2::Span::call_site());
        let ty = &param.ty;
        let body = quote_spanned!(ty.span()=> given);
        quote!(#[allow(dead_code)] fn #name(given: &mut #expected) -> #ty { #body })
    };
    let context = model.context.as_ref().map(|p| check(p, "__longshore_context", quote!(#private::Context)));
    let handle = model.handle.as_ref().map(|p| check(p, "__longshore_handle", quote!(#private::TaskHandle)));
    quote!(#context #handle)
}

fn record(model: &TaskModel, private: &TokenStream) -> TokenStream {
    let (id, fingerprint) = (&model.id.text, &model.fingerprint);
    let (what, why) = (&model.docs.what, &model.docs.why);
    let ids: Vec<&String> = model.dependencies.iter().map(|d| &d.text).collect();
    let dependencies = serde_json::json!(ids).to_string();
    let rule = model.rule.as_ref().map(|r| r.json.to_string()).unwrap_or_default();
    let invokes = invokes(model);
    let retry = &model.retry;
    let retry = serde_json::json!({
        "attempts": retry.attempts,
        "backoff": retry.backoff,
        "delay_ms": retry.delay_ms,
        "max_delay_ms": retry.max_delay_ms,
        "condition": retry.condition,
        "jitter": retry.jitter,
    })
    .to_string();
    quote! {
        #private::record! {
            Task,
            "module" => ::core::module_path!(),
            "id" => #id,
            "dependencies" => #dependencies,
            "retry" => #retry,
            "rule" => #rule,
            "what" => #what,
            "why" => #why,
            "fingerprint" => #fingerprint,
            "invokes" => #invokes,
        }
    }
}
