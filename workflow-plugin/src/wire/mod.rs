//! The wire types: messages between host and package.
//!
//! Payloads (contexts, patches, boundary values) are not fields of these types: they follow the message as
//! raw bytes, so that they are never copied element by element.

mod graph;
mod metadata;
mod task;

pub use graph::{
    CallFailure, EventHeader, GraphAnswer, GraphCall, GraphFailure, GraphReply, GraphRequest, put_events,
    take_events,
};
pub use longshore_workflow::private::wire::{Reader, Wire, WireError};
use longshore_workflow::private::{FrameEntry, FrameHeader};
pub use metadata::{
    AccumulatorMeta, EdgeMeta, GraphInputs, GraphMeta, GraphMetadata, NO_ACCUMULATOR, PackageMeta, ParamMeta,
    ReactorMeta, ReactorMetadata, RetryMeta, SourceMeta, TaskMeta, TaskMetadata, TriggerMeta,
    TriggerMetadata, WorkflowMeta,
};
pub use task::{
    LogRecord, PollReply, PollRequest, RetryAdvice, ShellConfig, StartTask, TaskFailure, TaskReply,
    TaskRequest,
};

use crate::interface::{HOST_SCHEMA, Method};

/// The schemas of the types a method uses, its own and those inside them.
pub const fn schemas_of(method: Method) -> &'static [&'static str] {
    match method {
        Method::GetTaskMetadata => &[
            TaskMetadata::SCHEMA,
            PackageMeta::SCHEMA,
            WorkflowMeta::SCHEMA,
            ParamMeta::SCHEMA,
            TaskMeta::SCHEMA,
            RetryMeta::SCHEMA,
        ],
        Method::ExecuteTask => {
            &[TaskRequest::SCHEMA, StartTask::SCHEMA, TaskReply::SCHEMA, TaskFailure::SCHEMA]
        }
        Method::GetGraphMetadata | Method::GetTriggerlessGraphMetadata => {
            &[GraphMetadata::SCHEMA, GraphMeta::SCHEMA, EdgeMeta::SCHEMA]
        }
        Method::ExecuteGraph => &[GraphRequest::SCHEMA, GraphReply::SCHEMA, GraphFailure::SCHEMA],
        // From version 2 on `execute_graph` is called with these too.
        Method::InvokeTriggerlessGraph => {
            &[GraphCall::SCHEMA, EventHeader::SCHEMA, GraphAnswer::SCHEMA, CallFailure::SCHEMA]
        }
        Method::GetReactorMetadata => &[
            ReactorMetadata::SCHEMA,
            ReactorMeta::SCHEMA,
            SourceMeta::SCHEMA,
            AccumulatorMeta::SCHEMA,
            GraphInputs::SCHEMA,
        ],
        Method::GetTriggerMetadata => &[TriggerMetadata::SCHEMA, TriggerMeta::SCHEMA],
        Method::InvokeTriggerPoll => &[PollRequest::SCHEMA, PollReply::SCHEMA],
    }
}

/// The schemas of what no method owns: the frames that contexts, patches and outputs cross in, the methods of the
/// host, the configuration it hands over, the log lines it gets back, and what follows a failure. Interface version 1
/// had none of them.
pub const CHANNEL_SCHEMAS: &[&str] = &[
    FrameHeader::SCHEMA,
    FrameEntry::SCHEMA,
    HOST_SCHEMA,
    ShellConfig::SCHEMA,
    LogRecord::SCHEMA,
    RetryAdvice::SCHEMA,
];

/// All schemas: those of the methods, then the channel's.
const SCHEMAS: [&[&str]; Method::ALL.len() + 1] = {
    let mut all = [CHANNEL_SCHEMAS; Method::ALL.len() + 1];
    let mut m = 0;
    while m < Method::ALL.len() {
        all[m] = schemas_of(Method::ALL[m]);
        m += 1;
    }
    all
};

const fn joined_len() -> usize {
    let (mut len, mut group) = (0, 0);
    while group < SCHEMAS.len() {
        let mut i = 0;
        while i < SCHEMAS[group].len() {
            len += SCHEMAS[group][i].len() + 1;
            i += 1;
        }
        group += 1;
    }
    len
}

const fn join_schemas<const N: usize>() -> [u8; N] {
    let mut out = [0; N];
    let (mut at, mut group) = (0, 0);
    while group < SCHEMAS.len() {
        let mut i = 0;
        while i < SCHEMAS[group].len() {
            let bytes = SCHEMAS[group][i].as_bytes();
            let mut b = 0;
            while b < bytes.len() {
                out[at] = bytes[b];
                at += 1;
                b += 1;
            }
            out[at] = b'\n';
            at += 1;
            i += 1;
        }
        group += 1;
    }
    out
}

const JOINED: [u8; joined_len()] = join_schemas();

/// The schemas of all wire types, one a line, in the order of the methods; a type that several methods use
/// stands several times. A package's static record carries this text.
pub const WIRE_SCHEMA: &str = match std::str::from_utf8(&JOINED) {
    Ok(text) => text,
    Err(_) => panic!("identifiers are UTF-8"),
};
