//! How a reactor is connected: to the graphs it fires, and to what runs them.

use super::calls::{GraphCalls, GraphRunner, Outputs};
use super::def::{GraphDef, ReactorDef, Subscription};
use super::status::GraphCounts;
use longshore_workflow::InputCache;
use longshore_workflow_plugin::wire::CallFailure;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// First pause of a graph after a panic; doubles up to [`MAX_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// See [`FIRST_PAUSE`].
const MAX_PAUSE: Duration = Duration::from_secs(30);

/// Failures in a row after which a graph is given up until its package changes.
const GIVE_UP: u32 = 10;

/// How a reactor is connected right now.
pub(crate) struct Wiring {
    pub(crate) def: Arc<ReactorDef>,
    pub(crate) runner: Arc<dyn GraphRunner>,
    pub(crate) graphs: Vec<Arc<Wired>>,
    pub(crate) subscriptions: Vec<Subscription>,
    /// How long a graph may take.
    pub(crate) deadline: Duration,
}

/// A graph with what runs it.
pub(crate) struct Wired {
    pub(crate) def: Arc<GraphDef>,
    /// None when it is of the reactor's own package, and called where that is.
    pub(crate) runner: Option<Arc<dyn GraphRunner>>,
    deadline: Duration,
    pub(crate) counts: Mutex<GraphCounts>,
    /// Of another package: the firing it is to take next.
    pub(crate) mailbox: Mutex<Mailbox>,
    retry_at: Mutex<Option<Instant>>,
    pub(crate) given_up: AtomicBool,
}

#[derive(Default)]
pub(crate) struct Mailbox {
    pub(crate) next: Option<(u64, InputCache)>,
    pub(crate) running: bool,
}

impl Wired {
    pub(crate) fn new(def: Arc<GraphDef>, runner: Option<Arc<dyn GraphRunner>>, deadline: Duration) -> Self {
        Self {
            def,
            runner,
            deadline,
            counts: Mutex::default(),
            mailbox: Mutex::default(),
            retry_at: Mutex::new(None),
            given_up: AtomicBool::new(false),
        }
    }

    /// Whether it may be called: not within its pause, and not given up.
    pub(crate) fn is_callable(&self) -> bool {
        !self.given_up.load(Ordering::Relaxed)
            && lock(&self.retry_at).is_none_or(|retry_at| Instant::now() >= retry_at)
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
        if in_a_row >= GIVE_UP {
            self.given_up.store(true, Ordering::Relaxed);
            tracing::error!(graph, failures = in_a_row, "a graph is given up until its package changes");
        } else if failure.panicked || failure.timed_out {
            let pause = FIRST_PAUSE.saturating_mul(1 << in_a_row.min(16)).min(MAX_PAUSE);
            *lock(&self.retry_at) = Some(Instant::now() + pause);
        }
    }
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Author code is called under catch_unwind; ours leaves values valid between any two operations.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn graph() -> Wired {
        let def = GraphDef {
            digest: "d".into(),
            package: "p".into(),
            index: 0,
            name: "g".into(),
            reactor: "r".into(),
            sources: Vec::new(),
        };
        Wired::new(Arc::new(def), None, Duration::from_secs(1))
    }

    #[test]
    fn a_graph_that_panics_pauses_and_is_given_up_in_the_end() {
        let graph = graph();
        let panic = CallFailure { message: "boom".into(), panicked: true, ..CallFailure::default() };
        graph.failed(&panic);
        assert!(!graph.is_callable(), "it is in its pause");
        for _ in 1..GIVE_UP {
            assert!(!graph.given_up.load(Ordering::Relaxed));
            graph.failed(&panic);
        }
        assert!(graph.given_up.load(Ordering::Relaxed));
    }

    #[test]
    fn a_bad_input_says_nothing_about_the_graph() {
        let graph = graph();
        let bad = CallFailure { source: "book".into(), ..CallFailure::default() };
        (0..GIVE_UP * 2).for_each(|_| graph.failed(&bad));
        assert!(graph.is_callable());
    }
}
