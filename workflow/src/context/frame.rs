//! The form in which a context crosses a boundary: keys beside the raw JSON of their values.
//!
//! ```text
//! FrameHeader | entries times: FrameEntry, key, value
//! ```
//!
//! Keys are sorted and unique. Reading a frame touches each entry's header and parses no value, so that the
//! cost of a call follows the keys touched and not the size carried.

use crate::private::wire::{Reader, Wire, WireError, wire_struct};

wire_struct! {
    /// The header of a frame.
    FrameHeader {
        /// The number of entries that follow.
        entries: u32,
    }
}

wire_struct! {
    /// The header of an entry of a frame; the key and the value follow.
    FrameEntry {
        /// Length of the key in bytes.
        key: u32,
        /// Length of the value in bytes; 0 in a patch removes the key.
        value: u32,
    }
}

/// Bytes of a [`FrameEntry`].
const ENTRY_BYTES: usize = size_of::<FrameEntry>();

/// Why the bytes of a context could not be read.
#[derive(Debug, thiserror::Error)]
#[doc(hidden)]
pub enum FrameError {
    #[error("context frame ends at byte {bytes}, inside the entry that begins at {at}")]
    Truncated { at: usize, bytes: usize },
    #[error("context frame of {bytes} bytes claims {count} entries")]
    Count { count: usize, bytes: usize },
    #[error("context frame has a key that is not UTF-8 at byte {at}")]
    Key { at: usize },
    #[error("context frame has the key `{key}` out of order or twice")]
    Order { key: String },
    #[error("context frame goes on after its last entry (byte {at} of {bytes})")]
    Trailing { at: usize, bytes: usize },
    #[error("context of {bytes} bytes is over the limit of {limit}")]
    TooLarge { bytes: usize, limit: usize },
    #[error("context key `{key}` is NaN or infinite, which JSON has not")]
    NotFinite { key: String },
    #[error("context key `{key}` does not serialize")]
    Value { key: String, source: serde_json::Error },
}

/// Position of one entry inside a frame.
#[derive(Debug, Clone, Copy)]
pub(super) struct Span {
    pub(super) key: (u32, u32),
    pub(super) value: (u32, u32),
}

impl Span {
    pub(super) fn key<'f>(&self, frame: &'f [u8]) -> &'f str {
        // `index` checked that every key is UTF-8; a frame is never changed after that.
        std::str::from_utf8(slice(frame, self.key)).unwrap_or_default()
    }

    pub(super) fn key_bytes<'f>(&self, frame: &'f [u8]) -> &'f [u8] {
        slice(frame, self.key)
    }

    pub(super) fn value<'f>(&self, frame: &'f [u8]) -> &'f [u8] {
        slice(frame, self.value)
    }
}

fn slice(frame: &[u8], (start, len): (u32, u32)) -> &[u8] {
    let start = start as usize;
    frame.get(start..start + len as usize).unwrap_or_default()
}

/// Reads the positions of all entries of the frame that begins at `start`, checking lengths, order and
/// encoding of the keys.
///
/// # Errors
/// [`FrameError`] with the offset at which the frame is wrong.
pub(super) fn index<T: From<Span>>(frame: &[u8], start: usize) -> Result<Vec<T>, FrameError> {
    let mut reader = Reader::starting_at(frame, start);
    if reader.remaining() == 0 {
        return Ok(Vec::new());
    }
    let count = FrameHeader::take(&mut reader)?.entries as usize;
    // An entry takes at least its header: a count beyond that is a lie, not a reason to allocate.
    if count > reader.remaining() / ENTRY_BYTES {
        return Err(FrameError::Count { count, bytes: frame.len() });
    }
    let mut spans = Vec::with_capacity(count);
    let mut previous: Option<&[u8]> = None;
    for _ in 0..count {
        let entry = FrameEntry::take(&mut reader)?;
        let key = take(&mut reader, entry.key)?;
        let value = take(&mut reader, entry.value)?;
        let bytes = slice(frame, key);
        if !bytes.is_ascii() && std::str::from_utf8(bytes).is_err() {
            return Err(FrameError::Key { at: key.0 as usize });
        }
        if previous.is_some_and(|p| p >= bytes) {
            return Err(FrameError::Order { key: String::from_utf8_lossy(bytes).into_owned() });
        }
        previous = Some(bytes);
        spans.push(Span { key, value }.into());
    }
    let at = reader.position();
    if at == frame.len() { Ok(spans) } else { Err(FrameError::Trailing { at, bytes: frame.len() }) }
}

#[inline]
fn take(reader: &mut Reader<'_>, len: u32) -> Result<(u32, u32), FrameError> {
    let start = reader.position();
    reader.take(len as usize, "entry")?;
    Ok((start as u32, len))
}

impl From<WireError> for FrameError {
    fn from(error: WireError) -> Self {
        Self::Truncated { at: error.at, bytes: error.bytes }
    }
}

/// Writes a frame from entries that are already sorted by key.
pub(super) fn write<'a>(entries: impl Iterator<Item = (&'a str, &'a [u8])> + Clone, out: &mut Vec<u8>) {
    let sizes = entries.clone().map(|(key, value)| ENTRY_BYTES + key.len() + value.len());
    let (count, bytes) = sizes.fold((0_usize, 0_usize), |(count, bytes), size| (count + 1, bytes + size));
    out.reserve(size_of::<FrameHeader>() + bytes);
    FrameHeader { entries: count as u32 }.put(out);
    for (key, value) in entries {
        FrameEntry { key: key.len() as u32, value: value.len() as u32 }.put(out);
        out.extend_from_slice(key.as_bytes());
        out.extend_from_slice(value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn frame_of(entries: &[(&str, &str)]) -> Vec<u8> {
        let mut out = Vec::new();
        write(entries.iter().map(|(k, v)| (*k, v.as_bytes())), &mut out);
        out
    }

    #[test]
    fn an_entry_is_as_long_as_its_type() {
        assert_eq!(FrameEntry::default().encode().len(), ENTRY_BYTES);
    }

    #[test]
    fn a_written_frame_reads_back() {
        let frame = frame_of(&[("a", "1"), ("b", "\"two\"")]);
        let spans = index::<Span>(&frame, 0).expect("own frame");
        let read: Vec<_> = spans.iter().map(|s| (s.key(&frame), s.value(&frame))).collect();
        assert_eq!(read, [("a", &b"1"[..]), ("b", &b"\"two\""[..])]);
    }

    #[test]
    fn unsorted_and_repeated_keys_are_refused() {
        assert!(matches!(
            index::<Span>(&frame_of(&[("b", "1"), ("a", "1")]), 0),
            Err(FrameError::Order { .. })
        ));
        assert!(matches!(
            index::<Span>(&frame_of(&[("a", "1"), ("a", "1")]), 0),
            Err(FrameError::Order { .. })
        ));
    }

    #[test]
    fn a_lying_count_allocates_nothing() {
        let frame = u32::MAX.to_le_bytes();
        assert!(matches!(index::<Span>(&frame, 0), Err(FrameError::Count { .. })));
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = index::<Span>(&bytes, 0);
        }

        #[test]
        fn every_truncation_is_an_error(cut in 1_usize..30) {
            let frame = frame_of(&[("alpha", "[1,2,3]"), ("beta", "{}")]);
            prop_assert!(index::<Span>(&frame[..frame.len() - cut], 0).is_err());
        }
    }
}
