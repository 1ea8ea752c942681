//! Lines of a file as events: `type = "file"`, the path as `topic`.
//!
//! Each line is one event as JSON, `{"source": "..", "event": ..}` when the file feeds several sources. The file
//! is followed: what is appended is read. Its position is the offset after the last line, and which file that was. A file
//! that was truncated is read from its beginning; one that was rotated is read to its end, then the new one.

use crate::streams::{EventStream, StreamError, StreamEvent, StreamKind, StreamOpening};
use futures_util::future::BoxFuture;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::{Duration, Instant};
use tokio::fs::File;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncSeekExt, BufReader, SeekFrom};

/// Longest line, in bytes: an event is a message, not a data set. A longer one goes to the dead letters.
const MAX_LINE: usize = 1 << 20;

/// The time that a file that was rotated away has to be quiet before the one in its place is read: whoever writes it may
/// have it open still.
const QUIET: Duration = Duration::from_secs(1);

/// Bytes of a line over the limit that are kept for a look.
const KEPT: usize = 1024;

#[expect(unsafe_code, reason = "linkme gathers the slice by placing statics in a section")]
mod registration {
    use super::{StreamKind, open};
    use crate::streams::EVENT_STREAMS;
    use linkme::distributed_slice;

    #[distributed_slice(EVENT_STREAMS)]
    static FILE: StreamKind = StreamKind { name: "file", open: |opening| Box::pin(open(opening)) };
}

struct Lines {
    /// The path of the file that is followed; the one that is read may have been moved away.
    path: PathBuf,
    reader: BufReader<File>,
    at: Position,
    /// The line that is being read.
    line: Line,
    /// True when nothing is appended any more.
    ends: bool,
    /// The time when more was read last, or the file was opened.
    grew_at: Instant,
}

/// A line whose end was not read yet.
#[derive(Default)]
struct Line {
    bytes: u64,
    /// Its text; the first of it when it is over the limit.
    text: Vec<u8>,
}

/// A place in a file: written as `OFFSET` or `OFFSET@FILE`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Position {
    offset: u64,
    /// None where the system does not tell files apart.
    file: Option<u64>,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.file {
            Some(file) => write!(f, "{}@{file:x}", self.offset),
            None => write!(f, "{}", self.offset),
        }
    }
}

impl FromStr for Position {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (offset, file) = text.split_once('@').map_or((text, None), |(offset, file)| (offset, Some(file)));
        let file = file.map(|file| u64::from_str_radix(file, 16)).transpose()?;
        Ok(Self { offset: offset.parse()?, file })
    }
}

#[cfg(unix)]
fn identity(metadata: &std::fs::Metadata) -> Option<u64> {
    use std::os::unix::fs::MetadataExt;
    // Without its device, which has another number after a restart of some systems.
    Some(metadata.ino())
}

#[cfg(not(unix))]
fn identity(_: &std::fs::Metadata) -> Option<u64> {
    None
}

#[derive(Deserialize)]
struct Envelope<'l> {
    source: String,
    #[serde(borrow)]
    event: &'l RawValue,
}

async fn open(opening: StreamOpening) -> Result<Box<dyn EventStream>, StreamError> {
    let topic = PathBuf::from(&opening.def.topic);
    let places = opening.roots.iter().map(|root| root.join(&topic));
    let path = places.clone().find(|path| path.is_file()).or_else(|| topic.is_file().then(|| topic.clone()));
    let path = path.ok_or_else(|| StreamError {
        message: format!(
            "the file `{}` is not there (looked in {})",
            topic.display(),
            places.map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
        ),
    })?;
    let position = opening.position.and_then(|position| position.parse().ok()).unwrap_or_default();
    let failed = |error: std::io::Error| StreamError { message: format!("{}: {error}", path.display()) };
    let (reader, at) = open_at(&path, position).await.map_err(failed)?;
    let grew_at = Instant::now();
    Ok(Box::new(Lines { reader, at, line: Line::default(), ends: opening.ends, grew_at, path }))
}

/// Opens the file that a position is in: the one at the path, or one beside it that was rotated away. A position that is
/// in no file any more, or after the end of its file, is the beginning of the file at the path.
async fn open_at(path: &Path, position: Position) -> std::io::Result<(BufReader<File>, Position)> {
    let mut file = File::open(path).await?;
    let mut metadata = file.metadata().await?;
    if position.file.is_some_and(|of| identity(&metadata) != Some(of))
        && let Some(rotated) = find_beside(path, position.file).await
    {
        file = File::open(rotated).await?;
        metadata = file.metadata().await?;
    }
    let identity = identity(&metadata);
    let is_there = position.file.is_none_or(|of| identity == Some(of)) && position.offset <= metadata.len();
    let offset = if is_there { position.offset } else { 0 };
    file.seek(SeekFrom::Start(offset)).await?;
    Ok((BufReader::with_capacity(64 * 1024, file), Position { offset, file: identity }))
}

/// The file in the same folder that has this identity.
async fn find_beside(path: &Path, wanted: Option<u64>) -> Option<PathBuf> {
    let mut entries = tokio::fs::read_dir(path.parent()?).await.ok()?;
    while let Some(entry) = entries.next_entry().await.ok()? {
        let metadata = entry.metadata().await.ok();
        if metadata.is_some_and(|metadata| metadata.is_file() && identity(&metadata) == wanted) {
            return Some(entry.path());
        }
    }
    None
}

impl Lines {
    /// Reads more of the line. True when its end was read.
    async fn read_line(&mut self) -> std::io::Result<bool> {
        loop {
            // No more of a line is held in memory than tells that it is too long.
            let room = (MAX_LINE + 1).saturating_sub(self.line.text.len()) as u64;
            let read = (&mut self.reader).take(room).read_until(b'\n', &mut self.line.text).await?;
            self.line.bytes += read as u64;
            if read == 0 {
                return Ok(false);
            }
            self.grew_at = Instant::now();
            let ended = self.line.text.ends_with(b"\n");
            if self.line.bytes > MAX_LINE as u64 {
                self.line.text.truncate(KEPT);
            }
            if ended {
                return Ok(true);
            }
        }
    }

    async fn read_events(&mut self, max: usize) -> std::io::Result<Vec<StreamEvent>> {
        let mut events = Vec::new();
        while events.len() < max {
            if self.read_line().await? {
                events.extend(self.take_event());
                continue;
            }
            if self.ends {
                events.extend(self.take_event());
                break;
            }
            if !self.follow(&mut events).await? {
                break;
            }
        }
        Ok(events)
    }

    /// The event of the line that was read, and the position after it.
    fn take_event(&mut self) -> Option<StreamEvent> {
        let Line { bytes, text } = std::mem::take(&mut self.line);
        self.at.offset += bytes;
        if bytes > MAX_LINE as u64 {
            let fault = format!("the line has {bytes} bytes, over the limit of {MAX_LINE}");
            let position = self.at.to_string();
            return Some(StreamEvent { source: None, json: text, position, fault: Some(fault) });
        }
        let text = text.trim_ascii();
        (!text.is_empty()).then(|| event_of(text, self.at))
    }

    /// At the end of the file: whether there is more to read, because it was truncated, or because another one took its
    /// place. A file that was rotated away gets nothing any more: what is left in it is its last line.
    async fn follow(&mut self, events: &mut Vec<StreamEvent>) -> std::io::Result<bool> {
        let Ok(at_path) = tokio::fs::metadata(&self.path).await else { return Ok(false) };
        let rotated = identity(&at_path) != self.at.file;
        let length = self.reader.get_ref().metadata().await?.len();
        let truncated = length < self.at.offset + self.line.bytes;
        if !truncated && (!rotated || self.grew_at.elapsed() < QUIET) {
            return Ok(false);
        }
        if rotated && !truncated {
            events.extend(self.take_event());
        }
        let (reader, at) = open_at(&self.path, Position::default()).await?;
        (self.reader, self.at, self.line, self.grew_at) = (reader, at, Line::default(), Instant::now());
        Ok(true)
    }
}

impl EventStream for Lines {
    fn read(&mut self, max: usize) -> BoxFuture<'_, Result<Vec<StreamEvent>, StreamError>> {
        Box::pin(async move {
            let read = self.read_events(max).await;
            read.map_err(|error| StreamError { message: format!("{}: {error}", self.path.display()) })
        })
    }
}

fn event_of(line: &[u8], at: Position) -> StreamEvent {
    let (position, fault) = (at.to_string(), None);
    match serde_json::from_slice::<Envelope<'_>>(line) {
        Ok(envelope) => {
            StreamEvent { source: Some(envelope.source), json: envelope.event.get().into(), position, fault }
        }
        Err(_) => StreamEvent { source: None, json: line.to_vec(), position, fault },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::reactor_def::StreamDef;
    use std::io::Write;

    fn opening(folder: &Path, position: Option<&str>) -> StreamOpening {
        StreamOpening {
            def: StreamDef { kind: "file".into(), topic: "events.jsonl".into(), group: String::new() },
            position: position.map(str::to_owned),
            roots: vec![folder.to_owned()],
            ends: false,
        }
    }

    async fn read(stream: &mut Box<dyn EventStream>) -> Vec<String> {
        let events = stream.read(10).await.expect("reads");
        events.iter().map(|event| String::from_utf8_lossy(&event.json).into_owned()).collect()
    }

    #[tokio::test]
    async fn a_file_that_was_truncated_is_read_from_its_beginning() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("events.jsonl");
        std::fs::write(&path, "1\n2\n").expect("writes");
        let mut stream = open(opening(folder.path(), None)).await.expect("opens");
        assert_eq!(read(&mut stream).await, ["1", "2"]);
        std::fs::write(&path, "3\n").expect("writes");
        assert_eq!(read(&mut stream).await, ["3"]);
        // The same while nobody looked.
        let position = stream.read(1).await.expect("reads").len();
        assert_eq!(position, 0);
        let mut again = open(opening(folder.path(), Some("4000"))).await.expect("opens");
        assert_eq!(read(&mut again).await, ["3"]);
    }

    #[tokio::test]
    async fn a_file_that_was_rotated_is_read_to_its_end_and_then_the_new_one() {
        let folder = tempfile::tempdir().expect("folder");
        let (path, rotated) = (folder.path().join("events.jsonl"), folder.path().join("events.jsonl.1"));
        std::fs::write(&path, "1\n2\n").expect("writes");
        let mut stream = open(opening(folder.path(), None)).await.expect("opens");
        let first = stream.read(1).await.expect("reads").remove(0);
        std::fs::rename(&path, &rotated).expect("rotates");
        assert_eq!(read(&mut stream).await, ["2"], "nothing took its place yet");
        let mut old = std::fs::OpenOptions::new().append(true).open(&rotated).expect("opens");
        old.write_all(b"3\n4").expect("appends");
        std::fs::write(&path, "5\n").expect("writes");
        assert_eq!(read(&mut stream).await, ["3"], "somebody may write on");
        old.write_all(b"2").expect("appends");
        let mut rest = Vec::new();
        while rest.len() < 2 {
            rest.extend(read(&mut stream).await);
        }
        assert_eq!(rest, ["42", "5"]);
        let mut again = open(opening(folder.path(), Some(&first.position))).await.expect("opens");
        let mut all = Vec::new();
        while all.len() < 4 {
            all.extend(read(&mut again).await);
        }
        assert_eq!(all, ["2", "3", "42", "5"], "also when that happened while nobody read");
    }

    #[tokio::test]
    async fn the_last_line_of_what_ends_needs_no_newline() {
        let folder = tempfile::tempdir().expect("folder");
        std::fs::write(folder.path().join("events.jsonl"), "1\n2").expect("writes");
        let mut stream =
            open(StreamOpening { ends: true, ..opening(folder.path(), None) }).await.expect("opens");
        assert_eq!(read(&mut stream).await, ["1", "2"]);
        assert_eq!(read(&mut stream).await, Vec::<String>::new());
    }

    #[tokio::test]
    async fn a_file_is_followed_line_by_line_and_gone_on_with_at_a_position() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("events.jsonl");
        std::fs::write(&path, "{\"source\":\"a\",\"event\":{\"n\": 1}}\n\n[2]\n{\"half\":").expect("writes");
        let mut stream = open(opening(folder.path(), None)).await.expect("opens");
        let events = stream.read(10).await.expect("reads");
        let seen: Vec<_> = events.iter().map(|e| (e.source.as_deref(), e.json.as_slice())).collect();
        assert_eq!(seen, [(Some("a"), &b"{\"n\": 1}"[..]), (None, b"[2]")]);
        assert!(stream.read(10).await.expect("reads").is_empty());
        let mut file = std::fs::OpenOptions::new().append(true).open(&path).expect("opens");
        file.write_all(b" true}\n").expect("appends");
        assert_eq!(stream.read(10).await.expect("reads")[0].json, b"{\"half\": true}");
        let mut again = open(opening(folder.path(), Some(&events[0].position))).await.expect("opens");
        assert_eq!(again.read(1).await.expect("reads")[0].json, b"[2]");
    }

    #[tokio::test]
    async fn a_line_over_the_limit_is_passed_over_and_told() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("events.jsonl");
        let long = [vec![b'1'; 4 * MAX_LINE], b"\n2\n".to_vec()].concat();
        std::fs::write(&path, long).expect("writes");
        let mut stream = open(opening(folder.path(), None)).await.expect("opens");
        let events = stream.read(10).await.expect("reads");
        let fault = events[0].fault.as_deref().expect("too long");
        assert!(fault.contains("4194305 bytes") && fault.contains("limit"), "{fault}");
        assert_eq!((events[0].json.len(), events[1].json.as_slice()), (KEPT, &b"2"[..]));
    }

    #[tokio::test]
    async fn a_line_without_end_does_not_fill_the_memory() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("events.jsonl");
        std::fs::write(&path, vec![b'1'; 4 * MAX_LINE]).expect("writes");
        let (reader, at) = open_at(&path, Position::default()).await.expect("opens");
        let (line, grew_at) = (Line::default(), Instant::now());
        let mut lines = Lines { path, reader, at, line, ends: false, grew_at };
        assert_eq!(lines.read(10).await.expect("reads"), []);
        assert!(lines.line.text.capacity() <= 3 * MAX_LINE && lines.line.bytes == 4 * MAX_LINE as u64);
    }

    #[tokio::test]
    async fn a_file_that_is_not_there_says_where_it_was_looked_for() {
        let folder = tempfile::tempdir().expect("folder");
        let error = open(opening(folder.path(), None)).await.err().expect("no file").to_string();
        assert!(error.contains("events.jsonl") && error.contains("looked in"), "{error}");
    }
}
