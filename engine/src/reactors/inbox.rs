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
    /// Graphs that missed a firing are called with the values there are.
    pub(crate) make_up: bool,
    pub(crate) pumping: bool,
}

/// What was taken out of an inbox, to be looked at.
pub(crate) struct Taken {
    pub(crate) events: Vec<(usize, Event, String)>,
    pub(crate) flush: Vec<usize>,
    pub(crate) manual: Vec<Vec<(usize, Event)>>,
    pub(crate) make_up: bool,
}

impl Inbox {
    pub(crate) fn new(sources: usize) -> Self {
        Self { slots: vec![VecDeque::new(); sources], counts: vec![0; sources], ..Self::default() }
    }

    /// The same events under another definition of the reactor. Those of a source that is gone go.
    pub(crate) fn rebound(&mut self, old: &ReactorDef, new: &ReactorDef) {
        let mut next = Self { pumping: self.pumping, make_up: self.make_up, ..Self::new(new.sources.len()) };
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

    /// Takes out what waits.
    pub(crate) fn take(&mut self) -> Taken {
        let slots = self.slots.iter_mut().enumerate();
        Taken {
            events: slots
                .flat_map(|(source, slot)| slot.drain(..).map(move |(event, at)| (source, event, at)))
                .collect(),
            flush: std::mem::take(&mut self.flush),
            manual: std::mem::take(&mut self.manual),
            make_up: std::mem::take(&mut self.make_up),
        }
    }

    /// Puts what was taken out under another definition back in front of what came since.
    pub(crate) fn put_back(&mut self, taken: Taken, old: &ReactorDef, new: &ReactorDef) {
        let Taken { events, flush, manual, make_up } = taken;
        let mut before = Self { flush, manual, make_up, ..Self::new(old.sources.len()) };
        for (source, event, position) in events {
            before.slots[source].push_back((event, position));
        }
        before.rebound(old, new);
        for (slot, mut waiting) in self.slots.iter_mut().zip(before.slots) {
            waiting.append(slot);
            *slot = waiting;
        }
        before.flush.append(&mut self.flush);
        before.manual.append(&mut self.manual);
        (self.flush, self.manual) = (before.flush, before.manual);
        self.make_up |= before.make_up;
    }

    /// Asks for a flush; once is enough however often it is asked for.
    pub(crate) fn ask_flush(&mut self, source: usize) {
        if !self.flush.contains(&source) {
            self.flush.push(source);
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        let no_events = self.slots.iter().all(VecDeque::is_empty);
        no_events && self.flush.is_empty() && self.manual.is_empty() && !self.make_up
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::reactor_def::{Criteria, InputStrategy, SourceDef};

    fn def() -> ReactorDef {
        ReactorDef {
            digest: longshore_store::Digest::from_sha256([1; 32]),
            package: "p".into(),
            name: "r".into(),
            sources: vec![SourceDef { name: "s".into(), accumulator: None }],
            criteria: Criteria::Any(vec![0]),
            strategy: InputStrategy::Latest,
        }
    }

    fn inbox(events: &[&[u8]], manual: &[u8]) -> Inbox {
        let mut inbox = Inbox::new(1);
        inbox.slots[0].extend(events.iter().map(|event| (Event::from(*event), String::new())));
        inbox.manual.push(vec![(0, manual.into())]);
        inbox
    }

    #[test]
    fn what_is_put_back_stands_before_what_came_since() {
        let mut since = inbox(&[b"new"], b"second");
        let taken = inbox(&[b"old", b"older"], b"first").take();
        let def = def();
        since.put_back(taken, &def, &def);
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
