//! Calls and their replies.

use longshore_workflow::private::wire::{wire_enum, wire_struct};

wire_struct! {
    /// The start of an attempt.
    StartTask {
        /// Names the attempt in everything that comes back.
        lease: u64,
        /// Index into the task list of `get_task_metadata`.
        task: u32,
        /// From 1, without those that were lost: the number that the retry policy goes by.
        attempt: u32,
        /// The run's id.
        run: [u8; 16],
        /// Time the attempt may take in milliseconds, 0 for no limit.
        deadline_ms: u64,
        /// True when the call returns at once and the outcome comes over the host channel.
        detached: bool,
    }
}

wire_enum! {
    /// Request of `execute_task`.
    TaskRequest {
        /// Starts an attempt. The context follows as a frame.
        Start(start: StartTask) + context,
        /// Tells an attempt to stop, which it does at its next await, and then reports. The reply says whether it was
        /// running.
        Cancel {
            /// The attempt.
            lease: u64,
        },
        /// Tells an attempt that waits for a slot that it has one.
        Resume {
            /// The attempt.
            lease: u64,
        },
    }
}

wire_struct! {
    /// Why an attempt failed.
    TaskFailure {
        /// The error's text.
        message: String,
        /// The texts of its sources, outermost first.
        causes: Vec<String>,
        /// True when it panicked.
        panicked: bool,
        /// Where it panicked, symbolised; empty otherwise.
        backtrace: String,
        /// True when the package's own clock ended it.
        timed_out: bool,
    }
}

wire_struct! {
    /// Whether and when a failed task is tried again, as its error says it. It follows a [`TaskReply::Failed`]; without
    /// it the retry policy decides alone. Packages of interface version 1 never send it.
    RetryAdvice {
        /// True when trying again cannot help.
        permanent: bool,
        /// Milliseconds before which the task is not tried again, 0 when the policy says.
        retry_after_ms: u64,
    }
}

wire_enum! {
    /// Reply of `execute_task`, and what `finished` carries.
    TaskReply {
        /// It succeeded; the context's patch follows as a frame.
        Done + patch,
        /// It failed.
        Failed(failure: TaskFailure),
        /// It runs; the outcome will come over the host channel.
        Accepted,
        /// It was cancelled, and has stopped.
        Cancelled,
        /// No such task or attempt.
        Unknown,
    }
}

wire_struct! {
    /// Polls a trigger.
    PollRequest {
        /// Index into the trigger list.
        trigger: u32,
        /// Time the poll may take in milliseconds.
        deadline_ms: u64,
    }
}

wire_enum! {
    /// Reply of `invoke_trigger_poll`.
    PollReply {
        /// Nothing to do.
        Skip,
        /// Start the workflow; the context's patch follows as a frame, empty when there is none.
        Fire + patch,
        /// The poll failed.
        Failed(message: String),
    }
}

wire_struct! {
    /// A log line of the package, on its way to the host's tracing.
    LogRecord {
        /// The attempt that was being polled, 0 outside one.
        lease: u64,
        /// 1 error, 2 warn, 3 info, 4 debug, 5 trace.
        level: u8,
        /// The module, usually.
        target: String,
        /// The message.
        message: String,
        /// Other fields.
        fields: Vec<(String, String)>,
    }
}

wire_struct! {
    /// The host's settings for an instance of the package.
    ShellConfig {
        /// Threads of the package's runtime.
        workers: u32,
        /// The most verbose level to send, numbered as in [`LogRecord`]; 0 for none.
        log_level: u8,
        /// The time dropping the instance waits for the runtime to end.
        shutdown_ms: u64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use longshore_workflow::private::wire::Wire;

    #[test]
    fn every_variant_survives_the_crossing() {
        let start = StartTask { lease: 7, task: 2, attempt: 1, run: [9; 16], deadline_ms: 5, detached: true };
        for request in
            [TaskRequest::Start(start), TaskRequest::Cancel { lease: 1 }, TaskRequest::Resume { lease: 2 }]
        {
            assert_eq!(TaskRequest::decode(&request.encode()), Ok(request));
        }
        let failed =
            TaskReply::Failed(TaskFailure { message: "no".into(), panicked: true, ..TaskFailure::default() });
        for reply in [TaskReply::Done, failed, TaskReply::Accepted, TaskReply::Cancelled, TaskReply::Unknown]
        {
            assert_eq!(TaskReply::decode(&reply.encode()), Ok(reply));
        }
        for reply in [PollReply::Skip, PollReply::Fire, PollReply::Failed("no".into())] {
            assert_eq!(PollReply::decode(&reply.encode()), Ok(reply));
        }
        assert!(TaskReply::decode(&[9]).is_err());
    }
}
