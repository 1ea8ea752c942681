//! One running reactor: takes events, fires graphs, counts.

use super::calls::{GraphCalls, GraphRunner, Outputs};
use super::core::{Core, Event, Rejected};
use super::def::AccumulatorKind;
use super::inbox::Inbox;
use super::status::{Health, ReactorStatus, SourceStatus};
use super::wiring::{Wired, Wiring, lock};
use longshore_workflow::InputCache;
use longshore_workflow_plugin::wire::CallFailure;
use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// How much longer a graph is waited for before it counts as one that never returns: it blocks its thread.
const GRACE: Duration = Duration::from_secs(2);

/// Events of a source that must not be dropped that wait at the same time, with strategy `latest`.
const MAX_WAITING: usize = 10_000;

/// Firings that wait to start the workflows that subscribe to them.
pub(crate) const MAX_FIRED: usize = 65_536;

/// Rejected events that wait to be recorded.
const MAX_REJECTED: usize = 1000;

/// A firing's outcome, for subscribed workflows.
#[derive(Debug)]
pub(crate) struct Fired {
    pub(crate) reactor: String,
    pub(crate) number: u64,
    pub(crate) outputs: Outputs,
}

/// A running reactor.
pub(crate) struct Reactor {
    pub(crate) name: String,
    wiring: Mutex<Arc<Wiring>>,
    inbox: Mutex<Inbox>,
    core: Mutex<Core>,
    fired: mpsc::Sender<Fired>,
    rejects: Mutex<Vec<Rejected>>,
    pub(crate) problems: Mutex<BTreeMap<String, String>>,
    firings: AtomicU64,
    dropped: AtomicU64,
    rejected: AtomicU64,
    pub(crate) pending: AtomicU64,
    paused: AtomicBool,
    /// When the call began that is going on.
    calling: Mutex<Option<Instant>>,
    /// Whether something changed that is worth recording.
    touched: AtomicBool,
}

/// What became of inputs that were processed in order.
#[derive(Default)]
pub(crate) struct Processed {
    /// (input, graph, outputs).
    pub(crate) outputs: Vec<(i64, String, Outputs)>,
    /// Firings for graphs of other packages: (input, values).
    pub(crate) firings: Vec<(i64, InputCache)>,
    /// The first input that could not be processed yet: its graph is in a pause.
    pub(crate) stopped_at: Option<usize>,
}

impl Reactor {
    pub(crate) fn new(wiring: Wiring, core: Core, paused: bool, fired: mpsc::Sender<Fired>) -> Self {
        let sources = wiring.def.sources.len();
        Self {
            name: wiring.def.name.clone(),
            wiring: Mutex::new(Arc::new(wiring)),
            inbox: Mutex::new(Inbox::new(sources)),
            firings: AtomicU64::new(core.fired()),
            core: Mutex::new(core),
            fired,
            rejects: Mutex::default(),
            problems: Mutex::default(),
            dropped: AtomicU64::new(0),
            rejected: AtomicU64::new(0),
            pending: AtomicU64::new(0),
            paused: AtomicBool::new(paused),
            calling: Mutex::new(None),
            touched: AtomicBool::new(true),
        }
    }

    pub(crate) fn wiring(&self) -> Arc<Wiring> {
        Arc::clone(&lock(&self.wiring))
    }

    /// Connects it anew, as when a package was swapped. Events that wait go on waiting. False while a graph is
    /// being called: its values are in use then, for ever when it never returns.
    pub(crate) fn rewire(self: &Arc<Self>, wiring: &Arc<Wiring>) -> bool {
        let Ok(mut core) = self.core.try_lock() else { return false };
        core.rewired(Arc::clone(&wiring.def));
        // The inbox before the wiring, as everywhere.
        let mut inbox = lock(&self.inbox);
        let old = std::mem::replace(&mut *lock(&self.wiring), Arc::clone(wiring));
        inbox.rewired(&old.def, &wiring.def);
        drop(inbox);
        drop(core);
        self.touch();
        self.pump_if_needed();
        true
    }

    pub(crate) fn touch(&self) {
        // Only the first event since the last record pays for a write to a shared line.
        if !self.touched.load(Ordering::Relaxed) {
            self.touched.store(true, Ordering::Relaxed);
        }
    }

    /// Whether something changed since this was asked last.
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

    /// The values for the next host; none while a graph is being called.
    pub(crate) fn state(&self) -> Option<Vec<u8>> {
        self.core.try_lock().ok().map(|core| core.to_bytes())
    }

    pub(crate) fn count_event(&self, source: usize) {
        if let Some(count) = lock(&self.inbox).counts.get_mut(source) {
            *count += 1;
        }
        self.touch();
    }

    pub(crate) fn reject(&self, source: &str, position: String, event: Event, failure: CallFailure) {
        self.rejected.fetch_add(1, Ordering::Relaxed);
        self.touch();
        let mut rejects = lock(&self.rejects);
        if rejects.len() < MAX_REJECTED {
            rejects.push(Rejected { source: source.to_owned(), position, event, failure });
        }
    }

    /// Rejected events that are not recorded yet, oldest first.
    pub(crate) fn rejects(&self) -> Vec<Rejected> {
        lock(&self.rejects).clone()
    }

    /// The oldest so many rejected events are recorded.
    pub(crate) fn rejects_recorded(&self, count: usize) {
        lock(&self.rejects).drain(..count);
    }

    // ---- `latest`

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

    /// Whether each event of a source counts: those that are gathered.
    fn keeps_all(&self, source: usize) -> bool {
        let wiring = lock(&self.wiring);
        let accumulator = wiring.def.sources.get(source).and_then(|source| source.accumulator.as_ref());
        accumulator.is_some_and(|a| {
            a.stateful || matches!(a.kind, AccumulatorKind::Batch { .. } | AccumulatorKind::State { .. })
        })
    }

    /// Whether a batch source has events that wait.
    pub(crate) fn has_buffered(&self, source: usize) -> bool {
        self.core.try_lock().is_ok_and(|core| core.has_buffered(source))
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

    fn pump_if_needed(self: &Arc<Self>) {
        {
            let mut inbox = lock(&self.inbox);
            if inbox.pumping || inbox.is_empty() || self.is_paused() {
                return;
            }
            inbox.pumping = true;
        }
        self.pump();
    }

    fn pump(self: &Arc<Self>) {
        let (wiring, me) = (self.wiring(), Arc::clone(self));
        let runner = Arc::clone(&wiring.runner);
        let taken = runner.run(Box::new(move |calls| me.drain(calls, &wiring)));
        if !taken {
            // The package is on its way out; being connected anew pumps again.
            lock(&self.inbox).pumping = false;
        }
    }

    /// Looks at what waits, until nothing does or the package changes.
    fn drain(self: &Arc<Self>, calls: &dyn GraphCalls, wiring: &Arc<Wiring>) {
        loop {
            let (events, flush, manual) = {
                let mut inbox = lock(&self.inbox);
                let moved = !Arc::ptr_eq(&lock(&self.wiring), wiring);
                if inbox.is_empty() || self.is_paused() || moved {
                    inbox.pumping = false;
                    let again = moved && !inbox.is_empty();
                    drop(inbox);
                    if again {
                        self.pump_if_needed();
                    }
                    return;
                }
                let events: Vec<(usize, Event, String)> = inbox
                    .slots
                    .iter_mut()
                    .enumerate()
                    .flat_map(|(source, slot)| slot.drain(..).map(move |(event, at)| (source, event, at)))
                    .collect();
                (events, std::mem::take(&mut inbox.flush), std::mem::take(&mut inbox.manual))
            };
            let mut core = lock(&self.core);
            if !Arc::ptr_eq(&lock(&self.wiring), wiring) {
                // Swapped in this moment: what was taken out is put back for the new version.
                drop(core);
                self.put_back(wiring, events, flush, manual);
                continue;
            }
            for (source, event, position) in events {
                self.take(calls, &mut core, source, &event, position);
            }
            for source in flush {
                self.flush_now(calls, &mut core, source);
            }
            if core.is_due() {
                self.fire(calls, wiring, &mut core);
            }
            for values in manual {
                for (source, event) in values {
                    self.take(calls, &mut core, source, &event, "manual".to_owned());
                }
                self.fire(calls, wiring, &mut core);
            }
        }
    }

    /// Puts events back in front of those that came since, as far as the new version has their sources.
    fn put_back(
        &self,
        old: &Wiring,
        events: Vec<(usize, Event, String)>,
        flush: Vec<usize>,
        manual: Vec<Vec<(usize, Event)>>,
    ) {
        let mut inbox = lock(&self.inbox);
        let new = self.wiring();
        let mut before = Inbox { flush, manual, ..Inbox::new(old.def.sources.len()) };
        for (source, event, position) in events {
            before.slots[source].push_back((event, position));
        }
        before.rewired(&old.def, &new.def);
        inbox.put_back(before);
    }

    fn take(&self, calls: &dyn GraphCalls, core: &mut Core, source: usize, event: &Event, position: String) {
        let Err(failure) = core.take(calls, source, event) else { return };
        let name = self.wiring().def.sources[source].name.clone();
        self.reject(&name, position, Arc::clone(event), failure);
    }

    fn flush_now(&self, calls: &dyn GraphCalls, core: &mut Core, source: usize) {
        // One event less at each failure: this ends.
        while let Err(failure) = core.flush(calls, source) {
            let name = self.wiring().def.sources[source].name.clone();
            self.reject(&name, "in a batch".to_owned(), Arc::from(&b"\xc0"[..]), failure);
        }
    }

    fn fire(self: &Arc<Self>, calls: &dyn GraphCalls, wiring: &Arc<Wiring>, core: &mut Core) {
        let number = core.fire();
        self.firings.store(number, Ordering::Relaxed);
        self.touch();
        for graph in &wiring.graphs {
            if !graph.is_callable() {
                continue;
            }
            match &graph.runner {
                Some(runner) => self.post(graph, runner, number, core.cache().clone()),
                None => {
                    *lock(&self.calling) = Some(Instant::now());
                    let result = graph.call(calls, core.cache());
                    *lock(&self.calling) = None;
                    self.finish(wiring, core, number, result);
                }
            }
        }
    }

    fn finish(&self, wiring: &Wiring, core: &mut Core, number: u64, result: Result<Outputs, CallFailure>) {
        match result {
            Ok(outputs) => {
                for (terminal, value) in &outputs {
                    core.feed_back(terminal, value);
                }
                self.tell_subscribers(wiring, number, outputs);
            }
            Err(failure) => self.blame(core, failure),
        }
    }

    /// Hands a firing to the workflows that subscribe. One for which there is no room starts none of them, and
    /// counts as dropped: whoever needs each of them declares the reactor `sequential`.
    fn tell_subscribers(&self, wiring: &Wiring, number: u64, outputs: Outputs) {
        if wiring.subscriptions.is_empty() {
            return;
        }
        let fired = Fired { reactor: self.name.clone(), number, outputs };
        if let Err(mpsc::error::TrySendError::Full(_)) = self.fired.try_send(fired)
            && self.dropped.fetch_add(1, Ordering::Relaxed).is_multiple_of(MAX_FIRED as u64)
        {
            tracing::error!(reactor = self.name, "it fires faster than workflows start; firings start none");
        }
    }

    /// A value that a graph could not read is taken back and kept for a look.
    fn blame(&self, core: &mut Core, failure: CallFailure) {
        if failure.source.is_empty() {
            return;
        }
        let source = failure.source.clone();
        if let Some(bad) = core.take_back(&source) {
            self.reject(&source, "as read by a graph".to_owned(), bad, failure);
        }
    }

    /// Gives a graph of another package a firing; one that it did not get to is replaced.
    fn post(
        self: &Arc<Self>,
        graph: &Arc<Wired>,
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
        let taken = runner.run(Box::new(move |calls| {
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
                    me.tell_subscribers(&me.wiring(), number, outputs);
                }
            }
        }));
        if !taken {
            lock(&graph.mailbox).running = false;
        }
    }

    // ---- `sequential`

    /// Processes inputs in order, where the package may be called. Graphs of other packages are left to the
    /// caller, with the values as they were at each firing.
    pub(crate) fn process(
        &self,
        calls: &dyn GraphCalls,
        wiring: &Wiring,
        inputs: &[(i64, usize, Event)],
    ) -> Processed {
        let mut processed = Processed::default();
        let mut core = lock(&self.core);
        if !std::ptr::eq(&**lock(&self.wiring), wiring) {
            // Swapped in this moment: nothing was done yet.
            processed.stopped_at = Some(0);
            return processed;
        }
        for (at, (seq, source, event)) in inputs.iter().enumerate() {
            if *source >= wiring.def.sources.len() {
                let failure = CallFailure { message: "its source is gone".into(), ..CallFailure::default() };
                self.reject("?", format!("input {seq}"), Arc::clone(event), failure);
                continue;
            }
            if wiring.graphs.iter().any(|graph| graph.runner.is_none() && !graph.is_callable()) {
                processed.stopped_at = Some(at);
                return processed;
            }
            if event.is_empty() {
                self.flush_now(calls, &mut core, *source);
            } else {
                self.take(calls, &mut core, *source, event, format!("input {seq}"));
            }
            if !core.is_due() {
                continue;
            }
            self.firings.store(core.fire(), Ordering::Relaxed);
            for graph in wiring.graphs.iter().filter(|graph| graph.runner.is_none()) {
                *lock(&self.calling) = Some(Instant::now());
                let result = graph.call(calls, core.cache());
                *lock(&self.calling) = None;
                match result {
                    Ok(outputs) => {
                        for (terminal, value) in &outputs {
                            core.feed_back(terminal, value);
                        }
                        processed.outputs.push((*seq, graph.def.name.clone(), outputs));
                    }
                    Err(failure) if failure.source.is_empty() => {
                        // Its input is not tried again; somebody should look at it.
                        let name = &wiring.def.sources[*source].name;
                        self.reject(name, format!("input {seq}"), Arc::clone(event), failure);
                    }
                    Err(failure) => self.blame(&mut core, failure),
                }
            }
            if wiring.graphs.iter().any(|graph| graph.runner.is_some()) {
                processed.firings.push((*seq, core.cache().clone()));
            }
        }
        self.touch();
        processed
    }

    /// Calls one graph of another package for firings in order.
    pub(crate) fn process_foreign(
        graph: &Wired,
        calls: &dyn GraphCalls,
        firings: &[(i64, InputCache)],
    ) -> Vec<(i64, String, Outputs)> {
        let call = |(seq, cache): &(i64, InputCache)| {
            graph.call(calls, cache).ok().map(|outputs| (*seq, graph.def.name.clone(), outputs))
        };
        firings.iter().filter_map(call).collect()
    }

    // ---- for people

    pub(crate) fn status(&self) -> ReactorStatus {
        let wiring = self.wiring();
        let def = &wiring.def;
        // A reactor whose graph does not return holds this lock: what it says then needs no values.
        let core = self.core.try_lock().ok();
        let (waiting, counts) = {
            let inbox = lock(&self.inbox);
            let waiting = inbox.slots.iter().map(VecDeque::len).sum::<usize>();
            (waiting + usize::from(inbox.pumping), inbox.counts.clone())
        };
        let source = |(place, source): (usize, &super::def::SourceDef)| SourceStatus {
            name: source.name.clone(),
            kind: kind_of(source.accumulator.as_ref().map(|a| &a.kind)),
            has_value: core.as_ref().is_some_and(|core| core.has(place)),
            events: counts.get(place).copied().unwrap_or(0),
            problem: lock(&self.problems).get(&source.name).cloned(),
        };
        ReactorStatus {
            name: self.name.clone(),
            package: def.package.clone(),
            digest: def.digest.clone(),
            strategy: def.strategy.as_str(),
            health: self.health(&wiring, core.as_deref(), counts.iter().all(|count| *count == 0)),
            paused: self.is_paused(),
            fired: self.firings.load(Ordering::Relaxed),
            dropped: self.dropped.load(Ordering::Relaxed),
            rejected: self.rejected.load(Ordering::Relaxed),
            pending: self.pending.load(Ordering::Relaxed) + waiting as u64,
            sources: def.sources.iter().enumerate().map(source).collect(),
            graphs: wiring
                .graphs
                .iter()
                .map(|graph| lock(&graph.counts).status(&graph.def.name, &graph.def.package))
                .collect(),
        }
    }

    fn health(&self, wiring: &Wiring, core: Option<&Core>, is_silent: bool) -> Health {
        let stuck = lock(&self.calling).map(|began| began.elapsed());
        if let Some(stuck) = stuck.filter(|since| *since > wiring.deadline + GRACE) {
            return Health::Degraded {
                reason: format!("a graph has not returned for {} s; its thread is lost", stuck.as_secs()),
            };
        }
        if let Some(graph) = wiring.graphs.iter().find(|graph| graph.given_up.load(Ordering::Relaxed)) {
            return Health::Degraded { reason: format!("graph `{}` was given up", graph.def.name) };
        }
        if let Some((source, problem)) = lock(&self.problems).iter().next() {
            return Health::Degraded { reason: format!("source `{source}`: {problem}") };
        }
        match core.map(Core::missing) {
            None => Health::Live,
            Some(missing) if missing.is_empty() => Health::Live,
            Some(_) if is_silent && core.is_some_and(|core| core.cache().is_empty()) => Health::Starting,
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
