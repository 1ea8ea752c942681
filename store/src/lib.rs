//! The database.
//!
//! One statement text and one Rust body for SQLite and PostgreSQL, through `sqlx::Any`. One module per
//! aggregate holds its statements; every row is read into a private struct and turned into the domain's
//! type, so that a bad row is an error that names its table, column and key.
//!
//! # Guarantees
//! - A function that takes a transaction changes nothing unless the caller commits it.
//! - Updates of a state carry the state they expect; the affected rows are what they return.
//! - On PostgreSQL a statement fails when a part of its answer takes longer than a limit; migrations and VACUUM have none.
//!
//! # Assumptions
//! - There is one host: [`Store::open`] holds a lock file on SQLite, and a session's lock on PostgreSQL, that make a
//!   second one fail.

mod attempts;
mod batch;
mod check;
mod claims;
mod dead_letters;
mod error;
mod events;
mod followed;
mod generations;
mod hosts;
mod ids;
pub mod iso;
mod keys;
mod lease;
mod lock;
mod open;
mod overrides;
mod packages;
mod reactor_commands;
mod reactors;
mod registry_files;
mod requests;
mod retention;
mod row;
mod runs;
mod schedules;
mod statement_limit;
mod tasks;
mod text;
mod text_enum;
mod tx;
mod verdicts;

pub use attempts::{AttemptResult, AttemptRow, NewAttempt};
pub use check::CheckReport;
pub use claims::{RecordedClaims, Resolution, Success, TaskUpdate};
pub use dead_letters::DeadLetter;
pub use error::{Error, UnknownWord};
pub use events::{
    ConditionKind, ConditionRow, ConditionStatus, EventKind, EventRow, NewCondition, NewEvent, Subject,
};
pub use followed::FollowedPackage;
pub use generations::{GenerationRow, GenerationState, NewGeneration};
pub use hosts::HostRow;
pub use ids::{DeadLetterId, FencingToken, GenerationId, HostId, QueueId, RunId};
pub use keys::TaskKey;
pub use lease::{Claim, Lease, Losses};
pub use longshore_workflow::names::{Digest, PackageName, TenantId};
pub use open::{Access, Store, Tx};
pub use overrides::{Followed, Override, OverrideKind, PassInputs};
pub use packages::{ArtifactRow, EntryKind, EntryRow, NewArtifact, PackageRow, PackageState};
pub use reactor_commands::{CommandAnswer, CommandClass, CommandRow, NewCommand, ReactorCommand};
pub use reactors::{InputRow, OutputRow, PositionRow, ReactorRow, StatusRow};
pub use registry_files::{ARCHIVE_CHUNK, RegistryDocument, RegistryFiles};
pub use requests::{NewRequest, RequestAnswer, RequestKind, RequestOutcome, RequestRow};
pub use retention::{Log, RunAge, RunPage};
pub use runs::{EndedRun, NewRun, Recorded, RunCounts, RunFilter, RunRow, RunState};
pub use schedules::ScheduleRow;
pub use tasks::{NewTask, RunScope, TaskRow, TaskState};
pub use text::{clip, error_chain};
pub use verdicts::{Verdict, VerdictRow};
