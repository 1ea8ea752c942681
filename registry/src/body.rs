//! [`Body`]: an archive on its way.

use crate::error::Cause;
use bytes::Bytes;
use futures_util::stream::BoxStream;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;

/// Bytes that are read from a file at once.
pub(crate) const CHUNK: usize = 256 << 10;

/// An archive on its way.
pub struct Body {
    /// The offset of its first byte: what was asked for, or 0 where the place cannot do that.
    pub from: u64,
    /// The bytes.
    pub chunks: BoxStream<'static, Result<Bytes, Cause>>,
}

/// The bytes of a range of an open file, read when they are asked for.
pub(crate) fn body(file: File, range: Range<u64>) -> Body {
    let from = range.start;
    let chunks = futures_util::stream::try_unfold((file, from), move |(mut file, at)| async move {
        let read = tokio::task::spawn_blocking(move || {
            let mut buffer =
                vec![0; CHUNK.min(usize::try_from(range.end.saturating_sub(at)).unwrap_or(CHUNK))];
            file.seek(SeekFrom::Start(at))?;
            let n = file.read(&mut buffer)?;
            buffer.truncate(n);
            io::Result::Ok((file, Bytes::from(buffer)))
        });
        let (file, chunk) = read.await??;
        let at = at + chunk.len() as u64;
        Ok((!chunk.is_empty()).then_some((chunk, (file, at))))
    });
    Body { from, chunks: Box::pin(chunks) }
}
