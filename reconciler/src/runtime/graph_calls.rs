//! Graphs and accumulators of an open package, called on a lane of its generation.

use crate::error::Error;
use crate::runtime::instance::Instance;
use longshore_engine::{GraphCalls, Outputs};
use longshore_workflow::InputCache;
use longshore_workflow::private::{read_frame, write_frame};
use longshore_workflow_plugin::Method;
use longshore_workflow_plugin::wire::{
    CallFailure, GraphAnswer, GraphCall, GraphReply, GraphRequest, Reader, Wire, WireError, put_events,
};
use std::borrow::Cow;

/// An open package as reactors call it.
pub(crate) struct Graphs<'i>(pub(crate) &'i dyn Instance);

impl GraphCalls for Graphs<'_> {
    fn fire(&self, graph: u32, cache: &InputCache, deadline_ms: u64) -> Result<Outputs, CallFailure> {
        if self.0.interface_version() < 2 {
            return fire_version_one(self.0, graph, cache);
        }
        let mut request = GraphCall::Fire { graph, deadline_ms }.encode();
        put_cache(cache, &mut request);
        let (answer, reply, at) = call(self.0, &request)?;
        match answer {
            GraphAnswer::Completed => outputs(&reply[at..]),
            other => Err(unexpected(&other)),
        }
    }

    fn event(&self, accumulator: u32, event: &[u8]) -> Result<Vec<u8>, CallFailure> {
        let mut request = GraphCall::Event { accumulator }.encode();
        request.extend_from_slice(event);
        boundary(call(self.0, &request)?)?.ok_or_else(|| unexpected(&GraphAnswer::Nothing))
    }

    fn stateful(
        &self,
        accumulator: u32,
        state: &[u8],
        event: &[u8],
    ) -> Result<(Vec<u8>, Vec<u8>), CallFailure> {
        let mut request = GraphCall::Stateful { accumulator, state: state.len() as u32 }.encode();
        request.extend_from_slice(state);
        request.extend_from_slice(event);
        let (answer, reply, at) = call(self.0, &request)?;
        let GraphAnswer::State { state } = answer else { return Err(unexpected(&answer)) };
        let split = reply[at..].split_at_checked(state as usize);
        let (state, value) = split.ok_or_else(|| failed("the answer is cut".to_owned()))?;
        Ok((state.to_vec(), value.to_vec()))
    }

    fn batch(&self, accumulator: u32, events: &[&[u8]]) -> Result<Option<Vec<u8>>, CallFailure> {
        let mut request = GraphCall::Batch { accumulator }.encode();
        put_events(events.iter().copied(), &mut request);
        boundary(call(self.0, &request)?)
    }

    fn poll(&self, accumulator: u32, deadline_ms: u64) -> Result<Option<Vec<u8>>, CallFailure> {
        boundary(call(self.0, &GraphCall::Poll { accumulator, deadline_ms }.encode())?)
    }
}

/// The values of a cache as a frame: sorted by source.
fn put_cache(cache: &InputCache, out: &mut Vec<u8>) {
    let sources = cache.sources();
    let entries =
        sources.iter().map(|name| (name.as_str(), cache.get_raw(name.as_str()).unwrap_or_default()));
    write_frame(entries, out);
}

type Answered = (GraphAnswer, Vec<u8>, usize);

fn call(library: &dyn Instance, request: &[u8]) -> Result<Answered, CallFailure> {
    let reply = raw(library, request)?;
    let mut reader = Reader::new(&reply);
    match GraphAnswer::take(&mut reader) {
        Ok(GraphAnswer::Failed(failure)) => Err(failure),
        Ok(answer) => {
            let at = reader.position();
            Ok((answer, reply, at))
        }
        Err(error) => Err(undecodable(&error)),
    }
}

fn raw(library: &dyn Instance, request: &[u8]) -> Result<Vec<u8>, CallFailure> {
    let reply = library.call(Method::ExecuteGraph, request).map_err(|error: Error| failed(error.full()))?;
    reply.ok_or_else(|| failed("the package has no execute_graph".to_owned()))
}

fn boundary((answer, reply, at): Answered) -> Result<Option<Vec<u8>>, CallFailure> {
    match answer {
        GraphAnswer::Boundary => Ok(Some(reply[at..].to_vec())),
        GraphAnswer::Nothing => Ok(None),
        other => Err(unexpected(&other)),
    }
}

fn outputs(frame: &[u8]) -> Result<Outputs, CallFailure> {
    let entries = read_frame(frame).map_err(|error| failed(error.to_string()))?;
    Ok(entries.into_iter().map(|(name, value)| (Cow::Owned(name.to_owned()), value.to_vec())).collect())
}

/// Packages of version 1 know one request, and neither deadlines nor accumulators.
fn fire_version_one(library: &dyn Instance, graph: u32, cache: &InputCache) -> Result<Outputs, CallFailure> {
    let mut request = GraphRequest { graph }.encode();
    put_cache(cache, &mut request);
    let reply = raw(library, &request)?;
    let mut reader = Reader::new(&reply);
    match GraphReply::take(&mut reader).map_err(|error| undecodable(&error))? {
        GraphReply::Completed => outputs(&reply[reader.position()..]),
        GraphReply::Failed(failure) => Err(failed(failure.message)),
    }
}

fn failed(message: String) -> CallFailure {
    CallFailure { message, ..CallFailure::default() }
}

fn undecodable(error: &WireError) -> CallFailure {
    failed(format!("the package's answer does not decode: {error}"))
}

fn unexpected(answer: &GraphAnswer) -> CallFailure {
    failed(format!("the package answered another question: {answer:?}"))
}
