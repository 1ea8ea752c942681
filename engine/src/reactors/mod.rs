//! Reactors: sources whose news fire graphs.
//!
//! - [`def`]: what a package declares. - [`core`]: the values of one reactor, and whether they are reason to fire.
//! - [`reactor`]: one at work, in memory, with its [`inbox`] and its [`wiring`]. - [`sequential`]: one whose inputs are recorded first.
//! - [`feeds`] and [`streams`]: where events come from. - [`Reactors`]: all of them, kept as the catalog says.
//!
//! # Guarantees
//! - `latest`: a graph sees the newest values; what it did not get to see is counted.
//! - `sequential`: every recorded input is processed in order, and its outputs are recorded once.
//!
//! # Caveats
//! - A graph that blocks its thread for ever keeps its reactor: the status says so, and the host goes on.

pub(crate) mod calls;
mod core;
pub(crate) mod def;
mod feeds;
mod file_stream;
mod inbox;
mod reactor;
mod sequential;
pub(crate) mod status;
pub(crate) mod streams;
mod subscriptions;
mod supervise;
mod wiring;

pub use supervise::Reactors;
pub(crate) use supervise::run;

use crate::error::Error;
use core::Event;
use longshore_store::PositionRow;
use reactor::Reactor;
use sequential::Ingress;
use serde_json::Value;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tokio::sync::{mpsc, oneshot};

/// Largest event, in bytes: of JSON where it comes as that, and as it travels.
const MAX_EVENT: usize = 1 << 20;

/// The way into a reactor, whatever its strategy.
#[derive(Clone)]
pub(crate) struct Inlet {
    reactor: Arc<Reactor>,
    sequential: Option<mpsc::Sender<Ingress>>,
    positions: Arc<std::sync::Mutex<std::collections::BTreeMap<String, String>>>,
}

/// An event of a stream as it travels.
fn event_of(json: &[u8]) -> Result<Event, String> {
    fits(json.len())?;
    pack(&serde_json::from_slice(json).map_err(|error| format!("no JSON: {error}"))?)
}

/// An event as it travels.
fn pack(value: &Value) -> Result<Event, String> {
    let event = longshore_workflow::serialize(value).map_err(|error| error.to_string())?;
    fits(event.len())?;
    Ok(event.into())
}

fn fits(bytes: usize) -> Result<(), String> {
    let over = || Err(format!("the event has {bytes} bytes, over the limit of {MAX_EVENT}"));
    if bytes > MAX_EVENT { over() } else { Ok(()) }
}

impl Inlet {
    /// Gives the reactor events. With `sequential` this waits for room, and not until they are on disk.
    async fn push(&self, events: Vec<(usize, Event)>) {
        match &self.sequential {
            None => self.offer(events, ""),
            // Closed only when the reactor is gone.
            Some(_) => drop(self.send(events, None, None).await),
        }
    }

    /// Gives the reactor events of a stream, and waits until they are on disk when its inputs are recorded.
    async fn push_through(&self, events: Vec<(usize, Event)>, position: PositionRow) {
        if self.sequential.is_none() {
            self.offer(events, &format!("{} before {}", position.stream, position.position));
            wiring::lock(&self.positions).insert(position.stream, position.position);
            return;
        }
        let (recorded, done) = oneshot::channel();
        if self.send(events, Some(position), Some(recorded)).await.is_ok() {
            let _ = done.await;
        }
    }

    fn offer(&self, events: Vec<(usize, Event)>, at: &str) {
        for (source, event) in events {
            self.reactor.offer(source, event, at.to_owned());
        }
    }

    async fn send(
        &self,
        events: Vec<(usize, Event)>,
        position: Option<PositionRow>,
        recorded: Option<oneshot::Sender<()>>,
    ) -> Result<(), Error> {
        let Some(sequential) = &self.sequential else { return Err(Error::Stopped) };
        events.iter().for_each(|(source, _)| self.reactor.count_event(*source));
        self.reactor.pending.fetch_add(events.len() as u64, Ordering::SeqCst);
        let def = Arc::clone(&self.reactor.wiring().def);
        let ingress = Ingress { def, events, position, recorded };
        sequential.send(ingress).await.map_err(|_| Error::Stopped)
    }

    /// Gives the reactor one event, and waits until it is recorded, with its position, when the reactor records its
    /// inputs.
    async fn push_recorded(
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
    async fn flush(&self, source: usize) {
        match &self.sequential {
            None => self.reactor.flush(source),
            // An empty event stands for the flush; it is no event of the source.
            Some(sequential) => {
                self.reactor.pending.fetch_add(1, Ordering::SeqCst);
                let events = vec![(source, Event::from([]))];
                let def = Arc::clone(&self.reactor.wiring().def);
                let _ = sequential.send(Ingress { def, events, position: None, recorded: None }).await;
            }
        }
    }

    /// Notes why a stream does not read, or that it does again.
    fn problem(&self, sources: &[usize], problem: Option<String>) {
        let def = Arc::clone(&self.reactor.wiring().def);
        let mut problems = wiring::lock(&self.reactor.problems);
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
