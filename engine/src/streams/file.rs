//! Lines of a file as events: `type = "file"`, the path as `topic`.
//!
//! Each line is one event as JSON, `{"source": "..", "event": ..}` when the file feeds several sources. The file
//! is followed: what is appended is read. Its position is the offset after the last line.

use crate::streams::{EventStream, StreamError, StreamEvent, StreamKind, StreamOpening};
use futures_util::future::BoxFuture;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::path::PathBuf;
use tokio::fs::File;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncSeekExt, BufReader, SeekFrom};

/// Longest line, in bytes: an event is a message, not a data set.
const MAX_LINE: usize = 1 << 20;

#[expect(unsafe_code, reason = "linkme gathers the slice by placing statics in a section")]
mod registration {
    use super::{StreamKind, open};
    use crate::streams::EVENT_STREAMS;
    use linkme::distributed_slice;

    #[distributed_slice(EVENT_STREAMS)]
    static FILE: StreamKind = StreamKind { name: "file", open: |opening| Box::pin(open(opening)) };
}

struct Lines {
    path: PathBuf,
    reader: BufReader<File>,
    offset: u64,
    /// A line whose end is not written yet.
    partial: Vec<u8>,
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
    let failed = |error: std::io::Error| StreamError { message: format!("{}: {error}", path.display()) };
    let mut file = File::open(&path).await.map_err(failed)?;
    let offset = opening.position.and_then(|position| position.parse().ok()).unwrap_or(0);
    file.seek(SeekFrom::Start(offset)).await.map_err(failed)?;
    Ok(Box::new(Lines {
        reader: BufReader::with_capacity(64 * 1024, file),
        offset,
        partial: Vec::new(),
        path,
    }))
}

impl EventStream for Lines {
    fn read(&mut self, max: usize) -> BoxFuture<'_, Result<Vec<StreamEvent>, StreamError>> {
        Box::pin(async move {
            let mut events = Vec::new();
            while events.len() < max {
                // No more of a line is held in memory than tells that it is too long.
                let room = (MAX_LINE + 1).saturating_sub(self.partial.len()) as u64;
                let read = (&mut self.reader).take(room).read_until(b'\n', &mut self.partial).await;
                let read =
                    read.map_err(|e| StreamError { message: format!("{}: {e}", self.path.display()) })?;
                if self.partial.len() > MAX_LINE {
                    let message = format!(
                        "{}: the line at byte {} is over the limit of {MAX_LINE} bytes",
                        self.path.display(),
                        self.offset
                    );
                    return Err(StreamError { message });
                }
                if read == 0 || !self.partial.ends_with(b"\n") {
                    break;
                }
                self.offset += self.partial.len() as u64;
                let line = std::mem::take(&mut self.partial);
                if !line.trim_ascii().is_empty() {
                    events.push(event_of(line.trim_ascii(), self.offset));
                }
            }
            Ok(events)
        })
    }
}

fn event_of(line: &[u8], offset: u64) -> StreamEvent {
    let position = offset.to_string();
    match serde_json::from_slice::<Envelope<'_>>(line) {
        Ok(envelope) => {
            StreamEvent { source: Some(envelope.source), json: envelope.event.get().into(), position }
        }
        Err(_) => StreamEvent { source: None, json: line.to_vec(), position },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::reactor_def::StreamDef;
    use std::io::Write;

    fn opening(folder: &std::path::Path, position: Option<&str>) -> StreamOpening {
        StreamOpening {
            def: StreamDef { kind: "file".into(), topic: "events.jsonl".into(), group: String::new() },
            position: position.map(str::to_owned),
            roots: vec![folder.to_owned()],
        }
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
    async fn a_line_without_end_is_refused_before_it_fills_the_memory() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("events.jsonl");
        std::fs::write(&path, vec![b'1'; 4 * MAX_LINE]).expect("writes");
        let mut lines = Lines {
            path: path.clone(),
            reader: BufReader::new(File::open(&path).await.expect("opens")),
            offset: 0,
            partial: Vec::new(),
        };
        let error = lines.read(10).await.expect_err("too long").to_string();
        assert!(error.contains("line at byte 0") && error.contains("limit"), "{error}");
        assert_eq!(lines.partial.len(), MAX_LINE + 1);
    }

    #[tokio::test]
    async fn a_file_that_is_not_there_says_where_it_was_looked_for() {
        let folder = tempfile::tempdir().expect("folder");
        let error = open(opening(folder.path(), None)).await.err().expect("no file").to_string();
        assert!(error.contains("events.jsonl") && error.contains("looked in"), "{error}");
    }
}
