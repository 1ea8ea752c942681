//! One running reactor: its values, its inbox, its bindings, its counters.

use crate::model::reactor_def::AccumulatorKind;
use crate::port::graph_calls::{GraphCalls, Outputs};
use crate::reactors::bindings::{Bindings, GraphBinding};
use crate::reactors::inbox::Inbox;
use crate::reactors::state::{DeadLetter, Event, Payload, ReactorState};
use crate::reactors::status::{Health, ReactorStatus, SourceStatus};
use crate::sync::lock;
use longshore_store::DeadLetterId;
use longshore_workflow_plugin::wire::CallFailure;
use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// The additional time a graph is waited for before it counts as one that never returns: it blocks its thread.
const GRACE: Duration = Duration::from_secs(2);

/// Firings that wait to start the workflows that subscribe to them.
pub(crate) const MAX_FIRED: usize = 65_536;

/// Rejected events that wait to be recorded.
const MAX_DEAD_LETTERS: usize = 1000;

/// A firing's outcome, for subscribed workflows.
#[derive(Debug)]
pub(crate) struct Fired {
    pub(crate) reactor: String,
    pub(crate) graph: String,
    pub(crate) number: u64,
    pub(crate) outputs: Outputs,
}

/// A running reactor.
pub(crate) struct Reactor {
    pub(crate) name: String,
    /// The name of its rows: its own, but in a replay, which has nothing to do with what is recorded under that.
    pub(crate) record: String,
    pub(super) bindings: Mutex<Arc<Bindings>>,
    /// Connections that are taken up between two calls.
    next: Mutex<Option<Arc<Bindings>>>,
    pub(super) inbox: Mutex<Inbox>,
    pub(super) state: Mutex<ReactorState>,
    pub(super) fired: mpsc::Sender<Fired>,
    pub(super) dead_letters: Mutex<Vec<DeadLetter>>,
    pub(crate) problems: Mutex<BTreeMap<String, String>>,
    pub(super) firings: AtomicU64,
    pub(super) dropped: AtomicU64,
    pub(super) rejected: AtomicU64,
    pub(crate) pending: AtomicU64,
    pub(super) paused: AtomicBool,
    /// When the call began that is going on.
    pub(super) calling: Mutex<Option<Instant>>,
    /// True when something changed that is worth recording.
    pub(super) touched: AtomicBool,
}

impl Reactor {
    pub(crate) fn new(
        record: String,
        bindings: Bindings,
        state: ReactorState,
        paused: bool,
        fired: mpsc::Sender<Fired>,
    ) -> Self {
        let sources = bindings.def.sources.len();
        Self {
            name: bindings.def.name.clone(),
            record,
            bindings: Mutex::new(Arc::new(bindings)),
            next: Mutex::default(),
            inbox: Mutex::new(Inbox::new(sources)),
            firings: AtomicU64::new(state.fired()),
            state: Mutex::new(state),
            fired,
            dead_letters: Mutex::default(),
            problems: Mutex::default(),
            dropped: AtomicU64::new(0),
            rejected: AtomicU64::new(0),
            pending: AtomicU64::new(0),
            paused: AtomicBool::new(paused),
            calling: Mutex::new(None),
            touched: AtomicBool::new(true),
        }
    }

    pub(crate) fn bindings(&self) -> Arc<Bindings> {
        Arc::clone(&lock(&self.bindings))
    }

    /// Connects it anew, as when a package was swapped. It takes the connections up between two calls: at once when no
    /// graph is being called, see [`Reactor::take_up`]. Events that wait go on waiting.
    pub(crate) fn hand_over(&self, bindings: Option<Arc<Bindings>>) {
        *lock(&self.next) = bindings;
    }

    /// True when connections wait to be taken up.
    pub(crate) fn is_handed_over(&self) -> bool {
        lock(&self.next).is_some()
    }

    /// Takes up the connections that were handed over. False when they wait still: a graph is being called, and its
    /// values are in use.
    pub(crate) fn take_up(&self) -> bool {
        if !self.is_handed_over() {
            return true;
        }
        let Ok(mut state) = self.state.try_lock() else { return false };
        let Some(bindings) = lock(&self.next).take() else { return true };
        let before = self.bindings();
        for graph in &bindings.graphs {
            let same = |old: &&Arc<GraphBinding>| {
                (&old.def.package, &old.def.name) == (&graph.def.package, &graph.def.name)
            };
            if let Some(old) = before.graphs.iter().find(same) {
                graph.inherit(old);
            }
        }
        state.rebound(Arc::clone(&bindings.def));
        // The inbox before the bindings, as everywhere.
        let mut inbox = lock(&self.inbox);
        let old = std::mem::replace(&mut *lock(&self.bindings), Arc::clone(&bindings));
        inbox.rebound(&old.def, &bindings.def);
        drop(inbox);
        drop(state);
        self.touch();
        true
    }

    /// True when a graph that missed a firing may be called again.
    pub(crate) fn may_make_up(&self) -> bool {
        self.bindings().graphs.iter().any(|graph| graph.may_make_up())
    }

    /// True when a graph missed a firing.
    pub(crate) fn has_missed(&self) -> bool {
        self.bindings().graphs.iter().any(|graph| graph.has_missed())
    }

    /// Closes the circuits of graphs that failed too often in a row.
    pub(crate) fn reset(&self) {
        self.bindings().graphs.iter().for_each(|graph| graph.reset());
    }

    pub(crate) fn touch(&self) {
        // Only the first event since the last record pays for a write to a shared line.
        if !self.touched.load(Ordering::Relaxed) {
            self.touched.store(true, Ordering::Relaxed);
        }
    }

    /// True when something changed since this was asked last.
    pub(crate) fn take_touched(&self) -> bool {
        self.touched.swap(false, Ordering::Relaxed)
    }

    pub(crate) fn is_paused(&self) -> bool {
        self.paused.load(Ordering::Relaxed)
    }

    pub(crate) fn pause(self: &Arc<Self>, paused: bool) {
        self.paused.store(paused, Ordering::Relaxed);
        self.touch();
        self.pump_if_needed();
    }

    /// True when events wait, or are being looked at.
    pub(crate) fn is_busy(&self) -> bool {
        let inbox = lock(&self.inbox);
        inbox.pumping || !inbox.is_empty() && !self.is_paused()
    }

    /// The values for the next host; none while a graph is being called.
    pub(crate) fn state(&self) -> Option<Vec<u8>> {
        self.state.try_lock().ok().map(|state| state.to_bytes())
    }

    pub(crate) fn count_event(&self, source: usize) {
        if let Some(count) = lock(&self.inbox).counts.get_mut(source) {
            *count += 1;
        }
        self.touch();
    }

    pub(crate) fn reject(&self, source: &str, position: String, payload: Payload, failure: CallFailure) {
        self.rejected.fetch_add(1, Ordering::Relaxed);
        self.touch();
        let mut dead_letters = lock(&self.dead_letters);
        if dead_letters.len() < MAX_DEAD_LETTERS {
            let (id, source) = (DeadLetterId::new(), source.to_owned());
            dead_letters.push(DeadLetter { id, source, position, payload, failure });
        }
    }

    /// Rejected events that are not recorded yet, oldest first.
    pub(crate) fn dead_letters(&self) -> Vec<DeadLetter> {
        lock(&self.dead_letters).clone()
    }

    /// The oldest so many rejected events are recorded.
    pub(crate) fn dead_letters_recorded(&self, count: usize) {
        lock(&self.dead_letters).drain(..count);
    }

    /// True when a batch source has events that wait.
    pub(crate) fn has_buffered(&self, source: usize) -> bool {
        self.state.try_lock().is_ok_and(|state| state.has_buffered(source))
    }

    pub(super) fn take(
        &self,
        calls: &dyn GraphCalls,
        state: &mut ReactorState,
        source: usize,
        event: &Event,
        position: String,
    ) {
        let Err(failure) = state.take(calls, source, event) else { return };
        let name = self.bindings().def.sources[source].name.clone();
        self.reject(&name, position, Payload::Event(Arc::clone(event)), failure);
    }

    pub(super) fn flush_now(&self, calls: &dyn GraphCalls, state: &mut ReactorState, source: usize) {
        // One event less at each failure: this ends.
        while let Err(failure) = state.flush(calls, source) {
            let name = self.bindings().def.sources[source].name.clone();
            self.reject(&name, "in a batch".to_owned(), Payload::Batch, failure);
        }
    }

    /// Hands a firing to the workflows that subscribe. One for which there is no room starts none of them, and
    /// counts as dropped: whoever needs each of them declares the reactor `sequential`.
    pub(super) fn tell_subscribers(&self, bindings: &Bindings, graph: &str, number: u64, outputs: Outputs) {
        if bindings.subscriptions.is_empty() {
            return;
        }
        let fired = Fired { reactor: self.name.clone(), graph: graph.to_owned(), number, outputs };
        if let Err(mpsc::error::TrySendError::Full(_)) = self.fired.try_send(fired)
            && self.dropped.fetch_add(1, Ordering::Relaxed).is_multiple_of(MAX_FIRED as u64)
        {
            tracing::error!(reactor = self.name, "it fires faster than workflows start; firings start none");
        }
    }

    /// A value that a graph could not read is taken back and kept for a look.
    pub(super) fn reject_input(&self, state: &mut ReactorState, failure: CallFailure) {
        if failure.source.is_empty() {
            return;
        }
        let source = failure.source.clone();
        if let Some(bad) = state.revert_input(&source) {
            self.reject(&source, "as read by a graph".to_owned(), Payload::Derived(bad), failure);
        }
    }

    pub(crate) fn status(&self) -> ReactorStatus {
        let bindings = self.bindings();
        let def = &bindings.def;
        // A reactor whose graph does not return holds this lock: what it says then needs no values.
        let state = self.state.try_lock().ok();
        let (waiting, counts) = {
            let inbox = lock(&self.inbox);
            let waiting = inbox.slots.iter().map(VecDeque::len).sum::<usize>();
            (waiting + usize::from(inbox.pumping), inbox.counts.clone())
        };
        let source = |(place, source): (usize, &crate::model::reactor_def::SourceDef)| SourceStatus {
            name: source.name.clone(),
            kind: kind_of(source.accumulator.as_ref().map(|a| &a.kind)),
            has_value: state.as_ref().is_some_and(|state| state.has(place)),
            events: counts.get(place).copied().unwrap_or(0),
            problem: lock(&self.problems).get(&source.name).cloned(),
        };
        ReactorStatus {
            name: self.name.clone(),
            package: def.package.clone(),
            digest: def.digest.clone(),
            strategy: def.strategy.as_str(),
            health: self.health(&bindings, state.as_deref(), counts.iter().all(|count| *count == 0)),
            paused: self.is_paused(),
            fired: self.firings.load(Ordering::Relaxed),
            dropped: self.dropped.load(Ordering::Relaxed),
            rejected: self.rejected.load(Ordering::Relaxed),
            pending: self.pending.load(Ordering::Relaxed) + waiting as u64,
            sources: def.sources.iter().enumerate().map(source).collect(),
            graphs: bindings
                .graphs
                .iter()
                .map(|graph| lock(&graph.counts).status(&graph.def.name, &graph.def.package))
                .collect(),
        }
    }

    fn health(&self, bindings: &Bindings, state: Option<&ReactorState>, is_silent: bool) -> Health {
        let in_call = lock(&self.calling).map(|began| began.elapsed());
        if let Some(stuck) = in_call.filter(|since| *since > bindings.deadline + GRACE) {
            return Health::Degraded {
                reason: format!("a graph has not returned for {} s; its thread is lost", stuck.as_secs()),
            };
        }
        if let Some(next) = &*lock(&self.next) {
            return Health::Degraded {
                reason: format!(
                    "a graph of {} has not returned; {} waits for it",
                    bindings.def.digest.short(),
                    next.def.digest.short()
                ),
            };
        }
        if let Some(graph) = bindings.graphs.iter().find(|graph| graph.is_open()) {
            return Health::Degraded {
                reason: format!(
                    "graph `{}` failed too often in a row and is tried from time to time; \
                     `longshore reactors reset` calls it again at once",
                    graph.def.name
                ),
            };
        }
        if let Some((source, problem)) = lock(&self.problems).iter().next() {
            return Health::Degraded { reason: format!("source `{source}`: {problem}") };
        }
        match state.map(ReactorState::missing) {
            // No graph runs and no event came: the values are being recorded.
            None if is_silent && in_call.is_none() => Health::Starting,
            None => Health::Live,
            Some(missing) if missing.is_empty() => Health::Live,
            Some(_) if is_silent && state.is_some_and(|state| state.cache().is_empty()) => Health::Starting,
            Some(missing) => Health::Warming { missing },
        }
    }
}

fn kind_of(kind: Option<&AccumulatorKind>) -> &'static str {
    match kind {
        None | Some(AccumulatorKind::Passthrough) => "passthrough",
        Some(AccumulatorKind::Polling { .. }) => "polling",
        Some(AccumulatorKind::Batch { .. }) => "batch",
        Some(AccumulatorKind::Stream(_)) => "stream",
        Some(AccumulatorKind::State { .. }) => "state",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::reactor_def::{Criteria, InputStrategy, ReactorDef, SourceDef};
    use crate::port::graph_calls::{GraphJob, GraphRunner};
    use longshore_store::Digest;

    /// Takes no calls.
    struct Closed;

    impl GraphRunner for Closed {
        fn run(&self, _: GraphJob) -> bool {
            false
        }
    }

    fn bindings(version: u8) -> Bindings {
        let def = ReactorDef {
            digest: Digest::from_sha256([version; 32]),
            package: "p".into(),
            name: "r".into(),
            sources: vec![SourceDef { name: "s".into(), accumulator: None }],
            criteria: Criteria::Any(vec![0]),
            strategy: InputStrategy::Latest,
        };
        let (runner, deadline) = (Arc::new(Closed), Duration::from_secs(1));
        Bindings { def: Arc::new(def), runner, graphs: Vec::new(), subscriptions: Vec::new(), deadline }
    }

    #[test]
    fn another_version_is_taken_up_when_a_call_returns_and_the_status_says_what_it_waits_for() {
        let first = bindings(1);
        let state = ReactorState::new(Arc::clone(&first.def));
        let reactor = Reactor::new("r".to_owned(), first, state, false, mpsc::channel(1).0);
        let calling = lock(&reactor.state);
        reactor.hand_over(Some(Arc::new(bindings(2))));
        assert!(!reactor.take_up() && reactor.is_handed_over());
        let Health::Degraded { reason } = reactor.status().health else { panic!("it waits") };
        assert!(reason.contains("has not returned"), "{reason}");
        // The newest version counts.
        reactor.hand_over(Some(Arc::new(bindings(3))));
        drop(calling);
        assert!(reactor.take_up() && !reactor.is_handed_over());
        assert_eq!(reactor.status().digest, Digest::from_sha256([3; 32]));
        assert!(!matches!(reactor.status().health, Health::Degraded { .. }));
    }
}
