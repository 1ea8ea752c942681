//! The static record of an item: bytes in the library's `.longshore` section, made in const evaluation.
//!
//! ```text
//! magic "LSR1" | length u32 of what follows | kind u8 | fields: key length u16, value length u32, key, value
//! ```
//!
//! Integers little-endian. `longshore-package` reads it back without running a line of the library.

/// The first bytes of a record. The digit is the version of this layout.
pub const RECORD_MAGIC: [u8; 4] = *b"LSR1";

/// The kinds of entries that a record describes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum RecordKind {
    /// The package itself: name, versions, stamps, wire schema.
    Package = 0,
    /// A workflow.
    Workflow = 1,
    /// A task.
    Task = 2,
    /// A trigger.
    Trigger = 3,
    /// A reactor.
    Reactor = 4,
    /// A computation graph.
    Graph = 5,
    /// An accumulator.
    Accumulator = 6,
}

impl RecordKind {
    /// The kind with this number.
    pub fn from_u8(kind: u8) -> Option<Self> {
        let all = [
            Self::Package,
            Self::Workflow,
            Self::Task,
            Self::Trigger,
            Self::Reactor,
            Self::Graph,
            Self::Accumulator,
        ];
        all.into_iter().find(|k| *k as u8 == kind)
    }
}

const HEAD: usize = RECORD_MAGIC.len() + 4;

/// Bytes a record with these fields takes.
pub const fn encoded_len(fields: &[(&str, &str)]) -> usize {
    let mut len = HEAD + 1;
    let mut i = 0;
    while i < fields.len() {
        len += 6 + fields[i].0.len() + fields[i].1.len();
        i += 1;
    }
    len
}

/// Encodes a record; `N` is [`encoded_len`] of the same fields.
pub const fn encode<const N: usize>(kind: RecordKind, fields: &[(&str, &str)]) -> [u8; N] {
    let mut out = [0_u8; N];
    let mut at = put(&mut out, 0, &RECORD_MAGIC);
    at = put(&mut out, at, &((N - HEAD) as u32).to_le_bytes());
    at = put(&mut out, at, &[kind as u8]);
    let mut i = 0;
    while i < fields.len() {
        let (key, value) = fields[i];
        at = put(&mut out, at, &(key.len() as u16).to_le_bytes());
        at = put(&mut out, at, &(value.len() as u32).to_le_bytes());
        at = put(&mut out, at, key.as_bytes());
        at = put(&mut out, at, value.as_bytes());
        i += 1;
    }
    out
}

const fn put<const N: usize>(out: &mut [u8; N], mut at: usize, bytes: &[u8]) -> usize {
    let mut i = 0;
    while i < bytes.len() {
        out[at] = bytes[i];
        at += 1;
        i += 1;
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_made_in_const_evaluation() {
        const FIELDS: &[(&str, &str)] = &[("id", "fetch"), ("deps", "")];
        const LEN: usize = encoded_len(FIELDS);
        const RECORD: [u8; LEN] = encode::<LEN>(RecordKind::Task, FIELDS);
        assert_eq!(&RECORD[..4], b"LSR1");
        assert_eq!(u32::from_le_bytes([RECORD[4], RECORD[5], RECORD[6], RECORD[7]]) as usize, LEN - 8);
        assert_eq!(RECORD[8], 2);
        assert!(RECORD.ends_with(b"deps"));
    }
}
