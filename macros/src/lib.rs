//! The attribute macros of Longshore.
//!
//! Every macro goes through the same four steps, one file each: `parse` reads tokens into raw arguments,
//! `model` turns those into what the author meant, `check` finds what cannot work, `expand` writes code.
//! Errors are collected on the way, each on its own token, and the item is re-emitted beside them, so
//! that one mistake does not bury the rest. Generated code is a shim into `longshore_workflow::private`.

mod accumulator;
mod args;
mod diag;
mod docs;
#[cfg(test)]
mod expansions;
mod graph;
mod paths;
mod reactor;
mod rule;
mod task;
mod trigger;
mod workflow;

use proc_macro::TokenStream;

/// Makes a function a task.
///
/// ```
/// use longshore_workflow::{Context, TaskError, task};
///
/// /// what: reads the measurements
/// /// why: everything else works on them
/// #[task(id = "read", dependencies = ["fetch"], retry_attempts = 5)]
/// async fn read(context: &mut Context<serde_json::Value>) -> Result<(), TaskError> {
///     context.insert_as("rows", 1461)
/// }
/// # fn main() {}
/// ```
///
/// | argument | type | default |
/// |---|---|---|
/// | `id` | string | the function's name |
/// | `dependencies` | array of task ids | `[]` |
/// | `retry_attempts` | attempts in all | 3 |
/// | `retry_backoff` | `"fixed"`, `"linear"`, `"exponential"` | `"exponential"` |
/// | `retry_delay_ms`, `retry_max_delay_ms` | integer | 1000, 30000 |
/// | `retry_condition` | `"never"`, `"all"`, `"transient"`, or comma-separated patterns | `"all"` |
/// | `retry_jitter` | bool | `true` |
/// | `trigger_rules` | rule expression | no dependency failed |
/// | `on_success`, `on_failure` | path of an async callback | none |
/// | `invokes` | `computation_graph("name")` of a graph without a reactor | none |
/// | `post_invocation` | path of an async callback on `&mut Context<Value>`, after the graph | none |
///
/// Rules: `always`, `task_success("id")`, `task_failed("id")`, `task_skipped("id")`,
/// `context_value("key", operator, literal)`, nested by `all(..)`, `any(..)`, `none(..)`.
#[proc_macro_attribute]
pub fn task(args: TokenStream, item: TokenStream) -> TokenStream {
    task::macro_impl(args.into(), item.into()).into()
}

/// Makes a module of tasks a workflow.
///
/// `name` (required), `description`, `author`, `tenant`, `triggers = ["name", ..]`,
/// `params(name: Type [= default], ..)`, `secrets(name, ..)`.
///
/// A name in `triggers` means a trigger of the workflow's tenant, or else of `public`, whatever package has it.
///
/// Duplicate ids, unknown dependencies and cycles among the module's tasks are compile errors.
#[proc_macro_attribute]
pub fn workflow(args: TokenStream, item: TokenStream) -> TokenStream {
    workflow::macro_impl(args.into(), item.into()).into()
}

/// Makes an async function a trigger.
///
/// `on = "workflow"` (required); exactly one of `poll_interval = "100ms|5s|2m|1h"`,
/// `cron = "5 to 7 fields"` and `reactor = "name"`; `timezone` (IANA name, cron only), `when = rule` (reactor
/// only: a rule over the firing's outputs, `terminal` or `terminal.field`; they are what the run starts with),
/// `allow_concurrent`, `name`. It is of the tenant of the workflow that it starts.
#[proc_macro_attribute]
pub fn trigger(args: TokenStream, item: TokenStream) -> TokenStream {
    trigger::macro_impl(args.into(), item.into()).into()
}

/// Makes a unit struct a reactor: sources, and when their news fires the graphs that are bound to it. It is of the tenant that
/// all workflows of the package share, or else of `public`.
///
/// ```
/// #[longshore_workflow::reactor(name = "market", accumulators = [book, prices], criteria = when_any(book, prices))]
/// pub struct Market;
/// # fn main() {}
/// ```
///
/// | argument | type | default |
/// |---|---|---|
/// | `name` | string | required |
/// | `accumulators` | array of source names | required |
/// | `criteria` | `when_any(source, ..)` or `when_all(source, ..)` | required |
/// | `input_strategy` | `"latest"`, or `"sequential"`: ordered, durable, nothing lost | `"latest"` |
///
/// A source is fed by the accumulator function of its name, and passed through when there is none.
#[proc_macro_attribute]
pub fn reactor(args: TokenStream, item: TokenStream) -> TokenStream {
    reactor::macro_impl(args.into(), item.into()).into()
}

/// Makes a module of functions a computation graph.
///
/// ```
/// use longshore_workflow::{InputCache, computation_graph, serialize};
///
/// #[computation_graph(trigger = reactor("market"), graph = { decide(price) => { Buy -> order, Wait -> note } })]
/// pub mod pricing {
///     pub enum Decision { Buy(f64), Wait(String) }
///     pub async fn decide(price: Option<&f64>) -> Decision {
///         match price {
///             Some(price) if *price < 10.0 => Decision::Buy(*price),
///             _ => Decision::Wait("too dear".into()),
///         }
///     }
///     pub async fn order(price: &f64) -> f64 { *price }
///     pub async fn note(why: &String) -> String { why.clone() }
/// }
///
/// # async fn direct() {
/// let mut cache = InputCache::new();
/// cache.update("price".into(), serialize(&9.5).unwrap());
/// assert!(pricing_compiled(&cache).await.is_completed());
/// # }
/// # fn main() {}
/// ```
///
/// Statements: `node(source, ..) -> next`, chains `a -> b -> c`, routes `node => { Variant -> next, .. }`. Entry
/// parameters are `Option<&T>` for each source, then `&T` for each upstream. Every function of the module is a
/// node. Without `trigger` the graph is called by tasks, and its entry takes `&Context<Value>`.
#[proc_macro_attribute]
pub fn computation_graph(args: TokenStream, item: TokenStream) -> TokenStream {
    graph::macro_impl(args.into(), item.into()).into()
}

/// Feeds the source of its name with what the function makes of each event: `fn name(event: Event) -> Out`.
#[proc_macro_attribute]
pub fn passthrough_accumulator(args: TokenStream, item: TokenStream) -> TokenStream {
    accumulator::macro_impl(accumulator::Kind::Passthrough, args.into(), item.into()).into()
}

/// Feeds the source of its name by asking again and again: `async fn name() -> Option<Out>`, every
/// `interval = "5s"`.
#[proc_macro_attribute]
pub fn polling_accumulator(args: TokenStream, item: TokenStream) -> TokenStream {
    accumulator::macro_impl(accumulator::Kind::Polling, args.into(), item.into()).into()
}

/// Feeds the source of its name with what the function makes of many events:
/// `fn name(events: Vec<Event>) -> Option<Out>`, every `flush_interval = "10s"`, at `max_buffer_size = 1000`
/// events, and when the host stops.
#[proc_macro_attribute]
pub fn batch_accumulator(args: TokenStream, item: TokenStream) -> TokenStream {
    accumulator::macro_impl(accumulator::Kind::Batch, args.into(), item.into()).into()
}

/// Feeds the source of its name from a stream: `fn name(event: Event) -> Out`.
///
/// `type = ".."` is the kind of stream (`file`, or one that a program adds), `topic` what to read of it, `group`
/// who reads. With `state = S` the function is `fn name(event: Event, state: &mut S) -> Out`, and the state is
/// kept by the host.
#[proc_macro_attribute]
pub fn stream_accumulator(args: TokenStream, item: TokenStream) -> TokenStream {
    accumulator::macro_impl(accumulator::Kind::Stream, args.into(), item.into()).into()
}

/// Keeps the last `capacity = 100` values of the source of its name (`-1`: all of them), and feeds it with all
/// of those: `fn name() -> VecDeque<T>;`. A terminal of the same name feeds it too, without firing.
#[proc_macro_attribute]
pub fn state_accumulator(args: TokenStream, item: TokenStream) -> TokenStream {
    accumulator::macro_impl(accumulator::Kind::State, args.into(), item.into()).into()
}
