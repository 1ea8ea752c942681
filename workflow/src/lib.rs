//! The types a workflow author writes against.
//!
//! A crate that uses them is an ordinary library: its entries are collected in the binary's own
//! inventory (embedded mode). With `longshore_workflow_plugin::package!()` and the feature
//! `packaged`, the same source becomes a package that a host loads.
//!
//! No I/O and no runtime of its own: what needs one (waiting, slots) arrives through [`TaskHandle`].

mod asset;
mod context;
mod error;
mod graph;
mod handle;
pub mod names;
mod namespace;
pub mod private;
mod retry;
mod rule;
mod task;
mod trigger;

pub use asset::AssetError;
pub use context::{Context, MAX_CONTEXT_BYTES};
pub use error::{CheckpointError, ContextError, Hinted, RetryHint, TaskError};
pub use graph::{GraphError, GraphResult, InputCache, SourceName, Terminal, deserialize, serialize};
pub use handle::TaskHandle;
#[cfg(feature = "macros")]
pub use longshore_macros::{
    batch_accumulator, computation_graph, passthrough_accumulator, polling_accumulator, reactor,
    state_accumulator, stream_accumulator, task, trigger, workflow,
};
pub use namespace::{TaskNamespace, parse_namespace};
pub use retry::{BackoffStrategy, RetryCondition, RetryPolicy, RetryPolicyBuilder};
pub use rule::{Rule, RuleOperator};
pub use task::Task;
pub use trigger::{Trigger, TriggerError, TriggerResult};
