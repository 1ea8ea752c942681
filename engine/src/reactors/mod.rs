//! Reactors: sources whose news fire graphs.
//!
//! - [`def`]: what a package declares. - [`core`]: the values of one reactor, and whether they are reason to fire.
//! - [`reactor`]: one at work, in memory. - [`sequential`]: one whose inputs are recorded first.
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
mod manager;
mod reactor;
mod sequential;
pub(crate) mod status;
pub(crate) mod streams;
mod subscriptions;

pub use manager::Reactors;
pub(crate) use manager::run;

use crate::error::Error;
use core::Event;
use longshore_store::PositionRow;
use reactor::Reactor;
use sequential::Ingress;
use serde_json::Value;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tokio::sync::{mpsc, oneshot};

/// Largest event, in bytes of JSON.
const MAX_EVENT: usize = 1 << 20;

/// The way into a reactor, whatever its strategy.
#[derive(Clone)]
pub(crate) struct Inlet {
    reactor: Arc<Reactor>,
    sequential: Option<mpsc::Sender<Ingress>>,
    positions: Arc<std::sync::Mutex<std::collections::BTreeMap<String, String>>>,
}

/// An event as it travels.
fn event_of(json: &[u8]) -> Result<Event, String> {
    if json.len() > MAX_EVENT {
        return Err(format!("the event has {} bytes, over the limit of {MAX_EVENT}", json.len()));
    }
    let value: Value = serde_json::from_slice(json).map_err(|error| format!("no JSON: {error}"))?;
    longshore_workflow::serialize(&value).map(Event::from).map_err(|error| error.to_string())
}

impl Inlet {
    /// Gives the reactor events. With `sequential` this waits until they are on their way to disk, and for room.
    async fn push(&self, events: Vec<(usize, Event)>, position: Option<PositionRow>) {
        let Some(sequential) = &self.sequential else {
            let at =
                position.as_ref().map(|p| format!("{} before {}", p.stream, p.position)).unwrap_or_default();
            for (source, event) in events {
                self.reactor.offer(source, event, at.clone());
            }
            if let Some(position) = position {
                reactor::lock(&self.positions).insert(position.stream, position.position);
            }
            return;
        };
        events.iter().for_each(|(source, _)| self.reactor.count_event(*source));
        self.reactor.pending.fetch_add(events.len() as u64, Ordering::SeqCst);
        // Closed only when the reactor is gone.
        let _ = sequential.send(Ingress { events, position, recorded: None }).await;
    }

    /// Gives the reactor one event, and waits until it is recorded when the reactor records its inputs.
    async fn push_recorded(&self, source: usize, event: Event) -> Result<(), Error> {
        let Some(sequential) = &self.sequential else {
            self.reactor.offer(source, event, "pushed".to_owned());
            return Ok(());
        };
        self.reactor.count_event(source);
        self.reactor.pending.fetch_add(1, Ordering::SeqCst);
        let (recorded, done) = oneshot::channel();
        let ingress = Ingress { events: vec![(source, event)], position: None, recorded: Some(recorded) };
        sequential.send(ingress).await.map_err(|_| Error::Stopped)?;
        done.await.map_err(|_| Error::Stopped)
    }

    /// Flushes a batch source.
    async fn flush(&self, source: usize) {
        match &self.sequential {
            None => self.reactor.flush(source),
            Some(sequential) => {
                let flush =
                    Ingress { events: vec![(source, Event::from([]))], position: None, recorded: None };
                let _ = sequential.send(flush).await;
            }
        }
    }

    /// Notes why a stream does not read, or that it does again.
    fn problem(&self, sources: &[usize], problem: Option<String>) {
        let def = Arc::clone(&self.reactor.wiring().def);
        let mut problems = reactor::lock(&self.reactor.problems);
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
