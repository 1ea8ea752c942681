//! Events that others push: `type = "http"`, `topic = "127.0.0.1:8787/prices"`.
//!
//! A `POST` to that path with one event as JSON, or one a line, is answered when the events are taken: recorded,
//! for a sequential reactor. 202 taken, 400 no event, 408 too slow, 413 too large or too many, 503 not now, try again.

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::routing::post;
use futures_util::StreamExt;
use longshore_engine::{BoxFuture, EventStream, StreamError, StreamEvent, StreamKind, StreamOpening};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::task::JoinHandle;

/// The kind, for `EVENT_STREAMS`.
pub const KIND: StreamKind = StreamKind { name: "http", open: |opening| Box::pin(open(opening)) };

/// Largest body, in bytes.
const MAX_BODY: usize = 8 << 20;

/// Most events of one request: they are taken together.
const MAX_EVENTS: usize = 10_000;

/// The time a request gets to arrive.
const READ_TIMEOUT: Duration = Duration::from_secs(30);

/// Requests that wait to be taken; beyond that they are told to come again.
const MAX_WAITING: usize = 1024;

/// Bodies that are read or wait to be taken, in KiB together; beyond that requests are told to come again. What did not
/// arrive yet takes no room: who is silent keeps nobody out.
const MAX_WAITING_KIB: usize = 64 << 10;

/// The time a request waits to be taken.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// The longest time that a read waits for the first event.
const READ_WAIT: Duration = Duration::from_millis(250);

struct Pushed {
    events: Vec<Vec<u8>>,
    taken: oneshot::Sender<()>,
}

/// An address that is listened on.
struct Listening {
    server: JoinHandle<()>,
    pushed: mpsc::Receiver<Pushed>,
    /// Requests whose events were handed out.
    answering: Vec<oneshot::Sender<()>>,
    count: u64,
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn open(opening: StreamOpening) -> Result<Box<dyn EventStream>, StreamError> {
    let topic = &opening.def.topic;
    let (address, path) = topic.split_once('/').unwrap_or((topic, ""));
    let failed =
        |error: std::io::Error| StreamError { message: format!("cannot listen on {address}: {error}") };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let (sender, pushed) = mpsc::channel(MAX_WAITING);
    let router = Router::new()
        .route(&format!("/{path}"), post(push))
        .with_state(Pushing { sender, room: Arc::new(Semaphore::new(MAX_WAITING_KIB)) });
    let server = tokio::spawn(async move {
        if let Err(error) = axum::serve(listener, router).await {
            tracing::error!(%error, "the listener of a stream ended");
        }
    });
    Ok(Box::new(Listening { server, pushed, answering: Vec::new(), count: 0 }))
}

/// The receiver of a request.
#[derive(Clone)]
struct Pushing {
    sender: mpsc::Sender<Pushed>,
    /// A permit for each KiB.
    room: Arc<Semaphore>,
}

type Answer = (StatusCode, &'static str);

const COME_AGAIN: Answer = (StatusCode::SERVICE_UNAVAILABLE, "too much is waiting; try again\n");
const TOO_LARGE: Answer = (StatusCode::PAYLOAD_TOO_LARGE, "send at most 8 MiB at once\n");
const TOO_MANY: Answer = (StatusCode::PAYLOAD_TOO_LARGE, "send at most 10,000 events at once\n");
const TOO_SLOW: Answer = (StatusCode::REQUEST_TIMEOUT, "the request did not arrive in 30 s\n");
const BROKEN_OFF: Answer = (StatusCode::BAD_REQUEST, "the request broke off\n");

/// A body, and the room that it takes.
type Arrived = (Vec<u8>, Vec<OwnedSemaphorePermit>);

async fn read(body: Body, room: &Arc<Semaphore>) -> Result<Arrived, Answer> {
    let mut chunks = body.into_data_stream();
    let (mut bytes, mut taken) = (Vec::new(), Vec::new());
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|_| BROKEN_OFF)?;
        if bytes.len() + chunk.len() > MAX_BODY {
            return Err(TOO_LARGE);
        }
        let kib = chunk.len().div_ceil(1024) as u32;
        taken.push(Arc::clone(room).try_acquire_many_owned(kib).map_err(|_| COME_AGAIN)?);
        bytes.extend_from_slice(&chunk);
    }
    Ok((bytes, taken))
}

async fn push(State(pushing): State<Pushing>, request: Request) -> Answer {
    let arrived = tokio::time::timeout(READ_TIMEOUT, read(request.into_body(), &pushing.room)).await;
    let (body, _room) = match arrived {
        Ok(Ok(arrived)) => arrived,
        Ok(Err(refused)) => return refused,
        Err(_) => return TOO_SLOW,
    };
    let lines = body.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii).filter(|line| !line.is_empty());
    let events: Vec<Vec<u8>> = lines.take(MAX_EVENTS + 1).map(<[u8]>::to_vec).collect();
    if events.len() > MAX_EVENTS {
        return TOO_MANY;
    }
    if events.is_empty() {
        return (StatusCode::BAD_REQUEST, "send an event as JSON, or one a line\n");
    }
    let (taken, done) = oneshot::channel();
    if pushing.sender.try_send(Pushed { events, taken }).is_err() {
        return COME_AGAIN;
    }
    match tokio::time::timeout(ANSWER_TIMEOUT, done).await {
        Ok(Ok(())) => (StatusCode::ACCEPTED, "taken\n"),
        _ => (StatusCode::SERVICE_UNAVAILABLE, "not taken in time; it may be taken later\n"),
    }
}

impl EventStream for Listening {
    fn read(&mut self, max: usize) -> BoxFuture<'_, Result<Vec<StreamEvent>, StreamError>> {
        Box::pin(async move {
            let mut events = Vec::new();
            let mut next = tokio::time::timeout(READ_WAIT, self.pushed.recv()).await.ok().flatten();
            while let Some(Pushed { events: pushed, taken }) = next {
                for json in pushed {
                    self.count += 1;
                    events.push(StreamEvent {
                        source: None,
                        json,
                        position: self.count.to_string(),
                        fault: None,
                    });
                }
                self.answering.push(taken);
                next = if events.len() < max { self.pushed.try_recv().ok() } else { None };
            }
            if self.server.is_finished() {
                return Err(StreamError { message: "the listener ended".to_owned() });
            }
            Ok(events)
        })
    }

    fn ack(&mut self) -> BoxFuture<'_, Result<(), StreamError>> {
        for taken in self.answering.drain(..) {
            // Whoever asked may have gone.
            let _ = taken.send(());
        }
        Box::pin(async { Ok(()) })
    }
}
