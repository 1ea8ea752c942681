//! The way into a reactor, whatever its strategy.

use crate::error::Error;
use crate::model::reactor_def::ReactorDef;
use crate::reactors::reactor::Reactor;
use crate::reactors::state::Event;
use crate::sync::lock;
use longshore_store::PositionRow;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use tokio::sync::{mpsc, oneshot};

/// Inputs on their way in.
pub(crate) struct InputBatch {
    /// The reactor as it was when the places of the sources were looked up.
    pub(crate) def: Arc<ReactorDef>,
    /// (source, event); an empty event flushes a batch source.
    pub(crate) events: Vec<(usize, Event)>,
    /// The position of the stream after these.
    pub(crate) position: Option<PositionRow>,
    /// Told when they are recorded.
    pub(crate) recorded: Option<oneshot::Sender<()>>,
}

/// Largest event, in bytes: of JSON where it comes as that, and as it travels.
const MAX_EVENT: usize = 1 << 20;

/// The way into a reactor, whatever its strategy.
#[derive(Clone)]
pub(crate) struct ReactorInput {
    pub(super) reactor: Arc<Reactor>,
    pub(super) sequential: Option<mpsc::Sender<InputBatch>>,
    pub(super) positions: Arc<Mutex<BTreeMap<String, String>>>,
}

/// An event of a stream as it travels.
pub(super) fn event_of(json: &[u8]) -> Result<Event, String> {
    fits(json.len())?;
    pack(&serde_json::from_slice(json).map_err(|error| format!("no JSON: {error}"))?)
}

/// An event as it travels.
pub(crate) fn pack(value: &Value) -> Result<Event, String> {
    let event = longshore_workflow::serialize(value).map_err(|error| error.to_string())?;
    fits(event.len())?;
    Ok(event.into())
}

fn fits(bytes: usize) -> Result<(), String> {
    let over = || Err(format!("the event has {bytes} bytes, over the limit of {MAX_EVENT}"));
    if bytes > MAX_EVENT { over() } else { Ok(()) }
}

impl ReactorInput {
    /// Gives the reactor events. With `sequential` this waits for room, and not until they are on disk.
    pub(super) async fn push(&self, events: Vec<(usize, Event)>) {
        match &self.sequential {
            None => self.offer(events, ""),
            // Closed only when the reactor is gone.
            Some(_) => drop(self.send(events, None, None).await),
        }
    }

    /// Gives the reactor events of a stream, and waits until they are on disk when its inputs are recorded.
    pub(super) async fn push_through(&self, events: Vec<(usize, Event)>, position: PositionRow) {
        if self.sequential.is_none() {
            self.offer(events, &format!("{} before {}", position.stream, position.position));
            lock(&self.positions).insert(position.stream, position.position);
            return;
        }
        let (recorded, done) = oneshot::channel();
        if self.send(events, Some(position), Some(recorded)).await.is_ok() {
            let _ = done.await;
        }
    }

    /// Returns when everything is recorded that was sent before.
    pub(super) async fn settle(&self) {
        let (recorded, done) = oneshot::channel();
        if self.send(Vec::new(), None, Some(recorded)).await.is_ok() {
            let _ = done.await;
        }
    }

    pub(super) fn offer(&self, events: Vec<(usize, Event)>, at: &str) {
        for (source, event) in events {
            self.reactor.offer(source, event, at.to_owned());
        }
    }

    pub(super) async fn send(
        &self,
        events: Vec<(usize, Event)>,
        position: Option<PositionRow>,
        recorded: Option<oneshot::Sender<()>>,
    ) -> Result<(), Error> {
        let Some(sequential) = &self.sequential else { return Err(Error::Stopped) };
        events.iter().for_each(|(source, _)| self.reactor.count_event(*source));
        self.reactor.pending.fetch_add(events.len() as u64, Ordering::SeqCst);
        let def = Arc::clone(&self.reactor.bindings().def);
        let ingress = InputBatch { def, events, position, recorded };
        sequential.send(ingress).await.map_err(|_| Error::Stopped)
    }

    /// Gives the reactor one event, and waits until it is recorded, with its position, when the reactor records its
    /// inputs.
    pub(super) async fn push_recorded(
        &self,
        source: usize,
        event: Event,
        position: Option<PositionRow>,
    ) -> Result<(), Error> {
        if self.sequential.is_none() {
            self.offer(vec![(source, event)], "pushed");
            return Ok(());
        }
        let (recorded, done) = oneshot::channel();
        self.send(vec![(source, event)], position, Some(recorded)).await?;
        done.await.map_err(|_| Error::Stopped)
    }

    /// Flushes a batch source.
    pub(super) async fn flush(&self, source: usize) {
        match &self.sequential {
            None => self.reactor.flush(source),
            // An empty event stands for the flush; it is not an event of the source.
            Some(sequential) => {
                self.reactor.pending.fetch_add(1, Ordering::SeqCst);
                let events = vec![(source, Event::from([]))];
                let def = Arc::clone(&self.reactor.bindings().def);
                let _ = sequential.send(InputBatch { def, events, position: None, recorded: None }).await;
            }
        }
    }

    /// Notes why a stream does not read, or that it does again.
    pub(super) fn problem(&self, sources: &[usize], problem: Option<String>) {
        let def = Arc::clone(&self.reactor.bindings().def);
        let mut problems = lock(&self.reactor.problems);
        for source in sources {
            let name = &def.sources[*source].name;
            match &problem {
                Some(problem) if problems.get(name) != Some(problem) => {
                    tracing::warn!(
                        reactor = self.reactor.name,
                        source = name,
                        problem,
                        "a stream does not read"
                    );
                    problems.insert(name.clone(), problem.clone());
                }
                Some(_) => {}
                None => {
                    problems.remove(name);
                }
            }
        }
    }
}

/// A value as it travels to a source.
pub(crate) fn packed(source: &str, value: &Value) -> Result<Event, Error> {
    pack(value).map_err(|message| Error::BadEvent { source_name: source.to_owned(), message })
}
