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
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// The connections of a reactor as text: when it is the same, nothing is to be done.
pub(crate) fn signature(catalog: &Catalog, def: &ReactorDef) -> String {
    let graphs = catalog.graphs.iter().filter(|graph| graph.reactor == def.name);
    let graphs: Vec<String> = graphs.map(|graph| format!("{}/{}", graph.digest, graph.name)).collect();
    let subscriptions = catalog.subscriptions.iter().filter(|s| s.reactor == def.name);
    let subscriptions: Vec<&str> = subscriptions.map(|s| s.trigger.as_str()).collect();
    format!("{} {} {}", def.digest, graphs.join(","), subscriptions.join(","))
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

/// Failures in a row that open the circuit of a graph, until its package changes.
const FAILURE_THRESHOLD: u32 = 10;

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
}

/// True when a graph may be called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Circuit {
    /// It may.
    Closed,
    /// It panicked or timed out: it may be called again then.
    PausedUntil(Instant),
    /// It failed too often in a row: it is not called until its package changes.
    Open,
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
        }
    }

    /// True when it may be called now.
    pub(crate) fn is_callable(&self) -> bool {
        match *lock(&self.circuit) {
            Circuit::Closed => true,
            Circuit::PausedUntil(at) => Instant::now() >= at,
            Circuit::Open => false,
        }
    }

    /// True when it failed too often in a row to be called again.
    pub(crate) fn is_open(&self) -> bool {
        *lock(&self.circuit) == Circuit::Open
    }

    /// Calls the graph, and counts.
    pub(crate) fn call(&self, calls: &dyn GraphCalls, cache: &InputCache) -> Result<Outputs, CallFailure> {
        let began = Instant::now();
        let deadline_ms = self.deadline.as_millis() as u64;
        let result = calls.fire(self.def.index, cache, deadline_ms);
        match &result {
            Ok(outputs) => lock(&self.counts).completed(outputs.clone(), began.elapsed()),
            Err(failure) => self.failed(failure),
        }
        result
    }

    pub(crate) fn failed(&self, failure: &CallFailure) {
        let in_a_row = lock(&self.counts).failed(failure.message.clone());
        let graph = &self.def.name;
        // A bad input says nothing about the graph.
        if !failure.source.is_empty() {
            return;
        }
        tracing::warn!(graph, error = failure.message, in_a_row, "a graph failed");
        if in_a_row >= FAILURE_THRESHOLD {
            *lock(&self.circuit) = Circuit::Open;
            tracing::error!(graph, failures = in_a_row, "a graph is not called until its package changes");
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
        assert!(graph.is_open());
    }

    #[test]
    fn a_bad_input_says_nothing_about_the_graph() {
        let graph = graph();
        let bad = CallFailure { source: "book".into(), ..CallFailure::default() };
        (0..FAILURE_THRESHOLD * 2).for_each(|_| graph.failed(&bad));
        assert!(graph.is_callable());
    }
}
