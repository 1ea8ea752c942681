//! Requests and replies of packages as the engine writes and reads them.

use crate::model::attempt::{Attempt, AttemptFailure, AttemptOutcome};
use crate::port::packages::PollOutcome;
use longshore_workflow_plugin::wire::{
    PollReply, Reader, RetryAdvice, StartTask, TaskFailure, TaskReply, TaskRequest, Wire, WireError,
};
use std::time::Duration;

/// The time a poll may take, in milliseconds.
pub const POLL_DEADLINE_MS: u64 = 30_000;

/// Reads what `execute_task` returned or `finished` carried.
///
/// # Errors
/// [`WireError`] when the bytes are not a reply. `Accepted` has no outcome yet.
pub fn read_reply(bytes: &[u8]) -> Result<Option<AttemptOutcome>, WireError> {
    let mut reader = Reader::new(bytes);
    Ok(match TaskReply::take(&mut reader)? {
        TaskReply::Done => Some(AttemptOutcome::Done(bytes[reader.position()..].to_vec())),
        TaskReply::Failed(failure) => {
            let advice = (reader.remaining() > 0).then(|| RetryAdvice::take(&mut reader)).transpose()?;
            Some(AttemptOutcome::Failed(read_failure(failure, advice.unwrap_or_default())))
        }
        TaskReply::Accepted => None,
        TaskReply::Cancelled => Some(AttemptOutcome::Cancelled),
        TaskReply::Unknown => Some(AttemptOutcome::Failed(AttemptFailure::permanent(
            "the package has no task with this index".into(),
        ))),
    })
}

fn read_failure(failure: TaskFailure, advice: RetryAdvice) -> AttemptFailure {
    let RetryAdvice { permanent, retry_after_ms } = advice;
    AttemptFailure {
        message: failure.message,
        causes: failure.causes,
        panicked: failure.panicked,
        backtrace: failure.backtrace,
        timed_out: failure.timed_out,
        permanent,
        retry_after: (retry_after_ms > 0).then(|| Duration::from_millis(retry_after_ms)),
    }
}

/// The request that starts an attempt, with its context.
pub fn start_request(attempt: &Attempt) -> Vec<u8> {
    let start = StartTask {
        lease: attempt.lease.0,
        task: attempt.index,
        attempt: attempt.own_number,
        run: *attempt.run.as_bytes(),
        deadline_ms: attempt.deadline_ms,
        detached: true,
    };
    let mut request = Vec::with_capacity(64 + attempt.context.len());
    TaskRequest::Start(start).put(&mut request);
    request.extend_from_slice(&attempt.context);
    request
}

/// Reads the reply of `invoke_trigger_poll`.
pub fn read_poll(bytes: &[u8]) -> PollOutcome {
    let mut reader = Reader::new(bytes);
    match PollReply::take(&mut reader) {
        Ok(PollReply::Skip) => PollOutcome::Skip,
        Ok(PollReply::Fire) => PollOutcome::Fire(bytes[reader.position()..].to_vec()),
        Ok(PollReply::Failed(message)) => PollOutcome::Failed(message),
        Err(error) => PollOutcome::Failed(error.to_string()),
    }
}
