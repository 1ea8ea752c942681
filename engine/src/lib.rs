//! Durable runs.
//!
//! - `model`: pure data: workflows, contexts, reactors, tenants, the catalog, attempts.
//! - [`decide`]: pure functions; what happens next, given states, readings of the clock and random draws.
//! - [`Packages`]: the one trait through which the engine calls whatever holds the author's code.
//! - [`Engine`]: opens the writer, the scheduler and the reactors, and ends them.
//! - [`EngineHandle`]: starts runs, waits for them, cancels them; cheap to clone.
//! - [`Reactors`]: sources whose events fire graphs, in memory or in recorded order.
//! - [`embedded`]: the program's own inventory as a package.
//!
//! # Guarantees
//! - Exactly one committed outcome per task, at least one execution, across kill -9 at any moment.
//! - What [`EngineHandle::start`] acknowledged is on disk.
//! - A run stays on the digest it started on, retries included.
//! - Open runs that nothing executes take about [`Options::max_cached_bytes`] of memory at most.
//!
//! # Assumptions
//! - The clock may jump; a jump moves due times and never loses or doubles an outcome.

mod backoff;
pub mod clock;
pub mod decide;
pub mod embedded;
mod engine;
mod error;
mod handle;
mod model;
mod options;
mod port;
mod reactors;
mod report;
mod requests;
mod retention;
mod streams;
mod sync;
mod triggers;
mod turns;
mod waiting;
mod writer;

pub use backoff::Backoff;
pub use clock::{Clock, Rng};
pub use engine::Engine;
pub use error::{Error, suggestion};
pub use futures_util::future::BoxFuture;
pub use handle::{EngineHandle, StartRequest};
pub use model::attempt::{Attempt, AttemptFailure, AttemptOutcome, LeaseId};
pub use model::catalog::{Catalog, TriggerDef, TriggerWhen, subscriptions, triggers};
pub use model::context::{ContextMap, Patch};
pub use model::definition::{DefinitionError, TaskDef, WorkflowDef, WorkflowKey, definitions};
pub use model::param::{ParamDef, Schema};
pub use model::reactor_def::{
    AccumulatorDef, AccumulatorKind, Criteria, GraphDef, InputStrategy, ReactorDef, SourceDef, StreamDef,
    Subscription, graphs, reactors as reactor_defs,
};
pub use model::retention::{Keep, Retention};
pub use model::tenancy::PackageTenants;
pub use model::typed::json_of;
pub use options::{Options, Resume};
pub use port::graph_calls::{GraphCalls, GraphJob, GraphRunner, Outputs};
pub use port::packages::{AttemptReports, Packages, PollOutcome, Refused};
pub use port::wire::{POLL_DEADLINE_MS, read_poll, read_reply, start_request};
pub use reactors::Reactors;
pub use reactors::status::{GraphStatus, Health, ReactorStatus, SourceStatus};
pub use report::{AttemptReport, RunReport, TaskReport};
pub use requests::StartInput;
pub use retention::{Pruned, prune};
pub use streams::{
    EVENT_STREAMS, EventStream, OpenedStream, StreamError, StreamEvent, StreamKind, StreamOpening,
};
pub use waiting::note_waiting_runs;
pub use writer::command::Started;
pub use writer::effects::ProgressEvent;
