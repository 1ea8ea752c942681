//! Durable runs.
//!
//! - `decide`: pure functions; what happens next, given states, readings of the clock and random draws.
//! - [`Packages`]: the one trait through which the engine calls whatever holds the author's code.
//! - [`Engine`]: starts, claims, commits, recovers.
//! - [`Reactors`]: sources whose news fire graphs, in memory or in recorded order.
//! - [`embedded`]: the program's own inventory as a package.
//!
//! # Guarantees
//! - Exactly one committed outcome per task, at least one execution, across kill -9 at any moment.
//! - What [`Engine::start`] acknowledged is on disk.
//! - A run stays on the digest it started on, retries included.
//!
//! # Assumptions
//! - The clock may jump; a jump moves due times and never loses or doubles an outcome.

mod actor;
mod context;
pub mod decide;
mod definition;
pub mod embedded;
mod engine;
mod error;
mod packages;
mod reactors;
mod report;
mod scheduler;

pub use context::{ContextMap, Patch};
pub use definition::{DefinitionError, ParamDef, TaskDef, WorkflowDef, definitions};
pub use engine::{Engine, Options, ProgressEvent, StartRequest, Started};
pub use error::Error;
pub use packages::{
    AttemptFailure, AttemptOutcome, BoxFuture, Catalog, Lease, Outcomes, Packages, PollOutcome, Refused,
    TriggerDef, TriggerWhen,
};
pub use reactors::Reactors;
pub use reactors::calls::{GraphCalls, GraphJob, GraphRunner, Outputs};
pub use reactors::def::{
    AccumulatorDef, AccumulatorKind, Criteria, GraphDef, InputStrategy, ReactorDef, SourceDef, StreamDef,
    Subscription, graphs, reactors as reactor_defs,
};
pub use reactors::status::{GraphStatus, Health, ReactorStatus, SourceStatus};
pub use reactors::streams::{
    EVENT_STREAMS, EventStream, OpenedStream, StreamError, StreamEvent, StreamKind, StreamOpening,
};
pub use report::{AttemptReport, RunReport, TaskReport};
