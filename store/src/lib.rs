//! The database.
//!
//! One statement text and one Rust body for SQLite and PostgreSQL, through `sqlx::Any`. One module per
//! aggregate holds its statements; every row is read into a private struct and turned into the domain's
//! type, so that a bad row is an error that names its table, column and key.
//!
//! # Guarantees
//! - A function that takes a transaction changes nothing unless the caller commits it.
//! - Updates of a state carry the state they expect; the affected rows are what they return.
//!
//! # Assumptions
//! - There is one host: [`Store::open`] holds a lock file on SQLite, and a session's lock on PostgreSQL, that make a
//!   second one fail.

mod attempts;
mod batch;
mod claims;
mod error;
mod events;
mod generations;
mod hosts;
mod ids;
mod lock;
mod open;
mod packages;
mod reactors;
mod registry;
mod runs;
mod schedules;
mod tasks;
mod words;

pub use attempts::{AttemptRow, NewAttempt};
pub use claims::{Claim, Claimed, Resolution, Success, TaskUpdate};
pub use error::Error;
pub use events::{ConditionKind, ConditionRow, ConditionStatus, EventRow, NewCondition, NewEvent};
pub use generations::{GenerationRow, GenerationState, NewGeneration};
pub use ids::{GenerationId, HostId, RunId};
pub use open::{Access, Dialect, Store, Tx};
pub use packages::{ArtifactRow, EntryRow, NewArtifact, PackageRow, PackageState};
pub use reactors::{
    CommandRow, InputRow, OutputRow, PositionRow, ReactorCommand, ReactorRow, RejectRow, StatusRow,
};
pub use registry::{Outlook, RegistryRow, Stance};
pub use runs::{NewRun, Recorded, RunCounts, RunRow, RunState};
pub use schedules::ScheduleRow;
pub use tasks::{NewTask, TaskKey, TaskRow, TaskState};
pub use words::UnknownWord;
