//! Records of attempts that ended.

use super::lease_table::HeldLease;
use crate::model::attempt::{AttemptFailure, AttemptOutcome};
use longshore_store::{AttemptResult, Lease, NewAttempt, clip};

/// Longest error that is recorded of an attempt, in bytes.
pub(super) const MAX_ERROR: usize = 64 * 1024;

/// The record of an attempt; none for one that never began.
pub(super) fn attempt_row(held: &HeldLease, outcome: &AttemptOutcome, now: i64) -> Option<NewAttempt> {
    let (outcome, error) = match outcome {
        AttemptOutcome::Done(_) => (AttemptResult::Succeeded, None),
        AttemptOutcome::Failed(failure) => (AttemptResult::Failed, Some(failure_json(failure))),
        AttemptOutcome::Cancelled => (AttemptResult::Cancelled, None),
        AttemptOutcome::NeverBegan(_) => return None,
        AttemptOutcome::Lost { reason, .. } => {
            (AttemptResult::Lost, Some(serde_json::json!({ "message": reason }).to_string()))
        }
    };
    let Lease { key, host, attempt, started_at, .. } = held.lease;
    Some(NewAttempt { key, attempt, host, started_at, finished_at: now, outcome, error })
}

fn failure_json(failure: &AttemptFailure) -> String {
    let cut = |text: &String| clip(text.clone(), MAX_ERROR);
    let mut json = serde_json::json!({ "message": cut(&failure.message) });
    if !failure.causes.is_empty() {
        json["causes"] = failure.causes.iter().map(cut).collect();
    }
    for (key, set) in [("panicked", failure.panicked), ("timed_out", failure.timed_out)] {
        if set {
            json[key] = true.into();
        }
    }
    if !failure.backtrace.is_empty() {
        json["backtrace"] = cut(&failure.backtrace).into();
    }
    json.to_string()
}
