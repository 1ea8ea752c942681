//! Items that generated code names. Not a public surface: it changes with the macros, in the same release.
#![doc(hidden)]

mod entry;
mod graph;
mod record;
pub mod wire;

pub use crate::asset::{asset, set_assets};
pub use crate::context::{Context, FrameEntry, FrameError, FrameHeader, read_frame, write_frame};
pub use crate::error::TaskError;
pub use crate::graph::{GraphError, GraphResult, InputCache};
pub use crate::handle::{Slot, TaskHandle};
pub use chrono;
pub use entry::{
    AccumulatorCall, AccumulatorEntry, Boundary, EntryFuture, EventError, FailureCallback, GraphCall,
    GraphEntry, GraphOutputs, ParamEntry, ReactorEntry, RetryEntry, StateAndBoundary, SuccessCallback,
    TaskEntry, TaskRun, TriggerEntry, TriggerKind, WorkflowEntry,
};
pub use graph::{
    AnyOutputs, BlockingHook, ByteOutputs, Terminals, after_graph, blocking, boundary, event, invoke,
    maybe_boundary, set_blocking, state, wait, wait_for_event,
};
pub use inventory;
pub use record::{RECORD_MAGIC, RecordKind, encode, encoded_len};
pub use schemars;
pub use serde_json;

use serde_json::Value;

/// A type that a param may have.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the type of a param: it has no JSON Schema of schemars 1",
    label = "derive `JsonSchema` for it",
    note = "add `schemars = \"1\"` to the dependencies and `#[derive(schemars::JsonSchema)]` to the type; what schemars 0.8 \
            derives is another trait of the same name"
)]
pub trait ParamType: schemars::JsonSchema {}

#[diagnostic::do_not_recommend]
impl<T: schemars::JsonSchema> ParamType for T {}

/// The JSON Schema of a parameter's type.
pub fn schema_of<T: ParamType>() -> Value {
    schemars::schema_for!(T).to_value()
}

/// The JSON of a parameter's default. A default that does not serialize is `null`, which the host refuses.
pub fn json_of<T: serde::Serialize>(value: T) -> Value {
    serde_json::to_value(value).unwrap_or(Value::Null)
}

/// Turns whatever error a task returns into a [`TaskError`] that names the task.
pub fn task_error(error: impl Into<TaskError>, task: &str) -> TaskError {
    match error.into() {
        TaskError::ExecutionFailed { message, task_id, timestamp } if task_id.is_empty() => {
            TaskError::ExecutionFailed { message, task_id: task.to_owned(), timestamp }
        }
        TaskError::ContextError { task_id, error } if task_id == "unknown" => {
            TaskError::ContextError { task_id: task.to_owned(), error }
        }
        TaskError::Hinted(mut hinted) => {
            hinted.error = task_error(hinted.error, task);
            TaskError::Hinted(hinted)
        }
        other => other,
    }
}

/// The error of a task that takes a handle and was called without one.
pub fn missing_handle(task: &str) -> TaskError {
    TaskError::ValidationFailed { message: format!("`{task}` takes a TaskHandle, and its caller has none") }
}

/// A callback's return type: nothing, or a result.
pub trait CallbackOutcome {
    /// The error's text, if it failed.
    fn failure(self) -> Option<String>;
}

impl CallbackOutcome for () {
    fn failure(self) -> Option<String> {
        None
    }
}

impl<E: std::fmt::Display> CallbackOutcome for Result<(), E> {
    fn failure(self) -> Option<String> {
        self.err().map(|error| error.to_string())
    }
}

/// The text of a callback's failure, if it failed.
pub fn failure_of_callback(outcome: impl CallbackOutcome) -> Option<String> {
    outcome.failure()
}

/// Leaves a static record in the library's own section, when this crate is built for packages.
#[cfg(feature = "packaged")]
#[doc(hidden)]
#[macro_export]
macro_rules! __longshore_record {
    ($kind:ident, $($key:literal => $value:expr),+ $(,)?) => {
        const _: () = {
            const FIELDS: &[(&str, &str)] = &[$(($key, $value)),+];
            const KIND: $crate::private::RecordKind = $crate::private::RecordKind::$kind;
            const LEN: usize = $crate::private::encoded_len(FIELDS);
            #[used]
            #[cfg_attr(target_vendor = "apple", unsafe(link_section = "__DATA,.longshore"))]
            #[cfg_attr(not(target_vendor = "apple"), unsafe(link_section = ".longshore"))]
            static RECORD: [u8; LEN] = $crate::private::encode::<LEN>(KIND, FIELDS);
        };
    };
}

/// Without the feature `packaged` an entry leaves no static record.
#[cfg(not(feature = "packaged"))]
#[doc(hidden)]
#[macro_export]
macro_rules! __longshore_record {
    ($($tokens:tt)*) => {};
}

pub use crate::__longshore_record as record;
