//! What feeds the sources of a running reactor: polls, timers of batches, streams.

use super::Inlet;
use super::core::Event;
use super::def::{AccumulatorKind, ReactorDef, StreamDef};
use super::streams::{self, StreamEvent, StreamOpening};
use longshore_store::PositionRow;
use longshore_workflow_plugin::wire::CallFailure;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;

/// How long a poll may take, in milliseconds.
const POLL_DEADLINE_MS: u64 = 30_000;

/// Events that are read of a stream at a time.
const AT_A_TIME: usize = 256;

/// Pause at the end of a stream before it is read again.
const AT_THE_END: Duration = Duration::from_millis(250);

/// First pause after a stream failed; doubles up to [`MAX_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(200);

/// See [`FIRST_PAUSE`].
const MAX_PAUSE: Duration = Duration::from_secs(30);

/// A task that ends with this value.
pub(crate) struct Feed(JoinHandle<()>);

impl Feed {
    pub(crate) fn of(task: JoinHandle<()>) -> Self {
        Self(task)
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Where streams are looked for, and how many have not reached their end.
#[derive(Clone, Default)]
pub(crate) struct StreamPlace {
    pub(crate) roots: Vec<PathBuf>,
    pub(crate) reading: Arc<AtomicUsize>,
}

/// Starts everything that feeds a reactor.
pub(crate) fn start(inlet: &Inlet, positions: &BTreeMap<String, String>, place: &StreamPlace) -> Vec<Feed> {
    let def = Arc::clone(&inlet.reactor.wiring().def);
    let mut feeds = Vec::new();
    let mut streams: BTreeMap<StreamDef, Vec<usize>> = BTreeMap::new();
    for (source, source_def) in def.sources.iter().enumerate() {
        let Some(accumulator) = &source_def.accumulator else { continue };
        match &accumulator.kind {
            AccumulatorKind::Polling { interval } => {
                feeds.push(Feed(tokio::spawn(poll(inlet.clone(), source, accumulator.index, *interval))));
            }
            AccumulatorKind::Batch { flush_interval, .. } => {
                feeds.push(Feed(tokio::spawn(flush(inlet.clone(), source, *flush_interval))));
            }
            AccumulatorKind::Stream(stream) => streams.entry(stream.clone()).or_default().push(source),
            AccumulatorKind::Passthrough | AccumulatorKind::State { .. } => {}
        }
    }
    for (stream, sources) in streams {
        let opening = StreamOpening {
            position: positions.get(&stream.to_string()).cloned(),
            def: stream,
            roots: place.roots.clone(),
        };
        place.reading.fetch_add(1, Ordering::SeqCst);
        let reading = Arc::clone(&place.reading);
        feeds.push(Feed(tokio::spawn(follow(inlet.clone(), opening, sources, reading))));
    }
    feeds
}

async fn poll(inlet: Inlet, source: usize, accumulator: u32, interval: Duration) {
    let mut ticks = tokio::time::interval(interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if inlet.reactor.is_paused() {
            continue;
        }
        let (reply, answer) = oneshot::channel();
        let runner = Arc::clone(&inlet.reactor.wiring().runner);
        let taken = runner.run(Box::new(move |calls| {
            let _ = reply.send(calls.poll(accumulator, POLL_DEADLINE_MS));
        }));
        if !taken {
            continue;
        }
        match answer.await {
            Ok(Ok(Some(value))) => inlet.push(vec![(source, Event::from(value))]).await,
            Ok(Err(failure)) => {
                let name = inlet.reactor.wiring().def.sources[source].name.clone();
                tracing::warn!(
                    reactor = inlet.reactor.name,
                    source = name,
                    error = failure.message,
                    "a poll failed"
                );
            }
            Ok(Ok(None)) | Err(_) => {}
        }
    }
}

async fn flush(inlet: Inlet, source: usize, interval: Duration) {
    let mut ticks = tokio::time::interval(interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks.tick().await;
    loop {
        ticks.tick().await;
        if inlet.reactor.has_buffered(source) {
            inlet.flush(source).await;
        }
    }
}

/// Reads a stream for as long as the reactor is there; one that goes away is opened again.
async fn follow(inlet: Inlet, mut opening: StreamOpening, sources: Vec<usize>, reading: Arc<AtomicUsize>) {
    let mut pause = FIRST_PAUSE;
    let mut at_end = false;
    loop {
        let mut stream = match streams::open(opening.clone()).await {
            Ok(stream) => stream,
            Err(error) => {
                inlet.problem(&sources, Some(error.message));
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(MAX_PAUSE);
                continue;
            }
        };
        loop {
            match stream.read(AT_A_TIME).await {
                Ok(events) if events.is_empty() => {
                    inlet.problem(&sources, None);
                    if !std::mem::replace(&mut at_end, true) {
                        reading.fetch_sub(1, Ordering::SeqCst);
                    }
                    tokio::time::sleep(AT_THE_END).await;
                }
                Ok(events) => {
                    (pause, opening.position) = (FIRST_PAUSE, events.last().map(|e| e.position.clone()));
                    inlet.problem(&sources, None);
                    deliver(&inlet, &opening.def, &sources, events).await;
                    if let Err(error) = stream.taken().await {
                        inlet.problem(&sources, Some(error.message));
                        break;
                    }
                }
                Err(error) => {
                    inlet.problem(&sources, Some(error.message));
                    break;
                }
            }
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(MAX_PAUSE);
    }
}

async fn deliver(inlet: &Inlet, stream: &StreamDef, sources: &[usize], events: Vec<StreamEvent>) {
    let def = Arc::clone(&inlet.reactor.wiring().def);
    let position = events.last().map(|e| e.position.clone()).unwrap_or_default();
    let mut taken = Vec::with_capacity(events.len());
    for event in events {
        match address(&def, sources, &event).and_then(|source| Ok((source, super::event_of(&event.json)?))) {
            Ok(event) => taken.push(event),
            Err(message) => {
                let name = event.source.clone().unwrap_or_else(|| def.sources[sources[0]].name.clone());
                let at = format!("{stream} before {}", event.position);
                let failure = CallFailure { message, field: ".".to_owned(), ..CallFailure::default() };
                let kept =
                    longshore_workflow::serialize(&String::from_utf8_lossy(&event.json)).unwrap_or_default();
                inlet.reactor.reject(&name, at, kept.into(), failure);
            }
        }
    }
    inlet.push_through(taken, PositionRow { stream: stream.to_string(), position }).await;
}

/// Which source an event of a stream is for.
fn address(def: &ReactorDef, sources: &[usize], event: &StreamEvent) -> Result<usize, String> {
    match (&event.source, sources) {
        (Some(name), _) => {
            let known = sources.iter().copied().find(|source| def.sources[*source].name == *name);
            known.ok_or_else(|| format!("the event is for `{name}`, which this stream does not feed"))
        }
        (None, [only]) => Ok(*only),
        (None, _) => {
            Err("the stream feeds several sources: write `{\"source\": \"..\", \"event\": ..}`".to_owned())
        }
    }
}
