//! The attribute macros of Longshore.
//!
//! Every macro goes through the same four steps, one file each: `parse` reads tokens into raw arguments,
//! `model` turns those into what the author meant, `check` finds what cannot work, `expand` writes code.
//! Errors are collected on the way, each on its own token, and the item is re-emitted beside them, so
//! that one mistake does not bury the rest. Generated code is a shim into `longshore_workflow::private`.

mod args;
mod diag;
mod docs;
mod paths;
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
/// Duplicate ids, unknown dependencies and cycles among the module's tasks are compile errors.
#[proc_macro_attribute]
pub fn workflow(args: TokenStream, item: TokenStream) -> TokenStream {
    workflow::macro_impl(args.into(), item.into()).into()
}

/// Makes an async function a trigger.
///
/// `on = "workflow"` (required); exactly one of `poll_interval = "100ms|5s|2m|1h"` and
/// `cron = "5 to 7 fields"`; `timezone` (IANA name, cron only), `allow_concurrent`, `name`.
#[proc_macro_attribute]
pub fn trigger(args: TokenStream, item: TokenStream) -> TokenStream {
    trigger::macro_impl(args.into(), item.into()).into()
}
