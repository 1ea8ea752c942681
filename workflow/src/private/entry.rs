//! Inventory entries: what the macros submit and the shell walks.

use crate::context::Context;
use crate::error::TaskError;
use crate::graph::{GraphError, InputCache};
use crate::handle::TaskHandle;
use crate::retry::{BackoffStrategy, RetryCondition, RetryPolicy};
use crate::trigger::{TriggerError, TriggerResult};
use serde_json::Value;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

/// The future of one call into author code.
pub type EntryFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Runs a task. The handle is there exactly when [`TaskEntry::requires_handle`] says so.
pub type TaskRun =
    for<'a> fn(&'a mut Context<Value>, Option<&'a mut TaskHandle>) -> EntryFuture<'a, Result<(), TaskError>>;

/// Calls the callback of a task that succeeded. The text of its failure, if it failed.
pub type SuccessCallback = for<'a> fn(&'a Context<Value>) -> EntryFuture<'a, Option<String>>;

/// Calls the callback of a task that failed. The text of its failure, if it failed.
pub type FailureCallback = for<'a> fn(&'a TaskError, &'a Context<Value>) -> EntryFuture<'a, Option<String>>;

/// A task.
#[derive(Debug)]
pub struct TaskEntry {
    /// `module_path!()` of the task: a task belongs to the workflow of the same module.
    pub module: &'static str,
    /// The id.
    pub id: &'static str,
    /// Ids of the tasks it waits for.
    pub dependencies: &'static [&'static str],
    /// Its retry policy.
    pub retry: RetryEntry<'static>,
    /// Its rule as JSON, empty for the default.
    pub rule: &'static str,
    /// Its description, from its doc comment.
    pub what: &'static str,
    /// Why, from its doc comment.
    pub why: &'static str,
    /// Digest of signature and body.
    pub fingerprint: &'static str,
    /// True when it takes a [`TaskHandle`].
    pub requires_handle: bool,
    /// The trigger-less graph it calls after its body, or empty.
    pub invokes: &'static str,
    /// Runs it.
    pub run: TaskRun,
    /// Called once it has succeeded.
    pub on_success: Option<SuccessCallback>,
    /// Called once it has failed for good.
    pub on_failure: Option<FailureCallback>,
}

/// A retry policy that can stand in a static.
#[derive(Debug, Clone, Copy)]
pub struct RetryEntry<'s> {
    /// Attempts in all.
    pub attempts: u32,
    /// `fixed`, `linear` or `exponential`.
    pub backoff: &'s str,
    /// The first delay.
    pub delay_ms: u64,
    /// The longest delay.
    pub max_delay_ms: u64,
    /// `never`, `all`, `transient`, or comma-separated patterns.
    pub condition: &'s str,
    /// True when delays are spread.
    pub jitter: bool,
}

impl RetryEntry<'_> {
    /// The policy it stands for.
    pub fn policy(&self) -> RetryPolicy {
        let strategy = match self.backoff {
            "fixed" => BackoffStrategy::Fixed,
            "linear" => BackoffStrategy::Linear { multiplier: 1.0 },
            _ => BackoffStrategy::Exponential { base: 2.0, multiplier: 1.0 },
        };
        RetryPolicy::builder()
            .max_attempts(i32::try_from(self.attempts).unwrap_or(i32::MAX))
            .backoff_strategy(strategy)
            .initial_delay(Duration::from_millis(self.delay_ms))
            .max_delay(Duration::from_millis(self.max_delay_ms))
            .with_jitter(self.jitter)
            .retry_condition(retry_condition(self.condition))
            .build()
    }
}

/// The condition that `retry_condition = ".."` stands for.
fn retry_condition(text: &str) -> RetryCondition {
    match text {
        "never" => RetryCondition::Never,
        "all" => RetryCondition::AllErrors,
        "transient" => RetryCondition::TransientOnly,
        patterns => RetryCondition::ErrorPattern {
            patterns: patterns.split(',').map(|p| p.trim().to_owned()).filter(|p| !p.is_empty()).collect(),
        },
    }
}

/// A workflow.
#[derive(Debug)]
pub struct WorkflowEntry {
    /// `module_path!()` of the module it stands on.
    pub module: &'static str,
    /// The name.
    pub name: &'static str,
    /// The tenant.
    pub tenant: &'static str,
    /// Its purpose.
    pub description: &'static str,
    /// Its author.
    pub author: &'static str,
    /// Names of triggers it declares itself started by.
    pub triggers: &'static [&'static str],
    /// Its inputs.
    pub params: &'static [ParamEntry],
    /// Names of secrets it reads.
    pub secrets: &'static [&'static str],
}

/// An execute-time input of a workflow.
#[derive(Debug)]
pub struct ParamEntry {
    /// The context key it arrives under.
    pub name: &'static str,
    /// Its Rust type as written.
    pub type_name: &'static str,
    /// The default as written, empty when the input is required.
    pub default_text: &'static str,
    /// The default's value.
    pub default: Option<fn() -> Value>,
    /// Its JSON Schema.
    pub schema: fn() -> Value,
}

/// A trigger.
#[derive(Debug)]
pub struct TriggerEntry {
    /// `module_path!()` of the trigger.
    pub module: &'static str,
    /// The name.
    pub name: &'static str,
    /// The workflow it starts.
    pub workflow: &'static str,
    /// True when it fires while an earlier run of its own is still going.
    pub allow_concurrent: bool,
    /// When it fires.
    pub kind: TriggerKind,
}

/// When a trigger fires.
#[derive(Debug, Clone, Copy)]
pub enum TriggerKind {
    /// By the calendar.
    Cron {
        /// Five to seven fields.
        expression: &'static str,
        /// IANA name.
        timezone: &'static str,
    },
    /// When a poll says so.
    Poll {
        /// Between polls.
        interval_ms: u64,
        /// Looks.
        poll: fn() -> EntryFuture<'static, Result<TriggerResult, TriggerError>>,
    },
    /// When a reactor fires.
    Reactor {
        /// The reactor.
        reactor: &'static str,
        /// A rule over the firing's outputs as JSON, empty for every firing.
        when: &'static str,
    },
}

/// A reactor.
#[derive(Debug)]
pub struct ReactorEntry {
    /// `module_path!()` of the reactor: its accumulators are looked for there first.
    pub module: &'static str,
    /// The name.
    pub name: &'static str,
    /// Its sources, in order.
    pub accumulators: &'static [&'static str],
    /// `when_any` or `when_all`.
    pub criteria: &'static str,
    /// The sources the criteria look at.
    pub criteria_sources: &'static [&'static str],
    /// `latest` or `sequential`.
    pub input_strategy: &'static str,
}

/// The accumulator of a source: it turns events into the boundary value.
#[derive(Debug)]
pub struct AccumulatorEntry {
    /// `module_path!()` of the function.
    pub module: &'static str,
    /// The source's name: the function's.
    pub name: &'static str,
    /// `passthrough`, `polling`, `batch`, `stream` or `state`.
    pub kind: &'static str,
    /// Its arguments as JSON.
    pub config: &'static str,
    /// Calls it.
    pub call: AccumulatorCall,
}

/// An event that an accumulator could not take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventError {
    /// Its place among the events of the call.
    pub at: usize,
    /// The path of the field, `.` for the whole event.
    pub field: String,
    /// The fault.
    pub message: String,
}

/// A boundary value, none when the accumulator has nothing to say.
pub type Boundary = Option<Vec<u8>>;

/// A new state and a boundary value.
pub type StateAndBoundary = (Vec<u8>, Vec<u8>);

/// The ways to call an accumulator; events and boundary values are MessagePack.
#[derive(Debug, Clone, Copy)]
pub enum AccumulatorCall {
    /// With one event.
    Event(fn(&[u8]) -> Result<Vec<u8>, EventError>),
    /// With its state (empty at first) and one event; gives the new state and the boundary value.
    Stateful(fn(&[u8], &[u8]) -> Result<StateAndBoundary, EventError>),
    /// With many events.
    Batch(fn(&[&[u8]]) -> Result<Boundary, EventError>),
    /// With nothing, again and again.
    Poll(fn() -> EntryFuture<'static, Result<Boundary, EventError>>),
}

/// The bytes of each terminal's value, by terminal.
pub type GraphOutputs = Result<Vec<(&'static str, Vec<u8>)>, GraphError>;

/// The ways to call a graph.
#[derive(Debug, Clone, Copy)]
pub enum GraphCall {
    /// With the boundary values of the reactor's sources.
    Cache(fn(&InputCache) -> EntryFuture<'_, GraphOutputs>),
    /// With the context of the task that calls it.
    Context(fn(&Context<Value>) -> EntryFuture<'_, GraphOutputs>),
}

/// A computation graph.
#[derive(Debug)]
pub struct GraphEntry {
    /// The name.
    pub name: &'static str,
    /// The reactor it is bound to, empty for a trigger-less graph.
    pub reactor: &'static str,
    /// Node names.
    pub nodes: &'static [&'static str],
    /// Edges as (from, to, variant or empty).
    pub edges: &'static [(&'static str, &'static str, &'static str)],
    /// Names of the nodes without outgoing edges.
    pub terminals: &'static [&'static str],
    /// (node, source), for every source that a node takes.
    pub inputs: &'static [(&'static str, &'static str)],
    /// Calls it.
    pub call: GraphCall,
}

inventory::collect!(TaskEntry);
inventory::collect!(WorkflowEntry);
inventory::collect!(TriggerEntry);
inventory::collect!(ReactorEntry);
inventory::collect!(AccumulatorEntry);
inventory::collect!(GraphEntry);
