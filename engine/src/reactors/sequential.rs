//! Inputs in order, recorded before they count.
//!
//! A batch of inputs is recorded, then processed, then its outputs are recorded together with the number of its
//! last input and the reactor's values. Dying anywhere between processes the batch again from the values
//! before it, and records its outputs once: they are keyed by the input's number.

use crate::error::Error;
use crate::handle::EngineHandle;
use crate::model::reactor_def::{ReactorDef, place_in};
use crate::port::graph_calls::{GraphCalls, Outputs};
use crate::reactors::bindings::{Bindings, GraphBinding};
use crate::reactors::ingress::InputBatch;
use crate::reactors::reactor::Reactor;
use crate::reactors::state::{Event, Payload};
use crate::reactors::subscriptions;
use crate::sync::lock;
use longshore_store::{DeadLetter, Error as StoreError, InputRow, OutputRow, PositionRow, ReactorRow};
use longshore_workflow::InputCache;
use longshore_workflow_plugin::wire::CallFailure;
use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, oneshot};

/// Inputs that are recorded and processed together.
const BATCH: usize = 512;

/// Requests that wait to be recorded; whoever sends more waits.
pub(crate) const QUEUE: usize = 256;

/// Inputs that may be recorded and not processed, as when the reactor is paused.
const MAX_BACKLOG: usize = 100_000;

/// Bytes of them.
const MAX_BACKLOG_BYTES: usize = 64 << 20;

/// Outputs that are kept of a reactor, in inputs.
const OUTPUTS_KEPT: i64 = 100_000;

/// The place of a source that the reactor has no more.
const GONE: usize = usize::MAX;

/// Pause before a batch is tried again that could not be processed or recorded.
const PAUSE: Duration = Duration::from_millis(100);

/// One `sequential` reactor at work.
pub(crate) struct Sequential {
    pub(crate) engine: EngineHandle,
    pub(crate) reactor: Arc<Reactor>,
    pub(crate) cursor: i64,
    pub(crate) ingress: mpsc::Receiver<InputBatch>,
    /// Bytes of the inputs that are recorded and not processed.
    pub(crate) backlog_bytes: usize,
    /// The places up to which its streams are recorded.
    pub(crate) positions: Arc<Mutex<BTreeMap<String, String>>>,
    /// The reactor by which the places in the backlog go.
    pub(crate) def: Arc<ReactorDef>,
}

impl Sequential {
    /// Runs until it is aborted.
    pub(crate) async fn run(mut self) {
        let mut backlog = self.recover().await;
        self.backlog_bytes = bytes_of(&backlog);
        self.reactor.pending.fetch_add(backlog.len() as u64, Ordering::SeqCst);
        let mut next = backlog.back().map_or(self.cursor, |(seq, ..)| *seq) + 1;
        loop {
            self.follow_swap(&mut backlog);
            let idle = backlog.is_empty() || self.reactor.is_paused();
            let may_take = backlog.len() < MAX_BACKLOG && self.backlog_bytes < MAX_BACKLOG_BYTES;
            let arrived = if idle && may_take {
                tokio::time::timeout(PAUSE, self.ingress.recv()).await.ok().flatten()
            } else if may_take {
                self.ingress.try_recv().ok()
            } else {
                tokio::time::sleep(PAUSE).await;
                None
            };
            if let Some(arrived) = arrived {
                self.record(arrived, &mut next, &mut backlog).await;
            }
            if !backlog.is_empty() && !self.reactor.is_paused() {
                self.process(&mut backlog).await;
            }
        }
    }

    /// Inputs that were recorded and not processed when the last host died: all of them, because the next input
    /// is numbered after the last. Little more than [`MAX_BACKLOG`] can be there.
    async fn recover(&self) -> VecDeque<(i64, usize, Event)> {
        let store = self.engine.store();
        loop {
            match InputRow::after(store, &self.reactor.record, self.cursor).await {
                Ok(rows) => {
                    let place = |row: InputRow| {
                        let source = self.def.source(&row.source).unwrap_or(GONE);
                        (row.seq, source, Event::from(row.payload))
                    };
                    return rows.into_iter().map(place).collect();
                }
                Err(error) => self.wait_out("inputs were not loaded", &error.into()).await,
            }
        }
    }

    /// The place of a source of `old` in the backlog; one that is gone stands at none.
    fn place(&self, old: &ReactorDef, source: usize) -> usize {
        place_in(&self.def, old, source).unwrap_or(GONE)
    }

    /// After a swap sources may stand at other places.
    fn follow_swap(&mut self, backlog: &mut VecDeque<(i64, usize, Event)>) {
        self.reactor.take_up();
        let now = Arc::clone(&self.reactor.bindings().def);
        if Arc::ptr_eq(&now, &self.def) {
            return;
        }
        let old = std::mem::replace(&mut self.def, now);
        for (_, source, _) in backlog {
            *source = self.place(&old, *source);
        }
    }

    async fn wait_out(&self, what: &str, error: &Error) {
        tracing::error!(
            reactor = self.reactor.name,
            error = error as &dyn std::error::Error,
            code = error.code(),
            "{what}"
        );
        tokio::time::sleep(PAUSE).await;
    }

    /// Records what arrived, and with it what else is there.
    async fn record(
        &mut self,
        first: InputBatch,
        next: &mut i64,
        backlog: &mut VecDeque<(i64, usize, Event)>,
    ) {
        let mut together = vec![first];
        let count = |all: &[InputBatch]| all.iter().map(|ingress| ingress.events.len()).sum::<usize>();
        while count(&together) < BATCH {
            let Ok(more) = self.ingress.try_recv() else { break };
            together.push(more);
        }
        let placed = together.iter().flat_map(|ingress| {
            ingress
                .events
                .iter()
                .map(|(source, event)| (self.place(&ingress.def, *source), Arc::clone(event)))
        });
        let numbered: Vec<(i64, usize, Event)> =
            placed.enumerate().map(|(i, (source, event))| (*next + i as i64, source, event)).collect();
        // The last position of each stream counts.
        let last: BTreeMap<String, String> =
            together.iter().filter_map(|i| i.position.clone()).map(|p| (p.stream, p.position)).collect();
        let positions: Vec<PositionRow> =
            last.into_iter().map(|(stream, position)| PositionRow { stream, position }).collect();
        while let Err(error) = self.try_record(&numbered, &positions).await {
            self.wait_out("inputs were not recorded", &error.into()).await;
        }
        fail::fail_point!("reactor.inputs_recorded");
        lock(&self.positions).extend(positions.into_iter().map(|row| (row.stream, row.position)));
        for ingress in together {
            if let Some(recorded) = ingress.recorded {
                let _ = recorded.send(());
            }
        }
        *next += numbered.len() as i64;
        self.backlog_bytes += bytes_of(&numbered);
        backlog.extend(numbered);
    }

    async fn try_record(
        &self,
        inputs: &[(i64, usize, Event)],
        positions: &[PositionRow],
    ) -> Result<(), StoreError> {
        let store = self.engine.store();
        let rows: Vec<InputRow> = inputs
            .iter()
            .map(|(seq, source, event)| InputRow {
                seq: *seq,
                source: self.def.sources.get(*source).map(|source| source.name.clone()).unwrap_or_default(),
                payload: event.to_vec(),
            })
            .collect();
        let mut tx = store.begin().await?;
        InputRow::insert(&mut tx, &self.reactor.record, &rows).await?;
        PositionRow::put(&mut tx, &self.reactor.record, positions).await?;
        store.commit(tx).await
    }

    /// Processes the next inputs and records what came of them.
    async fn process(&mut self, backlog: &mut VecDeque<(i64, usize, Event)>) {
        let batch: Vec<(i64, usize, Event)> = backlog.iter().take(BATCH).cloned().collect();
        let Some(mut processed) = self.call(batch.clone()).await else {
            // The package is being swapped: connected anew, it goes on with the same inputs.
            tokio::time::sleep(PAUSE).await;
            return;
        };
        let done = processed.stopped_at.unwrap_or(batch.len());
        processed.outputs.extend(self.call_foreign(std::mem::take(&mut processed.firings)).await);
        fail::fail_point!("reactor.processed");
        if let Some((last, ..)) = batch[..done].last() {
            while let Err(error) = self.try_finish(&mut processed, *last).await {
                self.wait_out("outputs were not recorded", &error).await;
            }
            fail::fail_point!("reactor.outputs_recorded");
            self.cursor = *last;
            self.backlog_bytes -= bytes_of(&batch[..done]);
            backlog.drain(..done);
            self.reactor.pending.fetch_sub(done as u64, Ordering::SeqCst);
        }
        if processed.stopped_at.is_some() {
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// None when the package takes no calls right now.
    async fn call(&self, batch: Vec<(i64, usize, Event)>) -> Option<Processed> {
        let (reply, answer) = oneshot::channel();
        let (reactor, bindings) = (Arc::clone(&self.reactor), self.reactor.bindings());
        if !Arc::ptr_eq(&bindings.def, &self.def) {
            return None;
        }
        let runner = Arc::clone(&bindings.runner);
        let accepted = runner.run(Box::new(move |calls| {
            let _ = reply.send(reactor.process(calls, &bindings, &batch));
        }));
        if accepted { answer.await.ok() } else { None }
    }

    async fn call_foreign(&self, firings: Vec<(i64, InputCache)>) -> Vec<(i64, String, Outputs)> {
        let mut outputs = Vec::new();
        if firings.is_empty() {
            return outputs;
        }
        let foreign = |bindings: &Bindings| -> Vec<Arc<GraphBinding>> {
            bindings.graphs.iter().filter(|graph| graph.runner.is_some()).cloned().collect()
        };
        for bound in foreign(&self.reactor.bindings()) {
            let same = |graph: &Arc<GraphBinding>| {
                graph.def.package == bound.def.package && graph.def.name == bound.def.name
            };
            // While its package is swapped nobody takes the firings: the next version does. A graph that is
            // bound no more has no use for them.
            while let Some(graph) = foreign(&self.reactor.bindings()).into_iter().find(same) {
                if let Some(of_graph) = call_one(graph, firings.clone()).await {
                    outputs.extend(of_graph);
                    break;
                }
                tokio::time::sleep(PAUSE).await;
            }
        }
        outputs
    }

    async fn try_finish(&self, processed: &mut Processed, last: i64) -> Result<(), Error> {
        let bindings = self.reactor.bindings();
        for (seq, graph, outputs) in &processed.outputs {
            let key = format!("{}:{seq}:{graph}", self.reactor.record);
            let subscribed = (self.reactor.name.as_str(), bindings.subscriptions.as_slice());
            subscriptions::start(&self.engine, subscribed, &key, outputs, &mut processed.letters).await?;
        }
        let rows: Vec<OutputRow> = processed
            .outputs
            .iter()
            .flat_map(|(seq, graph, outputs)| {
                outputs.iter().map(move |(terminal, value)| OutputRow {
                    seq: *seq,
                    graph: graph.clone(),
                    terminal: terminal.to_string(),
                    value: value.clone(),
                })
            })
            .collect();
        // Nobody else calls graphs of this reactor: only a look at its status can be in the way.
        let state = loop {
            match self.reactor.state() {
                Some(state) => break state,
                None => tokio::task::yield_now().await,
            }
        };
        let row = ReactorRow {
            name: self.reactor.record.clone(),
            cursor: last,
            paused: i64::from(self.reactor.is_paused()),
            state,
        };
        let (store, now) = (self.engine.store(), self.engine.now_ms());
        let mut tx = store.begin().await?;
        OutputRow::insert(&mut tx, &self.reactor.record, &rows, now).await?;
        if !processed.letters.is_empty() {
            DeadLetter::insert(&mut tx, &self.reactor.name, &processed.letters).await?;
        }
        ReactorRow::put(&mut tx, &[row], now).await?;
        InputRow::forget(&mut tx, &self.reactor.record, last).await?;
        if last / OUTPUTS_KEPT > self.cursor / OUTPUTS_KEPT {
            OutputRow::forget(&mut tx, &self.reactor.record, last - OUTPUTS_KEPT).await?;
        }
        Ok(store.commit(tx).await?)
    }
}

fn bytes_of<'i>(inputs: impl IntoIterator<Item = &'i (i64, usize, Event)>) -> usize {
    inputs.into_iter().map(|(_, _, event)| event.len()).sum()
}

/// Gives one graph of another package firings in order; none when its package takes no calls right now.
async fn call_one(
    graph: Arc<GraphBinding>,
    firings: Vec<(i64, InputCache)>,
) -> Option<Vec<(i64, String, Outputs)>> {
    let runner = Arc::clone(graph.runner.as_ref()?);
    let (reply, answer) = oneshot::channel();
    let accepted = runner.run(Box::new(move |calls| {
        let _ = reply.send(Reactor::process_foreign(&graph, calls, &firings));
    }));
    if accepted { answer.await.ok() } else { None }
}

/// The results of inputs that were processed in order.
#[derive(Default)]
pub(crate) struct Processed {
    /// (input, graph, outputs).
    pub(crate) outputs: Vec<(i64, String, Outputs)>,
    /// Firings for graphs of other packages: (input, values).
    pub(crate) firings: Vec<(i64, InputCache)>,
    /// The first input that could not be processed yet: its graph is in a pause.
    pub(crate) stopped_at: Option<usize>,
    /// Starts of workflows that were refused.
    pub(crate) letters: Vec<DeadLetter>,
}

impl Reactor {
    /// Processes inputs in order, where the package may be called. Graphs of other packages are left to the
    /// caller, with the values as they were at each firing.
    pub(crate) fn process(
        &self,
        calls: &dyn GraphCalls,
        bindings: &Bindings,
        inputs: &[(i64, usize, Event)],
    ) -> Processed {
        let mut processed = Processed::default();
        let mut state = lock(&self.state);
        if !std::ptr::eq(&**lock(&self.bindings), bindings) {
            // Swapped in this moment: nothing was done yet.
            processed.stopped_at = Some(0);
            return processed;
        }
        for (at, (seq, source, event)) in inputs.iter().enumerate() {
            if at > 0 && self.is_handed_over() {
                // The next version goes on from here.
                processed.stopped_at = Some(at);
                return processed;
            }
            if *source >= bindings.def.sources.len() {
                let failure = CallFailure { message: "its source is gone".into(), ..CallFailure::default() };
                self.reject("?", format!("input {seq}"), Payload::Derived(Arc::clone(event)), failure);
                continue;
            }
            if bindings.graphs.iter().any(|graph| graph.runner.is_none() && !graph.is_callable()) {
                processed.stopped_at = Some(at);
                return processed;
            }
            if event.is_empty() {
                self.flush_now(calls, &mut state, *source);
            } else {
                self.take(calls, &mut state, *source, event, format!("input {seq}"));
            }
            if !state.is_due() {
                continue;
            }
            self.firings.store(state.fire(), Ordering::Relaxed);
            for graph in bindings.graphs.iter().filter(|graph| graph.runner.is_none()) {
                *lock(&self.calling) = Some(Instant::now());
                let result = graph.call(calls, state.cache());
                *lock(&self.calling) = None;
                match result {
                    Ok(outputs) => {
                        for (terminal, value) in &outputs {
                            state.feed_back(terminal, value);
                        }
                        processed.outputs.push((*seq, graph.def.name.clone(), outputs));
                    }
                    Err(failure) if failure.source.is_empty() => {
                        // Its input is not tried again; somebody should look at it.
                        let name = &bindings.def.sources[*source].name;
                        let payload = Payload::Event(Arc::clone(event));
                        self.reject(name, format!("input {seq}"), payload, failure);
                    }
                    Err(failure) => self.reject_input(&mut state, failure),
                }
            }
            if bindings.graphs.iter().any(|graph| graph.runner.is_some()) {
                processed.firings.push((*seq, state.cache().clone()));
            }
        }
        self.touch();
        processed
    }

    /// Calls one graph of another package for firings in order.
    pub(crate) fn process_foreign(
        graph: &GraphBinding,
        calls: &dyn GraphCalls,
        firings: &[(i64, InputCache)],
    ) -> Vec<(i64, String, Outputs)> {
        let call = |(seq, cache): &(i64, InputCache)| {
            graph.call(calls, cache).ok().map(|outputs| (*seq, graph.def.name.clone(), outputs))
        };
        firings.iter().filter_map(call).collect()
    }
}
