//! Calls and their replies.

use super::codec::{Reader, Wire, WireError, wire_struct};

wire_struct! {
    /// Starts an attempt. The context's frame follows the message.
    StartTask {
        /// Names the attempt in everything that comes back.
        lease: u64,
        /// Index into the task list of `get_task_metadata`.
        task: u32,
        /// From 1.
        attempt: u32,
        /// The run's id.
        run: [u8; 16],
        /// Time the attempt may take in milliseconds, 0 for no limit.
        deadline_ms: u64,
        /// True when the call returns at once and the outcome comes over the host channel.
        detached: bool,
    }
}

/// Request of `execute_task`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TaskRequest {
    /// Starts an attempt.
    Start(StartTask),
    /// Drops an attempt at its next await. The reply says whether it was running.
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

impl TaskRequest {
    /// The variants, in the order of their tags.
    pub const SCHEMA: &'static str = "TaskRequest{Start:StartTask+context,Cancel:u64,Resume:u64,}";
}

impl Wire for TaskRequest {
    fn put(&self, out: &mut Vec<u8>) {
        match self {
            Self::Start(start) => {
                out.push(0);
                start.put(out);
            }
            Self::Cancel { lease } => {
                out.push(1);
                lease.put(out);
            }
            Self::Resume { lease } => {
                out.push(2);
                lease.put(out);
            }
        }
    }

    fn take(reader: &mut Reader<'_>) -> Result<Self, WireError> {
        match u8::take(reader)? {
            0 => Ok(Self::Start(StartTask::take(reader)?)),
            1 => Ok(Self::Cancel { lease: u64::take(reader)? }),
            2 => Ok(Self::Resume { lease: u64::take(reader)? }),
            _ => Err(WireError { reading: "TaskRequest", at: 0, bytes: reader.position() }),
        }
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

/// Reply of `execute_task`, and what `finished` carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TaskReply {
    /// It succeeded; the context patch follows.
    Done,
    /// It failed.
    Failed(TaskFailure),
    /// It runs; the outcome will come over the host channel.
    Accepted,
    /// It was cancelled before it ended.
    Cancelled,
    /// No such task or attempt.
    Unknown,
}

impl TaskReply {
    /// The variants, in the order of their tags.
    pub const SCHEMA: &'static str = "TaskReply{Done:patch,Failed:TaskFailure,Accepted,Cancelled,Unknown,}";
}

impl Wire for TaskReply {
    fn put(&self, out: &mut Vec<u8>) {
        match self {
            Self::Done => out.push(0),
            Self::Failed(failure) => {
                out.push(1);
                failure.put(out);
            }
            Self::Accepted => out.push(2),
            Self::Cancelled => out.push(3),
            Self::Unknown => out.push(4),
        }
    }

    fn take(reader: &mut Reader<'_>) -> Result<Self, WireError> {
        match u8::take(reader)? {
            0 => Ok(Self::Done),
            1 => Ok(Self::Failed(TaskFailure::take(reader)?)),
            2 => Ok(Self::Accepted),
            3 => Ok(Self::Cancelled),
            4 => Ok(Self::Unknown),
            _ => Err(WireError { reading: "TaskReply", at: 0, bytes: reader.position() }),
        }
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

/// Reply of `invoke_trigger_poll`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PollReply {
    /// Nothing to do.
    Skip,
    /// Start the workflow; the context's patch follows, empty when there is none.
    Fire,
    /// The poll failed.
    Failed(String),
}

impl PollReply {
    /// The variants, in the order of their tags.
    pub const SCHEMA: &'static str = "PollReply{Skip,Fire:context,Failed:String,}";
}

impl Wire for PollReply {
    fn put(&self, out: &mut Vec<u8>) {
        match self {
            Self::Skip => out.push(0),
            Self::Fire => out.push(1),
            Self::Failed(message) => {
                out.push(2);
                message.put(out);
            }
        }
    }

    fn take(reader: &mut Reader<'_>) -> Result<Self, WireError> {
        match u8::take(reader)? {
            0 => Ok(Self::Skip),
            1 => Ok(Self::Fire),
            2 => Ok(Self::Failed(String::take(reader)?)),
            _ => Err(WireError { reading: "PollReply", at: 0, bytes: reader.position() }),
        }
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
    /// What the host decides for an instance of the package.
    ShellConfig {
        /// Threads of the package's runtime.
        workers: u32,
        /// The most verbose level to send, numbered as in [`LogRecord`]; 0 for none.
        log_level: u8,
        /// How long dropping the instance waits for the runtime to end.
        shutdown_ms: u64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
