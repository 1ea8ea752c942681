//! Decisions: pure functions of states, clock readings and random draws.

mod loss;
mod params;
mod readiness;
mod retention;
mod retry;
mod run_end;
mod schedule;

pub use loss::{after_loss, is_poison, pause_after_loss, runs_alone, suspect};
pub use params::start_context;
pub use readiness::{Readiness, holds_over, readiness};
pub use retention::{Sweep, before};
pub use retry::{AfterFailure, after_failure};
pub use run_end::{RunVerdict, TaskEnd, run_end};
pub use schedule::{BadSchedule, Fire, MAX_COUNTED, Schedule};
