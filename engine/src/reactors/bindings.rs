//! The connections of a reactor: the graphs it fires, and what runs them.

use crate::backoff::Backoff;
use crate::handle::EngineHandle;
use crate::model::catalog::Catalog;
use crate::model::reactor_def::{GraphDef, ReactorDef, Subscription};
use crate::port::graph_calls::{GraphCalls, GraphRunner, Outputs};
use crate::reactors::status::GraphCounts;
use crate::sync::lock;
use longshore_workflow::InputCache;
use longshore_workflow_plugin::wire::CallFailure;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// The connections of a reactor as text: when it is the same, nothing is to be done.
pub(crate) fn signature(catalog: &Catalog, def: &ReactorDef) -> String {
    let graphs = catalog.graphs.iter().filter(|graph| graph.reactor == def.name);
    let graphs: Vec<String> = graphs.map(|graph| format!("{}/{}", graph.digest, graph.name)).collect();
    let subscriptions = catalog.subscriptions.iter().filter(|s| s.reactor == def.name);
    let subscriptions: Vec<&Subscription> = subscriptions.collect();
    format!("{} {} {subscriptions:?}", def.digest, graphs.join(","))
}

pub(crate) fn bindings(
    engine: &EngineHandle,
    catalog: &Catalog,
    def: &Arc<ReactorDef>,
    runner: Arc<dyn GraphRunner>,
    deadline: Duration,
) -> Bindings {
    let bound = catalog.graphs.iter().filter(|graph| graph.reactor == def.name);
    let graphs = bound.filter_map(|graph| {
        let own = graph.digest == def.digest;
        let foreign = if own { None } else { Some(engine.packages().graphs(&graph.digest)?) };
        Some(Arc::new(GraphBinding::new(Arc::clone(graph), foreign, deadline)))
    });
    Bindings {
        def: Arc::clone(def),
        runner,
        graphs: graphs.collect(),
        subscriptions: catalog.subscriptions.iter().filter(|s| s.reactor == def.name).cloned().collect(),
        deadline,
    }
}

/// Pauses of a graph after panics and timeouts.
const PAUSE: Backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(30));

/// Failures in a row that open the circuit of a graph.
const FAILURE_THRESHOLD: u32 = 10;

/// Pauses of a graph whose circuit is open. After each it is called once: when that goes well, the circuit closes.
const OPEN_PAUSE: Backoff = Backoff::new(Duration::from_secs(30), Duration::from_secs(600));

/// The present connections of a reactor.
pub(crate) struct Bindings {
    pub(crate) def: Arc<ReactorDef>,
    pub(crate) runner: Arc<dyn GraphRunner>,
    pub(crate) graphs: Vec<Arc<GraphBinding>>,
    pub(crate) subscriptions: Vec<Subscription>,
    /// The time a graph may take.
    pub(crate) deadline: Duration,
}

/// A graph with what runs it.
pub(crate) struct GraphBinding {
    pub(crate) def: Arc<GraphDef>,
    /// None when it is of the reactor's own package, and called where that is.
    pub(crate) runner: Option<Arc<dyn GraphRunner>>,
    deadline: Duration,
    pub(crate) counts: Mutex<GraphCounts>,
    /// Of another package: the firing it is to take next.
    pub(crate) mailbox: Mutex<Mailbox>,
    circuit: Mutex<Circuit>,
    /// True when a firing came during a pause.
    missed: AtomicBool,
}

/// Whether a graph may be called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Circuit {
    /// It may.
    Closed,
    /// It panicked or timed out: it may be called again then.
    PausedUntil(Instant),
    /// It failed too often in a row: it is tried once then.
    OpenUntil(Instant),
}

#[derive(Default)]
pub(crate) struct Mailbox {
    pub(crate) next: Option<(u64, InputCache)>,
    pub(crate) running: bool,
}

impl GraphBinding {
    pub(crate) fn new(def: Arc<GraphDef>, runner: Option<Arc<dyn GraphRunner>>, deadline: Duration) -> Self {
        Self {
            def,
            runner,
            deadline,
            counts: Mutex::default(),
            mailbox: Mutex::default(),
            circuit: Mutex::new(Circuit::Closed),
            missed: AtomicBool::new(false),
        }
    }

    /// True when it may be called now.
    pub(crate) fn is_callable(&self) -> bool {
        match *lock(&self.circuit) {
            Circuit::Closed => true,
            Circuit::PausedUntil(at) | Circuit::OpenUntil(at) => Instant::now() >= at,
        }
    }

    /// True when it failed too often in a row to be called for each firing.
    pub(crate) fn is_open(&self) -> bool {
        matches!(*lock(&self.circuit), Circuit::OpenUntil(_))
    }

    /// Calls it again from now on, whatever it did before.
    pub(crate) fn reset(&self) {
        *lock(&self.circuit) = Circuit::Closed;
        lock(&self.counts).in_a_row = 0;
    }

    /// A firing came that it is not called for now.
    pub(crate) fn miss(&self) {
        self.missed.store(true, Ordering::Relaxed);
    }

    /// True when it missed a firing.
    pub(crate) fn has_missed(&self) -> bool {
        self.missed.load(Ordering::Relaxed)
    }

    /// True when it missed a firing and may be called again.
    pub(crate) fn may_make_up(&self) -> bool {
        self.has_missed() && self.is_callable()
    }

    /// True when it missed a firing since this was asked last.
    pub(crate) fn take_missed(&self) -> bool {
        self.missed.swap(false, Ordering::Relaxed)
    }

    /// Calls the graph, and counts.
    pub(crate) fn call(&self, calls: &dyn GraphCalls, cache: &InputCache) -> Result<Outputs, CallFailure> {
        let began = Instant::now();
        let deadline_ms = self.deadline.as_millis() as u64;
        let result = calls.fire(self.def.index, cache, deadline_ms);
        match &result {
            Ok(outputs) => {
                lock(&self.counts).completed(outputs.clone(), began.elapsed());
                *lock(&self.circuit) = Circuit::Closed;
            }
            Err(failure) => self.failed(failure),
        }
        result
    }

    /// Goes on where the graph of the version before was: with the firing that it missed, and in the same pause when it
    /// is the same graph.
    pub(crate) fn inherit(&self, before: &Self) {
        if before.has_missed() {
            self.miss();
        }
        if before.def.digest == self.def.digest {
            *lock(&self.circuit) = *lock(&before.circuit);
            lock(&self.counts).in_a_row = lock(&before.counts).in_a_row;
        }
    }

    pub(crate) fn failed(&self, failure: &CallFailure) {
        // A bad input says nothing about the graph.
        if !failure.source.is_empty() {
            lock(&self.counts).failed_on_input(failure.message.clone());
            return;
        }
        let in_a_row = lock(&self.counts).failed(failure.message.clone());
        let graph = &self.def.name;
        tracing::warn!(graph, error = failure.message, in_a_row, "a graph failed");
        if in_a_row >= FAILURE_THRESHOLD {
            let pause = OPEN_PAUSE.pause(in_a_row - FAILURE_THRESHOLD + 1);
            *lock(&self.circuit) = Circuit::OpenUntil(Instant::now() + pause);
            let seconds = pause.as_secs();
            tracing::error!(
                graph,
                failures = in_a_row,
                seconds,
                "a graph is not called, and then tried once"
            );
        } else if failure.panicked || failure.timed_out {
            *lock(&self.circuit) = Circuit::PausedUntil(Instant::now() + PAUSE.pause(in_a_row));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn graph() -> GraphBinding {
        let def = GraphDef {
            digest: longshore_store::Digest::from_sha256([1; 32]),
            package: "p".into(),
            index: 0,
            name: "g".into(),
            tenant: longshore_store::TenantId::default(),
            declared_reactor: "r".into(),
            reactor: "r".into(),
            sources: Vec::new(),
        };
        GraphBinding::new(Arc::new(def), None, Duration::from_secs(1))
    }

    #[test]
    fn a_graph_that_panics_pauses_and_its_circuit_opens_in_the_end() {
        let graph = graph();
        let panic = CallFailure { message: "boom".into(), panicked: true, ..CallFailure::default() };
        graph.failed(&panic);
        assert!(!graph.is_callable(), "it is in its pause");
        for _ in 1..FAILURE_THRESHOLD {
            assert!(!graph.is_open());
            graph.failed(&panic);
        }
        assert!(graph.is_open() && !graph.is_callable());
        *lock(&graph.circuit) = Circuit::OpenUntil(Instant::now());
        assert!(graph.is_callable(), "it is tried once");
        graph.failed(&panic);
        assert!(graph.is_open() && !graph.is_callable());
        graph.reset();
        assert!(graph.is_callable() && !graph.is_open());
    }

    #[test]
    fn a_bad_input_says_nothing_about_the_graph() {
        let graph = graph();
        let bad = CallFailure { source: "book".into(), ..CallFailure::default() };
        (0..FAILURE_THRESHOLD * 2).for_each(|_| graph.failed(&bad));
        assert!(graph.is_callable());
    }
}
