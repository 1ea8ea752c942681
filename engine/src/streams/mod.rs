//! Streams that events are read from.
//!
//! A program that embeds Longshore adds a kind of stream by linking one into [`EVENT_STREAMS`].

use crate::model::reactor_def::StreamDef;
mod file;

use futures_util::future::BoxFuture;
use linkme::distributed_slice;
use std::path::PathBuf;

/// An event of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamEvent {
    /// The source it is for; none when the stream has only one.
    pub source: Option<String>,
    /// The event as JSON; of one that cannot be taken, what there is to see of it.
    pub json: Vec<u8>,
    /// Where the stream goes on after this event.
    pub position: String,
    /// Why it cannot be taken: it goes to the dead letters.
    pub fault: Option<String>,
}

/// Why a stream does not read. It is tried again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct StreamError {
    /// The failure's text.
    pub message: String,
}

/// The arguments of opening a stream.
#[derive(Debug, Clone)]
pub struct StreamOpening {
    /// Which stream.
    pub def: StreamDef,
    /// The position after the last acknowledged event.
    pub position: Option<String>,
    /// Where relative paths are looked for, in this order.
    pub roots: Vec<PathBuf>,
    /// True when nothing is appended any more: what is there is read to its end.
    pub ends: bool,
}

/// An open stream.
pub trait EventStream: Send {
    /// The next events, at most `max`; none when there are no more for now.
    fn read(&mut self, max: usize) -> BoxFuture<'_, Result<Vec<StreamEvent>, StreamError>>;

    /// Acknowledges everything that was read: it is recorded, for a sequential reactor.
    fn ack(&mut self) -> BoxFuture<'_, Result<(), StreamError>> {
        Box::pin(async { Ok(()) })
    }
}

/// The future of an opened stream.
pub type OpenedStream = Result<Box<dyn EventStream>, StreamError>;

/// A kind of stream.
pub struct StreamKind {
    /// The word after `type =`.
    pub name: &'static str,
    /// Opens one.
    pub open: fn(StreamOpening) -> BoxFuture<'static, OpenedStream>,
}

/// All kinds of streams, in no order.
#[distributed_slice]
pub static EVENT_STREAMS: [StreamKind];

/// Opens a stream of any kind.
///
/// # Errors
/// [`StreamError`], also for a kind that nobody linked.
pub(crate) async fn open(opening: StreamOpening) -> OpenedStream {
    let found = EVENT_STREAMS.iter().find(|kind| kind.name == opening.def.kind);
    let Some(kind) = found else {
        let mut known: Vec<&str> = EVENT_STREAMS.iter().map(|kind| kind.name).collect();
        known.sort_unstable();
        let message = format!("no kind of stream `{}`; there are {}", opening.def.kind, known.join(", "));
        return Err(StreamError { message });
    };
    (kind.open)(opening).await
}
