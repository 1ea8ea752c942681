//! Calls of graphs and accumulators, and their answers.

use longshore_workflow::private::wire::{Reader, Wire, WireError, wire_enum, wire_struct};

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

wire_enum! {
    /// Reply of `execute_graph` of a package of interface version 1.
    GraphReply {
        /// Terminal values, keyed by terminal, follow as a frame.
        Completed + outputs,
        /// The graph failed.
        Failed(failure: GraphFailure),
    }
}

wire_enum! {
    /// Request of `execute_graph` and `invoke_triggerless_graph`.
    GraphCall {
        /// Calls a graph. Its input follows: boundary values, or a context, as a frame.
        Fire {
            /// Index into the graph list.
            graph: u32,
            /// Time it may take in milliseconds, 0 for no limit.
            deadline_ms: u64,
        } + input,
        /// Gives an accumulator an event, which follows.
        Event {
            /// Index into the accumulator list.
            accumulator: u32,
        } + event,
        /// Gives an accumulator its state and an event, which follow in this order.
        Stateful {
            /// Index into the accumulator list.
            accumulator: u32,
            /// Length of the state.
            state: u32,
        } + state + event,
        /// Gives an accumulator many events, which follow, each after its [`EventHeader`].
        Batch {
            /// Index into the accumulator list.
            accumulator: u32,
        } + events,
        /// Asks a polling accumulator.
        Poll {
            /// Index into the accumulator list.
            accumulator: u32,
            /// Time it may take in milliseconds.
            deadline_ms: u64,
        },
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

wire_enum! {
    /// Reply of `execute_graph` and `invoke_triggerless_graph`.
    GraphAnswer {
        /// Terminal values, keyed by terminal, follow as a frame.
        Completed + outputs,
        /// It failed.
        Failed(failure: CallFailure),
        /// A boundary value follows.
        Boundary + value,
        /// The accumulator has nothing to say.
        Nothing,
        /// The new state of this length and a boundary value follow.
        State {
            /// Length of the state.
            state: u32,
        } + state + value,
    }
}

wire_struct! {
    /// The header of each event of a batch.
    EventHeader {
        /// Length of the event in bytes.
        bytes: u32,
    }
}

/// Writes events one after the other, each after its [`EventHeader`].
pub fn put_events<'e>(events: impl IntoIterator<Item = &'e [u8]>, out: &mut Vec<u8>) {
    for event in events {
        EventHeader { bytes: event.len() as u32 }.put(out);
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
    while reader.remaining() > 0 {
        let EventHeader { bytes } = EventHeader::take(&mut reader)?;
        events.push(reader.take(bytes as usize, "event")?);
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
