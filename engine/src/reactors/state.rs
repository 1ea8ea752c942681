//! One reactor's values: what its sources said, and whether that is reason to fire.

use crate::model::reactor_def::{AccumulatorDef, AccumulatorKind, Criteria, ReactorDef};
use crate::port::graph_calls::GraphCalls;
use longshore_store::DeadLetterId;
use longshore_workflow::{InputCache, SourceName};
use longshore_workflow_plugin::wire::CallFailure;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::sync::Arc;

/// An event as it waits: MessagePack.
pub(crate) type Event = Arc<[u8]>;

/// An event that could not be taken.
#[derive(Debug, Clone)]
pub(crate) struct DeadLetter {
    pub(crate) id: DeadLetterId,
    pub(crate) source: String,
    pub(crate) position: String,
    pub(crate) payload: Payload,
    pub(crate) failure: CallFailure,
}

/// The content of a dead letter.
#[derive(Debug, Clone)]
pub(crate) enum Payload {
    /// The event as it came: it can be sent again.
    Event(Event),
    /// Not the event as it came: a line that is not JSON, a value that an accumulator made, an input whose source is gone.
    Derived(Event),
    /// Events that waited in a batch and are gone.
    Batch,
}

/// The news of one source so far.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Source {
    #[serde(with = "serde_bytes")]
    value: Option<Vec<u8>>,
    /// Of a stateful accumulator.
    #[serde(with = "serde_bytes")]
    state: Vec<u8>,
    /// Of a state accumulator.
    history: VecDeque<serde_bytes::ByteBuf>,
    /// Of a batch accumulator.
    buffer: Vec<serde_bytes::ByteBuf>,
    /// True when it has news since the last firing.
    dirty: bool,
}

/// The record of a reactor.
#[derive(Debug, Default, Serialize, Deserialize)]
struct PersistedState {
    sources: Vec<(String, Source)>,
    fired: u64,
}

/// The values of a reactor's sources.
pub(crate) struct ReactorState {
    def: Arc<ReactorDef>,
    cache: InputCache,
    sources: Vec<Source>,
    /// The value before the last one, for when the last one turns out to be no good.
    before: Vec<Option<Event>>,
    fired: u64,
}

impl ReactorState {
    pub(crate) fn new(def: Arc<ReactorDef>) -> Self {
        let sources = vec![Source::default(); def.sources.len()];
        let before = vec![None; def.sources.len()];
        Self { def, cache: InputCache::new(), sources, before, fired: 0 }
    }

    /// The state as another host left it; a source that the reactor has no more is forgotten.
    pub(crate) fn restored(def: Arc<ReactorDef>, bytes: &[u8]) -> Self {
        let mut state = Self::new(def);
        if bytes.is_empty() {
            return state;
        }
        match rmp_serde::from_slice::<PersistedState>(bytes) {
            Ok(kept) => state.take_persisted(kept),
            Err(error) => {
                tracing::error!(reactor = state.def.name, %error, "the recorded state does not read; it starts empty");
            }
        }
        state
    }

    fn take_persisted(&mut self, kept: PersistedState) {
        self.fired = kept.fired;
        for (name, source) in kept.sources {
            let Some(place) = self.def.source(&name) else { continue };
            if let Some(value) = &source.value {
                self.cache.update(SourceName(name), value.clone());
            }
            self.sources[place] = source;
        }
    }

    /// The same values under another definition of the reactor: sources are the same when their names are.
    pub(crate) fn rebound(&mut self, def: Arc<ReactorDef>) {
        let kept = self.persisted();
        *self = Self::new(def);
        self.take_persisted(kept);
    }

    fn persisted(&self) -> PersistedState {
        let named = self.def.sources.iter().zip(&self.sources).map(|(def, source)| {
            let value = self.cache.get_raw(&def.name).map(<[u8]>::to_vec);
            (def.name.clone(), Source { value, ..source.clone() })
        });
        PersistedState { sources: named.collect(), fired: self.fired }
    }

    /// The state for the next host.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        // Lists of bytes and numbers always serialize.
        rmp_serde::to_vec_named(&self.persisted()).unwrap_or_default()
    }

    pub(crate) fn cache(&self) -> &InputCache {
        &self.cache
    }

    /// Firings so far.
    pub(crate) fn fired(&self) -> u64 {
        self.fired
    }

    /// Sources that the criteria look at and that have no value yet.
    pub(crate) fn missing(&self) -> Vec<String> {
        let (Criteria::Any(places) | Criteria::All(places)) = &self.def.criteria;
        let names = places.iter().map(|place| &self.def.sources[*place].name);
        names.filter(|name| !self.cache.has(name)).cloned().collect()
    }

    /// True when a source has a value.
    pub(crate) fn has(&self, source: usize) -> bool {
        self.cache.has(&self.def.sources[source].name)
    }

    /// Takes an event. True when the source's value is another one now.
    pub(crate) fn take(
        &mut self,
        calls: &dyn GraphCalls,
        source: usize,
        event: &Event,
    ) -> Result<bool, CallFailure> {
        let def = Arc::clone(&self.def);
        let Some(accumulator) = &def.sources[source].accumulator else {
            self.set(source, Arc::clone(event));
            return Ok(true);
        };
        match &accumulator.kind {
            // What is pushed into a polled source stands for what the next poll would have said.
            AccumulatorKind::Polling { .. } => self.set(source, Arc::clone(event)),
            AccumulatorKind::Passthrough | AccumulatorKind::Stream(_) => {
                let value = self.accumulate(calls, accumulator, source, event)?;
                self.set(source, value.into());
            }
            AccumulatorKind::State { capacity } => {
                let value = calls.event(accumulator.index, event)?;
                self.remember(source, value, *capacity);
            }
            AccumulatorKind::Batch { max_buffer_size, .. } => {
                self.sources[source].buffer.push(event.to_vec().into());
                if self.sources[source].buffer.len() < *max_buffer_size {
                    return Ok(false);
                }
                return self.flush(calls, source);
            }
        }
        Ok(true)
    }

    fn accumulate(
        &mut self,
        calls: &dyn GraphCalls,
        accumulator: &AccumulatorDef,
        source: usize,
        event: &[u8],
    ) -> Result<Vec<u8>, CallFailure> {
        if !accumulator.stateful {
            return calls.event(accumulator.index, event);
        }
        let (state, value) = calls.stateful(accumulator.index, &self.sources[source].state, event)?;
        self.sources[source].state = state;
        Ok(value)
    }

    fn set(&mut self, source: usize, value: Event) {
        let name = &self.def.sources[source].name;
        self.before[source] = self.cache.get_raw(name).map(Into::into);
        self.cache.put(SourceName::new(name.clone()), value);
        self.sources[source].dirty = true;
    }

    /// Adds a value to a history; the source's value is all of it.
    fn remember(&mut self, source: usize, value: Vec<u8>, capacity: Option<usize>) {
        let history = &mut self.sources[source].history;
        history.push_back(value.into());
        while capacity.is_some_and(|capacity| history.len() > capacity) {
            history.pop_front();
        }
        let mut all = Vec::with_capacity(5 + history.iter().map(|item| item.len()).sum::<usize>());
        // Writing to a Vec does not fail.
        let _ = rmp::encode::write_array_len(&mut all, history.len() as u32);
        history.iter().for_each(|item| all.extend_from_slice(item));
        self.set(source, all.into());
    }

    /// True when a batch source has events that wait.
    pub(crate) fn has_buffered(&self, source: usize) -> bool {
        self.sources.get(source).is_some_and(|source| !source.buffer.is_empty())
    }

    /// Gives a batch accumulator what it has gathered. True when it had something to say.
    ///
    /// # Errors
    /// The first event that does not read; it is out of the buffer, and the others are still there.
    pub(crate) fn flush(&mut self, calls: &dyn GraphCalls, source: usize) -> Result<bool, CallFailure> {
        let Some(accumulator) = &self.def.sources[source].accumulator else { return Ok(false) };
        let buffer = &mut self.sources[source].buffer;
        if buffer.is_empty() {
            return Ok(false);
        }
        let events: Vec<&[u8]> = buffer.iter().map(|event| event.as_slice()).collect();
        match calls.batch(accumulator.index, &events) {
            Ok(value) => {
                buffer.clear();
                let Some(value) = value else { return Ok(false) };
                self.set(source, value.into());
                Ok(true)
            }
            Err(failure) => {
                let at = (failure.at as usize).min(buffer.len() - 1);
                // A panic blames no event: all of them go, or the next flush panics again.
                if failure.panicked {
                    buffer.clear()
                } else {
                    drop(buffer.remove(at))
                }
                Err(failure)
            }
        }
    }

    /// A terminal of the reactor's own package delivered under the name of a state source.
    pub(crate) fn feed_back(&mut self, terminal: &str, value: &[u8]) {
        let Some(source) = self.def.source(terminal) else { return };
        if let Some(AccumulatorDef { kind: AccumulatorKind::State { capacity }, .. }) =
            self.def.sources[source].accumulator
        {
            self.remember(source, value.to_vec(), capacity);
            self.sources[source].dirty = false;
        }
    }

    /// True when the news are reason to fire.
    pub(crate) fn is_due(&self) -> bool {
        let dirty = |place: &usize| self.sources[*place].dirty;
        match &self.def.criteria {
            Criteria::Any(places) => places.iter().any(dirty),
            Criteria::All(places) => places.iter().all(dirty),
        }
    }

    /// Counts a firing; the news are old now.
    pub(crate) fn fire(&mut self) -> u64 {
        self.sources.iter_mut().for_each(|source| source.dirty = false);
        self.fired += 1;
        self.fired
    }

    /// A graph could not read the value of a source: the one before it counts again. Returns the bad one.
    pub(crate) fn revert_input(&mut self, source: &str) -> Option<Event> {
        let place = self.def.source(source)?;
        let bad = self.cache.get_raw(source).map(Event::from);
        match self.before[place].take() {
            Some(before) => self.cache.put(SourceName::new(source), before),
            None => self.cache.remove(source),
        }
        bad
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::reactor_def::{InputStrategy, SourceDef};
    use proptest::prelude::*;

    /// Says every event again; a batch is its last event, and fails at an empty one.
    struct Echo;

    impl GraphCalls for Echo {
        fn fire(
            &self,
            _: u32,
            _: &InputCache,
            _: u64,
        ) -> Result<crate::port::graph_calls::Outputs, CallFailure> {
            Ok(Vec::new())
        }
        fn event(&self, _: u32, event: &[u8]) -> Result<Vec<u8>, CallFailure> {
            Ok(event.to_vec())
        }
        fn stateful(&self, _: u32, state: &[u8], event: &[u8]) -> Result<(Vec<u8>, Vec<u8>), CallFailure> {
            let all = [state, event].concat();
            Ok((all.clone(), all))
        }
        fn batch(&self, _: u32, events: &[&[u8]]) -> Result<Option<Vec<u8>>, CallFailure> {
            match events.iter().position(|event| event.is_empty()) {
                Some(at) => Err(CallFailure { at: at as u32, ..CallFailure::default() }),
                None => Ok(events.last().map(|event| event.to_vec())),
            }
        }
        fn poll(&self, _: u32, _: u64) -> Result<Option<Vec<u8>>, CallFailure> {
            Ok(None)
        }
    }

    fn state(kinds: &[Option<AccumulatorKind>], criteria: Criteria) -> ReactorState {
        let source = |(i, kind): (usize, &Option<AccumulatorKind>)| SourceDef {
            name: format!("s{i}"),
            accumulator: kind.clone().map(|kind| AccumulatorDef { index: i as u32, kind, stateful: false }),
        };
        ReactorState::new(Arc::new(ReactorDef {
            digest: longshore_store::Digest::from_sha256([1; 32]),
            package: "p".into(),
            name: "r".into(),
            sources: kinds.iter().enumerate().map(source).collect(),
            criteria,
            strategy: InputStrategy::Latest,
        }))
    }

    fn event(bytes: &[u8]) -> Event {
        bytes.into()
    }

    #[test]
    fn all_waits_for_each_source_and_any_for_one() {
        let mut all = state(&[None, None], Criteria::All(vec![0, 1]));
        all.take(&Echo, 0, &event(b"1")).expect("taken");
        assert!(!all.is_due());
        assert_eq!(all.missing(), ["s1"]);
        all.take(&Echo, 1, &event(b"2")).expect("taken");
        assert!(all.is_due());
        assert_eq!(all.fire(), 1);
        assert!(!all.is_due());
        let mut any = state(&[None, None], Criteria::Any(vec![1]));
        any.take(&Echo, 0, &event(b"1")).expect("taken");
        assert!(!any.is_due(), "this source is not among the criteria");
    }

    #[test]
    fn a_batch_says_something_when_it_is_full_and_a_bad_event_goes_alone() {
        let batch = AccumulatorKind::Batch { flush_interval: std::time::Duration::ZERO, max_buffer_size: 3 };
        let mut state = state(&[Some(batch)], Criteria::Any(vec![0]));
        assert_eq!(state.take(&Echo, 0, &event(b"a")), Ok(false));
        assert_eq!(state.take(&Echo, 0, &event(b"")), Ok(false));
        assert_eq!(state.take(&Echo, 0, &event(b"c")).expect_err("the empty one").at, 1);
        assert_eq!(state.flush(&Echo, 0), Ok(true));
        assert_eq!(state.cache().get_raw("s0"), Some(&b"c"[..]));
        assert_eq!(state.flush(&Echo, 0), Ok(false));
    }

    #[test]
    fn a_value_that_no_graph_reads_gives_way_to_the_one_before() {
        let mut state = state(&[None], Criteria::Any(vec![0]));
        state.take(&Echo, 0, &event(b"good")).expect("taken");
        state.take(&Echo, 0, &event(b"bad")).expect("taken");
        assert_eq!(state.revert_input("s0").as_deref(), Some(&b"bad"[..]));
        assert_eq!(state.cache().get_raw("s0"), Some(&b"good"[..]));
        state.revert_input("s0");
        assert!(state.cache().is_empty());
    }

    proptest! {
        #[test]
        fn a_history_keeps_the_last_values_and_survives_a_restart(
            values in proptest::collection::vec(any::<u16>(), 1..40), capacity in 1_usize..10,
        ) {
            let mut state = state(&[Some(AccumulatorKind::State { capacity: Some(capacity) })], Criteria::Any(vec![0]));
            for value in &values {
                let bytes = longshore_workflow::serialize(value).expect("a number");
                state.take(&Echo, 0, &bytes.into()).expect("taken");
            }
            let restored = ReactorState::restored(Arc::clone(&state.def), &state.to_bytes());
            let kept: Vec<u16> = restored.cache().get("s0").expect("numbers").expect("a value");
            prop_assert_eq!(kept, values[values.len().saturating_sub(capacity)..].to_vec());
            prop_assert!(restored.is_due());
        }
    }
}
