//! Calls of graphs and accumulators, and their answers.

use super::codec::{Reader, Wire, WireError, wire_struct};

wire_struct! {
    /// Request of `execute_graph` to a package of interface version 1. Its boundary values follow as a frame.
    GraphRequest {
        /// Index into the graph list.
        graph: u32,
    }
}

wire_struct! {
    /// Why a graph call of interface version 1 failed.
    GraphFailure {
        /// The error's text.
        message: String,
    }
}

/// Reply of `execute_graph` of a package of interface version 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GraphReply {
    /// Terminal values follow as a frame, keyed by terminal.
    Completed,
    /// The graph failed.
    Failed(GraphFailure),
}

impl GraphReply {
    /// The variants, in the order of their tags.
    pub const SCHEMA: &'static str = "GraphReply{Completed:outputs,Failed:GraphFailure,}";
}

impl Wire for GraphReply {
    fn put(&self, out: &mut Vec<u8>) {
        match self {
            Self::Completed => out.push(0),
            Self::Failed(failure) => {
                out.push(1);
                failure.put(out);
            }
        }
    }

    fn take(reader: &mut Reader<'_>) -> Result<Self, WireError> {
        match u8::take(reader)? {
            0 => Ok(Self::Completed),
            1 => Ok(Self::Failed(GraphFailure::take(reader)?)),
            _ => Err(WireError { reading: "GraphReply", at: 0, bytes: reader.position() }),
        }
    }
}

/// Request of `execute_graph` and `invoke_triggerless_graph`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GraphCall {
    /// Calls a graph. Its input follows: boundary values, or a context, as a frame.
    Fire {
        /// Index into the graph list.
        graph: u32,
        /// Time it may take in milliseconds, 0 for no limit.
        deadline_ms: u64,
    },
    /// Gives an accumulator an event, which follows.
    Event {
        /// Index into the accumulator list.
        accumulator: u32,
    },
    /// Gives an accumulator its state and an event, which follow in this order.
    Stateful {
        /// Index into the accumulator list.
        accumulator: u32,
        /// Length of the state.
        state: u32,
    },
    /// Gives an accumulator many events, which follow, each after its length as `u32`.
    Batch {
        /// Index into the accumulator list.
        accumulator: u32,
    },
    /// Asks a polling accumulator.
    Poll {
        /// Index into the accumulator list.
        accumulator: u32,
        /// Time it may take in milliseconds.
        deadline_ms: u64,
    },
}

impl GraphCall {
    /// The variants, in the order of their tags.
    pub const SCHEMA: &'static str = "GraphCall{Fire:(u32,u64)+input,Event:u32+event,Stateful:(u32,u32)+state+event,\
         Batch:u32+events,Poll:(u32,u64),}";
}

impl Wire for GraphCall {
    fn put(&self, out: &mut Vec<u8>) {
        match self {
            Self::Fire { graph, deadline_ms } => {
                out.push(0);
                graph.put(out);
                deadline_ms.put(out);
            }
            Self::Event { accumulator } => {
                out.push(1);
                accumulator.put(out);
            }
            Self::Stateful { accumulator, state } => {
                out.push(2);
                accumulator.put(out);
                state.put(out);
            }
            Self::Batch { accumulator } => {
                out.push(3);
                accumulator.put(out);
            }
            Self::Poll { accumulator, deadline_ms } => {
                out.push(4);
                accumulator.put(out);
                deadline_ms.put(out);
            }
        }
    }

    fn take(reader: &mut Reader<'_>) -> Result<Self, WireError> {
        Ok(match u8::take(reader)? {
            0 => Self::Fire { graph: u32::take(reader)?, deadline_ms: u64::take(reader)? },
            1 => Self::Event { accumulator: u32::take(reader)? },
            2 => Self::Stateful { accumulator: u32::take(reader)?, state: u32::take(reader)? },
            3 => Self::Batch { accumulator: u32::take(reader)? },
            4 => Self::Poll { accumulator: u32::take(reader)?, deadline_ms: u64::take(reader)? },
            _ => return Err(WireError { reading: "GraphCall", at: 0, bytes: reader.position() }),
        })
    }
}

wire_struct! {
    /// Why a graph or an accumulator failed.
    CallFailure {
        /// The error's text.
        message: String,
        /// The source whose value was to blame, or empty.
        source: String,
        /// The path of the field in that value, or empty.
        field: String,
        /// The place of the event to blame among those of the call.
        at: u32,
        /// True when it panicked.
        panicked: bool,
        /// True when the package's own clock ended it.
        timed_out: bool,
    }
}

/// Reply of `execute_graph` and `invoke_triggerless_graph`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GraphAnswer {
    /// Terminal values follow as a frame, keyed by terminal.
    Completed,
    /// It failed.
    Failed(CallFailure),
    /// A boundary value follows.
    Boundary,
    /// The accumulator has nothing to say.
    Nothing,
    /// The new state of this length and a boundary value follow.
    State {
        /// Length of the state.
        state: u32,
    },
}

impl GraphAnswer {
    /// The variants, in the order of their tags.
    pub const SCHEMA: &'static str =
        "GraphAnswer{Completed:outputs,Failed:CallFailure,Boundary:value,Nothing,State:u32+state+value,}";
}

impl Wire for GraphAnswer {
    fn put(&self, out: &mut Vec<u8>) {
        match self {
            Self::Completed => out.push(0),
            Self::Failed(failure) => {
                out.push(1);
                failure.put(out);
            }
            Self::Boundary => out.push(2),
            Self::Nothing => out.push(3),
            Self::State { state } => {
                out.push(4);
                state.put(out);
            }
        }
    }

    fn take(reader: &mut Reader<'_>) -> Result<Self, WireError> {
        Ok(match u8::take(reader)? {
            0 => Self::Completed,
            1 => Self::Failed(CallFailure::take(reader)?),
            2 => Self::Boundary,
            3 => Self::Nothing,
            4 => Self::State { state: u32::take(reader)? },
            _ => return Err(WireError { reading: "GraphAnswer", at: 0, bytes: reader.position() }),
        })
    }
}

/// Events one after the other, each after its length.
pub fn put_events<'e>(events: impl IntoIterator<Item = &'e [u8]>, out: &mut Vec<u8>) {
    for event in events {
        (event.len() as u32).put(out);
        out.extend_from_slice(event);
    }
}

/// Reads what [`put_events`] wrote.
///
/// # Errors
/// [`WireError`] when an event is cut.
pub fn take_events(bytes: &[u8]) -> Result<Vec<&[u8]>, WireError> {
    let mut reader = Reader::new(bytes);
    let mut events = Vec::new();
    while reader.position() < bytes.len() {
        let len = u32::take(&mut reader)? as usize;
        events.push(reader.take(len, "event")?);
    }
    Ok(events)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_variant_survives_the_crossing() {
        for request in [
            GraphCall::Fire { graph: 1, deadline_ms: 2 },
            GraphCall::Event { accumulator: 3 },
            GraphCall::Stateful { accumulator: 4, state: 5 },
            GraphCall::Batch { accumulator: 6 },
            GraphCall::Poll { accumulator: 7, deadline_ms: 8 },
        ] {
            assert_eq!(GraphCall::decode(&request.encode()), Ok(request));
        }
        let failed =
            GraphAnswer::Failed(CallFailure { field: "a.b".into(), at: 3, ..CallFailure::default() });
        let state = GraphAnswer::State { state: 9 };
        for reply in [GraphAnswer::Completed, failed, GraphAnswer::Boundary, GraphAnswer::Nothing, state] {
            assert_eq!(GraphAnswer::decode(&reply.encode()), Ok(reply));
        }
    }

    #[test]
    fn events_survive_and_a_cut_one_is_an_error() {
        let mut bytes = Vec::new();
        put_events([&b"one"[..], b"", b"three"], &mut bytes);
        assert_eq!(take_events(&bytes), Ok(vec![&b"one"[..], b"", b"three"]));
        assert!(take_events(&bytes[..bytes.len() - 1]).is_err());
    }
}
