//! The news that waits for a `latest` reactor.

use crate::model::reactor_def::{ReactorDef, place_in};
use crate::reactors::state::Event;
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
    pub(crate) fn rebound(&mut self, old: &ReactorDef, new: &ReactorDef) {
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

    /// Puts what was taken out back in front of what came since.
    pub(crate) fn put_back(&mut self, mut taken: Self) {
        for (slot, mut waiting) in self.slots.iter_mut().zip(taken.slots) {
            waiting.append(slot);
            *slot = waiting;
        }
        taken.flush.append(&mut self.flush);
        taken.manual.append(&mut self.manual);
        (self.flush, self.manual) = (taken.flush, taken.manual);
    }

    /// Asks for a flush; once is enough however often it is asked for.
    pub(crate) fn ask_flush(&mut self, source: usize) {
        if !self.flush.contains(&source) {
            self.flush.push(source);
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.slots.iter().all(VecDeque::is_empty) && self.flush.is_empty() && self.manual.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inbox(events: &[&[u8]]) -> Inbox {
        let mut inbox = Inbox::new(1);
        inbox.slots[0].extend(events.iter().map(|event| (Event::from(*event), String::new())));
        inbox
    }

    #[test]
    fn what_is_put_back_stands_before_what_came_since() {
        let mut since = inbox(&[b"new"]);
        since.manual.push(vec![(0, b"second"[..].into())]);
        let mut taken = inbox(&[b"old", b"older"]);
        taken.manual.push(vec![(0, b"first"[..].into())]);
        since.put_back(taken);
        let events: Vec<&[u8]> = since.slots[0].iter().map(|(event, _)| &**event).collect();
        assert_eq!(events, [&b"old"[..], b"older", b"new"]);
        let manual: Vec<&[u8]> = since.manual.iter().map(|values| &*values[0].1).collect();
        assert_eq!(manual, [&b"first"[..], b"second"]);
    }

    #[test]
    fn a_flush_that_is_asked_for_again_and_again_waits_once() {
        let mut inbox = Inbox::new(2);
        (0..100).for_each(|_| inbox.ask_flush(1));
        assert_eq!(inbox.flush, [1]);
    }
}
