//! Code: the function as written, and beside it its entry and its static record.

use super::model::TaskModel;
use proc_macro2::TokenStream;
use quote::{format_ident, quote, quote_spanned};
use syn::spanned::Spanned;
use syn::visit_mut::VisitMut;
use syn::{ItemFn, Lifetime, LitStr, PatType, Type, TypeReference};

pub(super) fn expand(model: &TaskModel, function: &ItemFn, private: &TokenStream) -> TokenStream {
    let entry = entry(model, private);
    let run = run(model, function, private);
    let callbacks = callbacks(model, private);
    let checks = type_checks(model, private);
    let record = record(model, private);
    quote! {
        #function
        #[doc(hidden)]
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
            let ::core::option::Option::Some(__longshore_handle) = __longshore_handle else {
                return ::core::result::Result::Err(#private::missing_handle(#id));
            };
        }
    });
    let argument = model.handle.is_some().then(|| quote!(, __longshore_handle));
    let wait = function.sig.asyncness.is_some().then(|| quote!(.await));
    let graph = graph_call(model, private);
    let handle_name = if model.handle.is_some() { quote!(__longshore_handle) } else { quote!(_) };
    quote! {
        fn __longshore_run<'a>(
            __longshore_context: &'a mut #private::Context,
            #handle_name: ::core::option::Option<&'a mut #private::TaskHandle>,
        ) -> #private::EntryFuture<'a, ::core::result::Result<(), #private::TaskError>> {
            ::std::boxed::Box::pin(async move {
                #handle
                let __longshore_result: ::core::result::Result<(), #private::TaskError> =
                    #name(&mut *__longshore_context #argument)#wait
                        .map_err(|__longshore_error| #private::task_error(__longshore_error, #id));
                #graph
                __longshore_result
            })
        }
    }
}

/// What is called when the task has ended: after it, and not as a part of it.
fn callbacks(model: &TaskModel, private: &TokenStream) -> TokenStream {
    let id = &model.id.text;
    let outcome = quote!(#private::EntryFuture<'a, ::core::option::Option<::std::string::String>>);
    let on_success = model.on_success.as_ref().map(|callback| {
        let call = quote_spanned!(callback.span()=> #callback(#id, __longshore_context).await);
        quote! {
            fn __longshore_on_success<'a>(__longshore_context: &'a #private::Context) -> #outcome {
                ::std::boxed::Box::pin(async move { #private::failure_of_callback(#call) })
            }
        }
    });
    let on_failure = model.on_failure.as_ref().map(|callback| {
        let call =
            quote_spanned!(callback.span()=> #callback(#id, __longshore_error, __longshore_context).await);
        quote! {
            fn __longshore_on_failure<'a>(
                __longshore_error: &'a #private::TaskError,
                __longshore_context: &'a #private::Context,
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
        let call = quote_spanned!(callback.span()=> #callback(&mut *__longshore_context).await);
        quote! {
            let __longshore_result = match __longshore_result {
                ::core::result::Result::Ok(()) => #private::after_graph(#id, #call),
                __longshore_failed => __longshore_failed,
            };
        }
    });
    Some(quote! {
        let __longshore_result = match __longshore_result {
            ::core::result::Result::Ok(()) => #private::invoke(#id, #graph, &mut *__longshore_context).await,
            __longshore_failed => __longshore_failed,
        };
        #after
    })
}

/// A function per parameter whose only purpose is that a wrong type is an error at that parameter.
fn type_checks(model: &TaskModel, private: &TokenStream) -> TokenStream {
    let check = |param: &PatType, name: &str, expected: TokenStream| {
        let name = syn::Ident::new(name, proc_macro2::Span::call_site());
        let ty = without_lifetimes(&param.ty);
        let body = quote_spanned!(ty.span()=> __longshore_given);
        quote! {
            fn #name(__longshore_given: &mut #expected) -> #ty { #body }
            // Used, so that nobody has to allow that it is not.
            let _ = #name;
        }
    };
    let context = model.context.as_ref().map(|p| check(p, "__longshore_context", quote!(#private::Context)));
    let handle = model.handle.as_ref().map(|p| check(p, "__longshore_handle", quote!(#private::TaskHandle)));
    quote!(#context #handle)
}

/// A type whose lifetimes are left out: those of the function are not known where the type is checked.
fn without_lifetimes(ty: &Type) -> Type {
    struct LeaveOut;
    impl VisitMut for LeaveOut {
        fn visit_type_reference_mut(&mut self, reference: &mut TypeReference) {
            reference.lifetime = None;
            syn::visit_mut::visit_type_reference_mut(self, reference);
        }
        fn visit_lifetime_mut(&mut self, lifetime: &mut Lifetime) {
            if lifetime.ident != "static" {
                *lifetime = Lifetime::new("'_", lifetime.span());
            }
        }
    }
    let mut ty = ty.clone();
    LeaveOut.visit_type_mut(&mut ty);
    ty
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
