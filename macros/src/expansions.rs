//! The expansions of the macros, one snapshot per feature. `INSTA_UPDATE=always cargo test -p longshore-macros` records
//! them anew; read the difference before committing it.

use crate::{accumulator, graph, reactor, task, trigger, workflow};
use insta::assert_snapshot;
use proc_macro2::TokenStream;
use quote::quote;

fn pretty(tokens: TokenStream) -> String {
    let file = syn::parse2(tokens.clone());
    prettyplease::unparse(&file.unwrap_or_else(|error| panic!("{error}: {tokens}")))
}

#[test]
fn a_task_with_everything() {
    let args = quote! {
        id = "load", dependencies = ["fetch"], retry_attempts = 5, retry_backoff = "fixed", retry_delay_ms = 10,
        retry_condition = "transient", retry_jitter = false,
        trigger_rules = any(task_success("fetch"), context_value("force", equals, true)),
        on_success = told, on_failure = crate::hooks::failed
    };
    let item = quote! {
        /// what: loads
        /// why: because
        pub async fn load(context: &mut Context<Value>, handle: &mut TaskHandle) -> Result<(), MyError> { Ok(()) }
    };
    assert_snapshot!(pretty(task::macro_impl(args, item)));
}

#[test]
fn a_task_that_is_not_async_and_calls_a_graph() {
    let args = quote!(invokes = computation_graph("score"), post_invocation = after);
    let item = quote!(
        fn rate(c: &mut Context<Value>) -> Result<(), TaskError> {
            Ok(())
        }
    );
    assert_snapshot!(pretty(task::macro_impl(args, item)));
}

#[test]
fn a_workflow_with_params_and_secrets() {
    let args = quote! {
        name = "report", description = "d", tenant = "acme", triggers = ["nightly"],
        params(city: String, days: Option<u32> = Some(7)), secrets(token)
    };
    let item = quote! {
        pub mod report {
            #[task]
            fn only(c: &mut Context<Value>) -> Result<(), TaskError> { Ok(()) }
        }
    };
    assert_snapshot!(pretty(workflow::macro_impl(args, item)));
}

#[test]
fn triggers_of_three_kinds() {
    let cron = trigger::macro_impl(
        quote!(on = "report", cron = "0 6 * * *", timezone = "Europe/Berlin"),
        quote!(
            async fn nightly() {}
        ),
    );
    let poll = trigger::macro_impl(
        quote!(on = "report", poll_interval = "5s", allow_concurrent = true, name = "looks"),
        quote!(
            async fn look() -> Result<TriggerResult, TriggerError> {
                Ok(TriggerResult::Skip)
            }
        ),
    );
    let fired = trigger::macro_impl(
        quote!(on = "report", reactor = "market", when = context_value("quote.size", greater_than, 10)),
        quote!(
            async fn large() {}
        ),
    );
    assert_snapshot!(pretty(quote!(#cron #poll #fired)));
}

#[test]
fn a_reactor() {
    let args = quote! {
        name = "market", accumulators = [book, prices], criteria = when_all(book, prices),
        input_strategy = "sequential"
    };
    assert_snapshot!(pretty(reactor::macro_impl(
        args,
        quote!(
            pub struct Market;
        )
    )));
}

#[test]
fn a_linear_graph_that_fans_out_and_in() {
    let args = quote! {
        trigger = reactor("market"),
        graph = { entry(book, prices) -> left -> join, entry -> right, right -> join }
    };
    let item = quote! {
        pub mod diamond {
            pub async fn entry(book: Option<&Book>, prices: Option<&f64>) -> f64 { 1.0 }
            pub async fn left(v: &f64) -> f64 { *v }
            #[node(blocking)]
            pub fn right(v: &f64) -> f64 { *v }
            pub async fn join(l: &f64, r: &f64) -> f64 { l + r }
        }
    };
    assert_snapshot!(pretty(graph::macro_impl(args, item)));
}

#[test]
fn a_graph_that_routes_by_variant() {
    let args = quote! {
        trigger = reactor("market"),
        graph = { decide(book) => { Buy -> order, Sell -> order, Wait -> note } }
    };
    let item = quote! {
        mod routing {
            pub async fn decide(book: Option<&Book>) -> crate::Decision<u8> { todo() }
            pub async fn order(v: &f64) -> f64 { *v }
            pub async fn note(v: &String) {}
        }
    };
    assert_snapshot!(pretty(graph::macro_impl(args, item)));
}

#[test]
fn a_graph_that_tasks_call() {
    let args = quote!(graph = { entry -> squared });
    let item = quote! {
        pub mod squares {
            pub async fn entry(context: &Context<Value>) -> i64 { 2 }
            #[node(blocking)]
            pub async fn squared(n: &i64) -> i64 { n * n }
        }
    };
    assert_snapshot!(pretty(graph::macro_impl(args, item)));
}

#[test]
fn accumulators_of_five_kinds() {
    use accumulator::Kind;
    let one = |kind, args, item| accumulator::macro_impl(kind, args, item);
    let passthrough = one(
        Kind::Passthrough,
        quote!(),
        quote!(
            pub fn prices(event: Raw) -> f64 {
                event.0
            }
        ),
    );
    let polling = one(
        Kind::Polling,
        quote!(interval = "2s"),
        quote!(
            async fn polled() -> Option<u32> {
                None
            }
        ),
    );
    let batch = one(
        Kind::Batch,
        quote!(flush_interval = "1s", max_buffer_size = 10),
        quote!(
            fn gathered(events: Vec<Raw>) -> Option<f64> {
                None
            }
        ),
    );
    let stream = one(
        Kind::Stream,
        quote!(type = "file", topic = "t", group = "g", state = Seen),
        quote!(
            fn streamed(event: Raw, seen: &mut Seen) -> f64 {
                0.0
            }
        ),
    );
    let state = one(
        Kind::State,
        quote!(capacity = -1),
        quote!(
            pub fn history() -> VecDeque<f64>;
        ),
    );
    assert_snapshot!(pretty(quote!(#passthrough #polling #batch #stream #state)));
}
