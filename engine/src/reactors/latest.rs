//! A `latest` reactor: events are taken in memory, newer ones in the place of older ones.

use crate::model::reactor_def::AccumulatorKind;
use crate::port::graph_calls::{GraphCalls, GraphRunner, Outputs};
use crate::reactors::bindings::{Bindings, GraphBinding};
use crate::reactors::inbox::Taken;
use crate::reactors::reactor::Reactor;
use crate::reactors::state::{Event, ReactorState};
use crate::sync::lock;
use longshore_workflow::InputCache;
use longshore_workflow_plugin::wire::CallFailure;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

/// Looks at the inbox after which a reactor goes to the back of the queue of its package, where others wait.
const MAX_LOOKS: usize = 16;

/// Events of a source that must not be dropped that wait at the same time, with strategy `latest`.
const MAX_WAITING: usize = 10_000;

impl Reactor {
    /// Takes an event. It is looked at before this returns when the reactor is idle and its package is this
    /// program; a newer event takes the place of one that was not looked at yet.
    pub(crate) fn offer(self: &Arc<Self>, source: usize, event: Event, position: String) {
        self.touch();
        {
            let mut inbox = lock(&self.inbox);
            let keeps_all = self.keeps_all(source);
            // A feed of the version before may say something in the moment of a swap.
            let Some(count) = inbox.counts.get_mut(source) else { return };
            *count += 1;
            let slot = &mut inbox.slots[source];
            let most = if keeps_all { MAX_WAITING } else { 1 };
            while slot.len() >= most {
                slot.pop_front();
                self.dropped.fetch_add(1, Ordering::Relaxed);
            }
            slot.push_back((event, position));
            if inbox.pumping || self.is_paused() {
                return;
            }
            inbox.pumping = true;
        }
        self.pump();
    }

    /// True when each event of a source counts: those that are gathered.
    fn keeps_all(&self, source: usize) -> bool {
        let bindings = lock(&self.bindings);
        let accumulator = bindings.def.sources.get(source).and_then(|source| source.accumulator.as_ref());
        accumulator.is_some_and(|a| {
            a.stateful || matches!(a.kind, AccumulatorKind::Batch { .. } | AccumulatorKind::State { .. })
        })
    }

    /// Flushes a batch.
    pub(crate) fn flush(self: &Arc<Self>, source: usize) {
        lock(&self.inbox).ask_flush(source);
        self.pump_if_needed();
    }

    /// Fires with the values there are, and with these on top.
    pub(crate) fn fire_now(self: &Arc<Self>, values: Vec<(usize, Event)>) {
        {
            let mut inbox = lock(&self.inbox);
            if inbox.manual.len() >= MAX_WAITING {
                inbox.manual.remove(0);
                self.dropped.fetch_add(1, Ordering::Relaxed);
            }
            inbox.manual.push(values);
        }
        self.pump_if_needed();
    }

    pub(super) fn pump_if_needed(self: &Arc<Self>) {
        {
            let mut inbox = lock(&self.inbox);
            if inbox.pumping || inbox.is_empty() || self.is_paused() {
                return;
            }
            inbox.pumping = true;
        }
        self.pump();
    }

    /// Calls the graphs that missed a firing during a pause, with the values there are.
    pub(crate) fn make_up(self: &Arc<Self>) {
        lock(&self.inbox).make_up = true;
        self.pump_if_needed();
    }

    fn pump(self: &Arc<Self>) {
        let (bindings, me) = (self.bindings(), Arc::clone(self));
        let (runner, asked) = (Arc::clone(&bindings.runner), Arc::clone(&bindings));
        let accepted = runner.run(Box::new(move |calls| me.drain(calls, &bindings)));
        if !accepted {
            // The package is on its way out; being connected anew pumps again, and may have been a moment ago.
            lock(&self.inbox).pumping = false;
            if !Arc::ptr_eq(&self.bindings(), &asked) {
                self.pump_if_needed();
            }
        }
    }

    /// Looks at what waits, until nothing does, the package changes, or others have waited for long.
    fn drain(self: &Arc<Self>, calls: &dyn GraphCalls, bindings: &Arc<Bindings>) {
        for look in 1.. {
            self.take_up();
            let Some(taken) = self.take_waiting(bindings) else { return };
            let mut state = lock(&self.state);
            if !Arc::ptr_eq(&lock(&self.bindings), bindings) {
                // Swapped in this moment: what was taken out is put back for the new version.
                drop(state);
                self.put_back(bindings, taken);
                continue;
            }
            if let Some(left) = self.look_at(calls, bindings, &mut state, taken) {
                drop(state);
                self.put_back(bindings, left);
                continue;
            }
            drop(state);
            if look >= MAX_LOOKS && bindings.runner.is_shared() {
                return self.pump();
            }
        }
    }

    /// Takes out what waits. When that is nothing, or not for these connections, the pumping ends.
    fn take_waiting(self: &Arc<Self>, bindings: &Arc<Bindings>) -> Option<Taken> {
        let mut inbox = lock(&self.inbox);
        let moved = !Arc::ptr_eq(&lock(&self.bindings), bindings);
        if inbox.is_empty() || self.is_paused() || moved {
            inbox.pumping = false;
            let again = moved && !inbox.is_empty();
            drop(inbox);
            if again {
                self.pump_if_needed();
            }
            return None;
        }
        Some(inbox.take())
    }

    /// Takes events and fires. Returns what is left when the next version waits: the calls between which it is taken up
    /// may be long.
    fn look_at(
        self: &Arc<Self>,
        calls: &dyn GraphCalls,
        bindings: &Arc<Bindings>,
        state: &mut ReactorState,
        taken: Taken,
    ) -> Option<Taken> {
        for (source, event, position) in taken.events {
            self.take(calls, state, source, &event, position);
        }
        for source in taken.flush {
            self.flush_now(calls, state, source);
        }
        if state.is_due() {
            self.fire(calls, bindings, state);
        }
        if taken.make_up {
            self.call_missed(calls, bindings, state);
        }
        let mut manual = taken.manual.into_iter();
        while let Some(values) = manual.next() {
            for (source, event) in values {
                self.take(calls, state, source, &event, "manual".to_owned());
            }
            self.fire(calls, bindings, state);
            if self.is_handed_over() && manual.len() > 0 {
                let manual = manual.collect();
                return Some(Taken { events: Vec::new(), flush: Vec::new(), manual, make_up: false });
            }
        }
        None
    }

    /// Puts events back in front of those that came since, as far as the new version has their sources.
    fn put_back(&self, old: &Bindings, taken: Taken) {
        let mut inbox = lock(&self.inbox);
        let new = self.bindings();
        inbox.put_back(taken, &old.def, &new.def);
    }

    fn fire(self: &Arc<Self>, calls: &dyn GraphCalls, bindings: &Arc<Bindings>, state: &mut ReactorState) {
        let number = state.fire();
        self.firings.store(number, Ordering::Relaxed);
        self.touch();
        for graph in &bindings.graphs {
            if graph.is_callable() {
                graph.take_missed();
                self.call(calls, bindings, graph, number, state);
            } else {
                graph.miss();
            }
        }
    }

    /// Calls the graphs that missed the last firing, as far as they may be called again.
    fn call_missed(
        self: &Arc<Self>,
        calls: &dyn GraphCalls,
        bindings: &Arc<Bindings>,
        state: &mut ReactorState,
    ) {
        for graph in bindings.graphs.iter().filter(|graph| graph.may_make_up()) {
            graph.take_missed();
            self.call(calls, bindings, graph, state.fired(), state);
        }
    }

    fn call(
        self: &Arc<Self>,
        calls: &dyn GraphCalls,
        bindings: &Bindings,
        graph: &Arc<GraphBinding>,
        number: u64,
        state: &mut ReactorState,
    ) {
        match &graph.runner {
            Some(runner) => self.post(graph, runner, number, state.cache().clone()),
            None => {
                *lock(&self.calling) = Some(Instant::now());
                let result = graph.call(calls, state.cache());
                *lock(&self.calling) = None;
                self.finish(bindings, graph, state, number, result);
            }
        }
    }

    fn finish(
        &self,
        bindings: &Bindings,
        graph: &GraphBinding,
        state: &mut ReactorState,
        number: u64,
        result: Result<Outputs, CallFailure>,
    ) {
        match result {
            Ok(outputs) => {
                for (terminal, value) in &outputs {
                    state.feed_back(terminal, value);
                }
                self.tell_subscribers(bindings, &graph.def.name, number, outputs);
            }
            Err(failure) => self.reject_input(state, failure),
        }
    }

    /// Gives a graph of another package a firing; one that it did not get to is replaced.
    fn post(
        self: &Arc<Self>,
        graph: &Arc<GraphBinding>,
        runner: &Arc<dyn GraphRunner>,
        number: u64,
        cache: InputCache,
    ) {
        {
            let mut mailbox = lock(&graph.mailbox);
            if mailbox.next.replace((number, cache)).is_some() {
                self.dropped.fetch_add(1, Ordering::Relaxed);
            }
            if std::mem::replace(&mut mailbox.running, true) {
                return;
            }
        }
        let (me, graph_) = (Arc::clone(self), Arc::clone(graph));
        let accepted = runner.run(Box::new(move |calls| {
            loop {
                let next = {
                    let mut mailbox = lock(&graph_.mailbox);
                    let next = mailbox.next.take();
                    mailbox.running = next.is_some();
                    next
                };
                let Some((number, cache)) = next else { return };
                let result = graph_.call(calls, &cache);
                if let Ok(outputs) = result {
                    me.tell_subscribers(&me.bindings(), &graph_.def.name, number, outputs);
                }
            }
        }));
        if !accepted {
            lock(&graph.mailbox).running = false;
        }
    }
}
