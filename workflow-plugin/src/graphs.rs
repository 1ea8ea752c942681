//! Calls graphs and accumulators: for a host across the vtable, and for a program its own.

use crate::failure::full_text;
use crate::invoke::block_on;
use crate::panics::Guarded;
use crate::shell::Shell;
use crate::wire::{CallFailure, GraphAnswer, GraphCall, Reader, TaskFailure, Wire, WireError, take_events};
use longshore_workflow::private::{
    AccumulatorCall, Boundary, EntryFuture, EventError, GraphCall as EntryCall, GraphEntry, GraphOutputs,
    read_frame, write_frame,
};
use longshore_workflow::{Context, GraphError, InputCache};
use std::time::Duration;

/// The bytes of each terminal's value, by terminal.
pub type Outputs = Vec<(&'static str, Vec<u8>)>;

/// A panic is noted under a number that no attempt has.
const NO_LEASE: u64 = u64::MAX;

impl Shell {
    /// Fires a reactor-bound graph.
    ///
    /// # Errors
    /// [`CallFailure`].
    pub fn fire(&self, graph: u32, cache: &InputCache, deadline_ms: u64) -> Result<Outputs, CallFailure> {
        match self.index.bound_graphs.get(graph as usize).map(|graph| graph.call) {
            Some(EntryCall::Cache(call)) => self.finish(call(cache), deadline_ms),
            _ => Err(failed(format!("no graph has the index {graph}"))),
        }
    }

    /// Gives an accumulator an event.
    ///
    /// # Errors
    /// [`CallFailure`] that names the field.
    pub fn accumulate(&self, accumulator: u32, event: &[u8]) -> Result<Vec<u8>, CallFailure> {
        match self.accumulator(accumulator)? {
            AccumulatorCall::Event(call) => self.inside(|| call(event)),
            _ => Err(other_kind(accumulator)),
        }
    }

    /// Gives an accumulator its state and an event; returns the new state and the boundary value.
    ///
    /// # Errors
    /// [`CallFailure`] that names the field.
    pub fn accumulate_with(
        &self,
        accumulator: u32,
        state: &[u8],
        event: &[u8],
    ) -> Result<(Vec<u8>, Vec<u8>), CallFailure> {
        match self.accumulator(accumulator)? {
            AccumulatorCall::Stateful(call) => self.inside(|| call(state, event)),
            _ => Err(other_kind(accumulator)),
        }
    }

    /// Gives an accumulator many events.
    ///
    /// # Errors
    /// [`CallFailure`] that names the event and the field.
    pub fn accumulate_batch(&self, accumulator: u32, events: &[&[u8]]) -> Result<Boundary, CallFailure> {
        match self.accumulator(accumulator)? {
            AccumulatorCall::Batch(call) => self.inside(|| call(events)),
            _ => Err(other_kind(accumulator)),
        }
    }

    /// Asks a polling accumulator.
    ///
    /// # Errors
    /// [`CallFailure`].
    pub fn poll_accumulator(&self, accumulator: u32, deadline_ms: u64) -> Result<Boundary, CallFailure> {
        let AccumulatorCall::Poll(call) = self.accumulator(accumulator)? else {
            return Err(other_kind(accumulator));
        };
        let polled = self.within(call(), deadline_ms)?;
        polled.map_err(event_failed)
    }

    fn accumulator(&self, index: u32) -> Result<AccumulatorCall, CallFailure> {
        let entry = self.index.accumulators.get(index as usize);
        entry.map(|entry| entry.call).ok_or_else(|| failed(format!("no accumulator has the index {index}")))
    }

    fn finish(&self, call: EntryFuture<'_, GraphOutputs>, deadline_ms: u64) -> Result<Outputs, CallFailure> {
        self.within(call, deadline_ms)?.map_err(|error| graph_failed(&error))
    }

    /// Runs an accumulator, inside the runtime: it may be async, and wait for a timer.
    fn inside<T>(&self, call: impl FnOnce() -> Result<T, EventError>) -> Result<T, CallFailure> {
        let _inside = self.runtime().map_err(task_failed)?.enter();
        crate::panics::guarded(NO_LEASE, call).map_err(task_failed)?.map_err(event_failed)
    }

    /// Runs author code to its end, its panic, or its deadline.
    fn within<T: Send>(&self, call: EntryFuture<'_, T>, deadline_ms: u64) -> Result<T, CallFailure> {
        let runtime = self.runtime().map_err(task_failed)?;
        let guarded = Guarded::new(NO_LEASE, call);
        if deadline_ms == 0 {
            return block_on(runtime, guarded).map_err(task_failed);
        }
        let limited = async {
            match tokio::time::timeout(Duration::from_millis(deadline_ms), guarded).await {
                Ok(outcome) => outcome.map_err(task_failed),
                Err(_) => Err(CallFailure {
                    timed_out: true,
                    ..failed(format!("did not return within {deadline_ms} ms"))
                }),
            }
        };
        block_on(runtime, limited)
    }
}

fn failed(message: String) -> CallFailure {
    CallFailure { message, ..CallFailure::default() }
}

fn other_kind(accumulator: u32) -> CallFailure {
    failed(format!("accumulator {accumulator} is called in another way"))
}

fn task_failed(failure: TaskFailure) -> CallFailure {
    CallFailure { panicked: failure.panicked, ..failed(failure.message) }
}

fn event_failed(error: EventError) -> CallFailure {
    CallFailure { field: error.field, at: error.at as u32, ..failed(error.message) }
}

fn graph_failed(error: &GraphError) -> CallFailure {
    let message = full_text(error);
    match error {
        GraphError::BadInput { source_name, field, .. } => {
            CallFailure { source: source_name.clone(), field: field.clone(), ..failed(message) }
        }
        _ => failed(message),
    }
}

fn malformed(error: &WireError) -> CallFailure {
    failed(full_text(error))
}

/// Answers `execute_graph` and `invoke_triggerless_graph`.
pub(crate) fn answer(shell: &Shell, graphs: &[&'static GraphEntry], request: &[u8]) -> Vec<u8> {
    let mut reader = Reader::new(request);
    let answered = GraphCall::take(&mut reader).map_err(|error| malformed(&error)).and_then(|header| {
        let payload = &request[reader.position()..];
        match header {
            GraphCall::Fire { graph, deadline_ms } => fire(shell, graphs, graph, deadline_ms, payload),
            GraphCall::Event { accumulator } => {
                shell.accumulate(accumulator, payload).map(|value| reply(&GraphAnswer::Boundary, &[&value]))
            }
            GraphCall::Stateful { accumulator, state } => stateful(shell, accumulator, state, payload),
            GraphCall::Batch { accumulator } => {
                let events = take_events(payload).map_err(|error| malformed(&error))?;
                shell.accumulate_batch(accumulator, &events).map(maybe)
            }
            GraphCall::Poll { accumulator, deadline_ms } => {
                shell.poll_accumulator(accumulator, deadline_ms).map(maybe)
            }
        }
    });
    answered.unwrap_or_else(|failure| GraphAnswer::Failed(failure).encode())
}

fn reply(reply: &GraphAnswer, payload: &[&[u8]]) -> Vec<u8> {
    let mut out = Vec::with_capacity(8 + payload.iter().map(|part| part.len()).sum::<usize>());
    reply.put(&mut out);
    payload.iter().for_each(|part| out.extend_from_slice(part));
    out
}

fn maybe(boundary: Boundary) -> Vec<u8> {
    match boundary {
        Some(value) => reply(&GraphAnswer::Boundary, &[&value]),
        None => reply(&GraphAnswer::Nothing, &[]),
    }
}

fn stateful(shell: &Shell, accumulator: u32, state: u32, payload: &[u8]) -> Result<Vec<u8>, CallFailure> {
    let (state, event) = payload
        .split_at_checked(state as usize)
        .ok_or_else(|| failed("the state is longer than the request".to_owned()))?;
    let (state, value) = shell.accumulate_with(accumulator, state, event)?;
    Ok(reply(&GraphAnswer::State { state: state.len() as u32 }, &[&state, &value]))
}

fn fire(
    shell: &Shell,
    graphs: &[&'static GraphEntry],
    graph: u32,
    deadline_ms: u64,
    payload: &[u8],
) -> Result<Vec<u8>, CallFailure> {
    let entry = graphs.get(graph as usize);
    let entry = entry.ok_or_else(|| failed(format!("no graph has the index {graph}")))?;
    let mut outputs = match entry.call {
        EntryCall::Cache(call) => {
            let mut cache = InputCache::new();
            for (source, bytes) in read_frame(payload).map_err(|error| failed(full_text(&error)))? {
                cache.update(source.into(), bytes.to_vec());
            }
            shell.finish(call(&cache), deadline_ms)?
        }
        EntryCall::Context(call) => {
            let context =
                Context::from_frame(payload.to_vec(), 0).map_err(|error| failed(full_text(&error)))?;
            shell.finish(call(&context), deadline_ms)?
        }
    };
    outputs.sort_by_key(|(terminal, _)| *terminal);
    let mut out = GraphAnswer::Completed.encode();
    write_frame(outputs.iter().map(|(terminal, value)| (*terminal, value.as_slice())), &mut out);
    Ok(out)
}
