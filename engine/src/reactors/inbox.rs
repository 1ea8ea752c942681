//! What waits to be looked at by a `latest` reactor.

use super::core::Event;
use super::def::{ReactorDef, place_in};
use std::collections::VecDeque;

/// Events on their way into a `latest` reactor.
#[derive(Default)]
pub(crate) struct Inbox {
    pub(crate) slots: Vec<VecDeque<(Event, String)>>,
    /// Events that each source got, those included that did not come this way.
    pub(crate) counts: Vec<u64>,
    pub(crate) flush: Vec<usize>,
    /// Firings that somebody asked for, with values of their own.
    pub(crate) manual: Vec<Vec<(usize, Event)>>,
    pub(crate) pumping: bool,
}

impl Inbox {
    pub(crate) fn new(sources: usize) -> Self {
        Self { slots: vec![VecDeque::new(); sources], counts: vec![0; sources], ..Self::default() }
    }

    /// The same events under another definition of the reactor. Those of a source that is gone go.
    pub(crate) fn rewired(&mut self, old: &ReactorDef, new: &ReactorDef) {
        let mut next = Self { pumping: self.pumping, ..Self::new(new.sources.len()) };
        for (source, (slot, count)) in self.slots.drain(..).zip(self.counts.drain(..)).enumerate() {
            if let Some(place) = place_in(new, old, source) {
                (next.slots[place], next.counts[place]) = (slot, count);
            }
        }
        next.flush = self.flush.drain(..).filter_map(|source| place_in(new, old, source)).collect();
        let moved = |(source, event)| Some((place_in(new, old, source)?, event));
        next.manual =
            self.manual.drain(..).map(|values| values.into_iter().filter_map(moved).collect()).collect();
        *self = next;
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.slots.iter().all(VecDeque::is_empty) && self.flush.is_empty() && self.manual.is_empty()
    }
}
