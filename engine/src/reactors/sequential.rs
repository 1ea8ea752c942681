//! Inputs in order, recorded before they count.
//!
//! A batch of inputs is recorded, then processed, then its outputs are recorded together with the number of its
//! last input and the reactor's values. Dying anywhere between processes the batch again from the values
//! before it, and records its outputs once: they are keyed by the input's number.

use super::core::Event;
use super::def::{ReactorDef, place_in};
use super::reactor::{Processed, Reactor};
use super::subscriptions;
use super::wiring::{Wired, Wiring};
use crate::engine::{Engine, now_ms};
use crate::error::Error;
use longshore_store::{Error as StoreError, InputRow, OutputRow, PositionRow, ReactorRow};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// Inputs that are recorded and processed together.
const BATCH: usize = 512;

/// Requests that wait to be recorded; whoever sends more waits.
pub(crate) const QUEUE: usize = 256;

/// Inputs that may be recorded and not processed, as when the reactor is paused.
const MAX_BACKLOG: usize = 100_000;

/// Outputs that are kept of a reactor, in inputs.
const OUTPUTS_KEPT: i64 = 100_000;

/// The place of a source that the reactor has no more.
const GONE: usize = usize::MAX;

/// Pause before a batch is tried again that could not be processed or recorded.
const PAUSE: Duration = Duration::from_millis(100);

/// Inputs on their way in.
pub(crate) struct Ingress {
    /// The reactor as it was when the places of the sources were looked up.
    pub(crate) def: Arc<ReactorDef>,
    /// (source, event); an empty event flushes a batch source.
    pub(crate) events: Vec<(usize, Event)>,
    /// How far a stream was read with these.
    pub(crate) position: Option<PositionRow>,
    /// Told when they are recorded.
    pub(crate) recorded: Option<oneshot::Sender<()>>,
}

/// One `sequential` reactor at work.
pub(crate) struct Sequential {
    pub(crate) engine: Engine,
    pub(crate) reactor: Arc<Reactor>,
    pub(crate) cursor: i64,
    pub(crate) ingress: mpsc::Receiver<Ingress>,
    /// The reactor by which the places in the backlog go.
    pub(crate) def: Arc<ReactorDef>,
}

impl Sequential {
    /// Runs until it is aborted.
    pub(crate) async fn run(mut self) {
        let mut backlog = self.recover().await;
        self.reactor.pending.fetch_add(backlog.len() as u64, Ordering::SeqCst);
        let mut next = backlog.back().map_or(self.cursor, |(seq, ..)| *seq) + 1;
        loop {
            self.follow_swap(&mut backlog);
            let idle = backlog.is_empty() || self.reactor.is_paused();
            let may_take = backlog.len() < MAX_BACKLOG;
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
            match InputRow::after(store, &self.reactor.name, self.cursor).await {
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
        let now = Arc::clone(&self.reactor.wiring().def);
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
    async fn record(&mut self, first: Ingress, next: &mut i64, backlog: &mut VecDeque<(i64, usize, Event)>) {
        let mut together = vec![first];
        let count = |all: &[Ingress]| all.iter().map(|ingress| ingress.events.len()).sum::<usize>();
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
        for ingress in together {
            if let Some(recorded) = ingress.recorded {
                let _ = recorded.send(());
            }
        }
        *next += numbered.len() as i64;
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
        InputRow::insert(&mut tx, &self.reactor.name, &rows).await?;
        PositionRow::put(&mut tx, &self.reactor.name, positions).await?;
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
            while let Err(error) = self.try_finish(&processed, *last).await {
                self.wait_out("outputs were not recorded", &error).await;
            }
            fail::fail_point!("reactor.outputs_recorded");
            self.cursor = *last;
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
        let (reactor, wiring) = (Arc::clone(&self.reactor), self.reactor.wiring());
        if !Arc::ptr_eq(&wiring.def, &self.def) {
            return None;
        }
        let runner = Arc::clone(&wiring.runner);
        let taken = runner.run(Box::new(move |calls| {
            let _ = reply.send(reactor.process(calls, &wiring, &batch));
        }));
        if taken { answer.await.ok() } else { None }
    }

    async fn call_foreign(
        &self,
        firings: Vec<(i64, longshore_workflow::InputCache)>,
    ) -> Vec<(i64, String, super::calls::Outputs)> {
        let mut outputs = Vec::new();
        if firings.is_empty() {
            return outputs;
        }
        let foreign = |wiring: &Wiring| -> Vec<Arc<Wired>> {
            wiring.graphs.iter().filter(|graph| graph.runner.is_some()).cloned().collect()
        };
        for bound in foreign(&self.reactor.wiring()) {
            let same = |graph: &Arc<Wired>| {
                graph.def.package == bound.def.package && graph.def.name == bound.def.name
            };
            // While its package is swapped nobody takes the firings: the next version does. A graph that is
            // bound no more has no use for them.
            while let Some(graph) = foreign(&self.reactor.wiring()).into_iter().find(same) {
                if let Some(of_graph) = call_one(graph, firings.clone()).await {
                    outputs.extend(of_graph);
                    break;
                }
                tokio::time::sleep(PAUSE).await;
            }
        }
        outputs
    }

    async fn try_finish(&self, processed: &Processed, last: i64) -> Result<(), Error> {
        let wiring = self.reactor.wiring();
        for (seq, _, outputs) in &processed.outputs {
            let key = format!("{}:{seq}", self.reactor.name);
            subscriptions::start(&self.engine, &wiring.subscriptions, &key, outputs).await?;
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
            name: self.reactor.name.clone(),
            cursor: last,
            paused: i64::from(self.reactor.is_paused()),
            state,
        };
        let (store, now) = (self.engine.store(), now_ms());
        let mut tx = store.begin().await?;
        OutputRow::insert(&mut tx, &self.reactor.name, &rows, now).await?;
        ReactorRow::put(&mut tx, &[row], now).await?;
        InputRow::forget(&mut tx, &self.reactor.name, last).await?;
        if last / OUTPUTS_KEPT > self.cursor / OUTPUTS_KEPT {
            OutputRow::forget(&mut tx, &self.reactor.name, last - OUTPUTS_KEPT).await?;
        }
        Ok(store.commit(tx).await?)
    }
}

/// Gives one graph of another package firings in order; none when its package takes no calls right now.
async fn call_one(
    graph: Arc<Wired>,
    firings: Vec<(i64, longshore_workflow::InputCache)>,
) -> Option<Vec<(i64, String, super::calls::Outputs)>> {
    let runner = Arc::clone(graph.runner.as_ref()?);
    let (reply, answer) = oneshot::channel();
    let taken = runner.run(Box::new(move |calls| {
        let _ = reply.send(Reactor::process_foreign(&graph, calls, &firings));
    }));
    if taken { answer.await.ok() } else { None }
}
