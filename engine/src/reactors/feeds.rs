//! Feeds of the sources of a running reactor: polls, timers of batches, streams.

use crate::backoff::Backoff;
use crate::model::reactor_def::{AccumulatorKind, ReactorDef, StreamDef};
use crate::reactors::ingress::{ReactorInput, event_of};
use crate::reactors::state::{Event, Payload};
use crate::streams::{self, StreamEvent, StreamOpening};
use crate::sync::lock;
use longshore_store::PositionRow;
use longshore_workflow_plugin::wire::CallFailure;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;

/// The time a poll may take, in milliseconds.
const POLL_DEADLINE_MS: u64 = 30_000;

/// Events that are read of a stream at a time.
const READ_BATCH: usize = 256;

/// Pause at the end of a stream before it is read again.
const END_PAUSE: Duration = Duration::from_millis(250);

/// Pauses after a stream failed.
const STREAM_BACKOFF: Backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(30));

/// A task of a reactor, aborted when this is dropped.
pub(crate) struct Feed(Option<JoinHandle<()>>);

impl Feed {
    pub(crate) fn of(task: JoinHandle<()>) -> Self {
        Self(Some(task))
    }

    /// Aborts it. It has ended when the handle says so: until then it may say something.
    pub(crate) fn end(mut self) -> Option<JoinHandle<()>> {
        self.0.take().inspect(JoinHandle::abort)
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        if let Some(task) = &self.0 {
            task.abort();
        }
    }
}

/// The feeds of a reactor.
pub(crate) type Feeds = Arc<Mutex<Vec<Feed>>>;

/// Starts everything that feeds a reactor once all is recorded that its feeds before sent: the new ones begin behind that.
pub(crate) fn restart(input: &ReactorInput, place: &StreamPlace, feeds: &Feeds) {
    let (input, place, started) = (input.clone(), place.clone(), Arc::clone(feeds));
    let task = tokio::spawn(async move {
        input.settle().await;
        let positions = lock(&input.positions).clone();
        lock(&started).extend(start(&input, &positions, &place));
    });
    lock(feeds).push(Feed::of(task));
}

/// Where streams are looked for, and how many have not reached their end.
#[derive(Clone, Default)]
pub(crate) struct StreamPlace {
    pub(crate) roots: Vec<PathBuf>,
    pub(crate) reading: Arc<AtomicUsize>,
    /// True when nothing is appended to them any more.
    pub(crate) ends: bool,
}

/// Counts a stream that has not reached its end, until it has or is not read any more.
struct Reading(Option<Arc<AtomicUsize>>);

impl Reading {
    fn begin(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(Some(Arc::clone(count)))
    }

    fn end(&mut self) {
        if let Some(count) = self.0.take() {
            count.fetch_sub(1, Ordering::SeqCst);
        }
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        self.end();
    }
}

/// Starts everything that feeds a reactor.
pub(crate) fn start(
    input: &ReactorInput,
    positions: &BTreeMap<String, String>,
    place: &StreamPlace,
) -> Vec<Feed> {
    let def = Arc::clone(&input.reactor.bindings().def);
    let mut feeds = Vec::new();
    let mut streams: BTreeMap<StreamDef, Vec<usize>> = BTreeMap::new();
    for (source, source_def) in def.sources.iter().enumerate() {
        let Some(accumulator) = &source_def.accumulator else { continue };
        match &accumulator.kind {
            AccumulatorKind::Polling { interval } => {
                feeds.push(Feed::of(tokio::spawn(poll(input.clone(), source, accumulator.index, *interval))));
            }
            AccumulatorKind::Batch { flush_interval, .. } => {
                feeds.push(Feed::of(tokio::spawn(flush(input.clone(), source, *flush_interval))));
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
            ends: place.ends,
        };
        let reading = Reading::begin(&place.reading);
        feeds.push(Feed::of(tokio::spawn(read_stream(input.clone(), opening, sources, reading))));
    }
    feeds
}

async fn poll(input: ReactorInput, source: usize, accumulator: u32, interval: Duration) {
    let mut ticks = tokio::time::interval(interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if input.reactor.is_paused() {
            continue;
        }
        let (reply, answer) = oneshot::channel();
        let runner = Arc::clone(&input.reactor.bindings().runner);
        let accepted = runner.run(Box::new(move |calls| {
            let _ = reply.send(calls.poll(accumulator, POLL_DEADLINE_MS));
        }));
        if !accepted {
            continue;
        }
        match answer.await {
            Ok(Ok(Some(value))) => input.push(vec![(source, Event::from(value))]).await,
            Ok(Err(failure)) => {
                let name = input.reactor.bindings().def.sources[source].name.clone();
                tracing::warn!(
                    reactor = input.reactor.name,
                    source = name,
                    error = failure.message,
                    "a poll failed"
                );
            }
            Ok(Ok(None)) | Err(_) => {}
        }
    }
}

async fn flush(input: ReactorInput, source: usize, interval: Duration) {
    let mut ticks = tokio::time::interval(interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks.tick().await;
    loop {
        ticks.tick().await;
        if input.reactor.has_buffered(source) {
            input.flush(source).await;
        }
    }
}

/// Reads a stream for as long as the reactor is there; one that goes away is opened again.
async fn read_stream(
    input: ReactorInput,
    mut opening: StreamOpening,
    sources: Vec<usize>,
    mut reading: Reading,
) {
    let mut failures = 0;
    loop {
        let mut stream = match streams::open(opening.clone()).await {
            Ok(stream) => stream,
            Err(error) => {
                input.problem(&sources, Some(error.message));
                failures += 1;
                tokio::time::sleep(STREAM_BACKOFF.pause(failures)).await;
                continue;
            }
        };
        loop {
            match stream.read(READ_BATCH).await {
                Ok(events) if events.is_empty() => {
                    input.problem(&sources, None);
                    reading.end();
                    tokio::time::sleep(END_PAUSE).await;
                }
                Ok(events) => {
                    (failures, opening.position) = (0, events.last().map(|e| e.position.clone()));
                    input.problem(&sources, None);
                    deliver(&input, &opening.def, &sources, events).await;
                    if let Err(error) = stream.ack().await {
                        input.problem(&sources, Some(error.message));
                        break;
                    }
                }
                Err(error) => {
                    input.problem(&sources, Some(error.message));
                    break;
                }
            }
        }
        failures += 1;
        tokio::time::sleep(STREAM_BACKOFF.pause(failures)).await;
    }
}

async fn deliver(input: &ReactorInput, stream: &StreamDef, sources: &[usize], events: Vec<StreamEvent>) {
    let def = Arc::clone(&input.reactor.bindings().def);
    let position = events.last().map(|e| e.position.clone()).unwrap_or_default();
    let mut taken = Vec::with_capacity(events.len());
    for event in events {
        match read(&def, sources, &event) {
            Ok(event) => taken.push(event),
            Err(message) => {
                let name = event.source.clone().unwrap_or_else(|| def.sources[sources[0]].name.clone());
                let at = format!("{stream} before {}", event.position);
                let failure = CallFailure { message, field: ".".to_owned(), ..CallFailure::default() };
                let kept =
                    longshore_workflow::serialize(&String::from_utf8_lossy(&event.json)).unwrap_or_default();
                input.reactor.reject(&name, at, Payload::Derived(kept.into()), failure);
            }
        }
    }
    input.push_through(taken, PositionRow { stream: stream.to_string(), position }).await;
}

/// The source of an event, and the event as it travels.
fn read(def: &ReactorDef, sources: &[usize], event: &StreamEvent) -> Result<(usize, Event), String> {
    match &event.fault {
        Some(fault) => Err(fault.clone()),
        None => Ok((address(def, sources, event)?, event_of(&event.json)?)),
    }
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
