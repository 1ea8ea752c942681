//! The directory of an archive, read under limits before anything else is: a zip's own reader believes what it claims.
//!
//! The format: PKWARE APPNOTE 6.3.10, sections 4.3.12 and 4.3.16. Archives here end with their end record, without a
//! comment, and need no zip64: their limits are far below.

use crate::error::Error;
use std::collections::HashSet;
use std::io::{Read, Seek, SeekFrom};

/// Size of an end record without a comment.
const END: u64 = 22;

/// Size of an entry's header before its name.
const HEADER: usize = 46;

/// Largest directory, in bytes: that of 4,096 entries with names of 255 bytes is a third of it.
const MAX_DIRECTORY: u64 = 4 << 20;

/// Where the directory of an archive is, and what it holds.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Directory {
    pub(crate) start: u64,
    pub(crate) entries: u64,
}

/// Reads and checks the directory: its entries are as many as it says, and no two have the same name, whatever the case.
pub(crate) fn read_directory(
    reader: &mut (impl Read + Seek),
    broken: impl Fn(&str) -> Error,
    max_entries: u64,
) -> Result<Directory, Error> {
    let io = |error: std::io::Error| broken(&error.to_string());
    let file = reader.seek(SeekFrom::End(0)).map_err(io)?;
    let at = file.checked_sub(END).ok_or_else(|| broken("it is shorter than the end of an archive"))?;
    let mut end = [0; END as usize];
    reader.seek(SeekFrom::Start(at)).map_err(io)?;
    reader.read_exact(&mut end).map_err(io)?;
    if end[..4] != *b"PK\x05\x06" {
        return Err(broken("it does not end with the end of an archive"));
    }
    let (disk, entries) = (u16_at(&end, 4), u64::from(u16_at(&end, 10)));
    let (size, start) = (u64::from(u32_at(&end, 12)), u64::from(u32_at(&end, 16)));
    if disk != 0 || u64::from(u16_at(&end, 8)) != entries {
        return Err(broken("it is a part of an archive"));
    }
    if entries == u64::from(u16::MAX) || start == u64::from(u32::MAX) || size == u64::from(u32::MAX) {
        return Err(over("the number of entries", u64::MAX, max_entries));
    }
    if entries > max_entries {
        return Err(over("the number of entries", entries, max_entries));
    }
    if size > MAX_DIRECTORY {
        return Err(over("the size of the directory", size, MAX_DIRECTORY));
    }
    if start + size != at {
        return Err(broken("its directory is not where it says"));
    }
    let mut bytes = vec![0; size as usize];
    reader.seek(SeekFrom::Start(start)).map_err(io)?;
    reader.read_exact(&mut bytes).map_err(io)?;
    check_entries(&bytes, entries, &broken)?;
    reader.seek(SeekFrom::Start(0)).map_err(io)?;
    Ok(Directory { start, entries })
}

fn check_entries(mut bytes: &[u8], entries: u64, broken: impl Fn(&str) -> Error) -> Result<(), Error> {
    let cut = || broken("its directory is cut");
    let mut names = HashSet::new();
    for _ in 0..entries {
        let header = bytes.get(..HEADER).ok_or_else(cut)?;
        if header[..4] != *b"PK\x01\x02" {
            return Err(cut());
        }
        let [name, extra, comment] = [28, 30, 32].map(|at| usize::from(u16_at(header, at)));
        let text = bytes.get(HEADER..HEADER + name).ok_or_else(cut)?;
        let text = String::from_utf8_lossy(text);
        // On file systems that ignore case they would be one file.
        if !names.insert(text.trim_end_matches('/').to_lowercase()) {
            return Err(Error::DuplicateName { name: text.into_owned() });
        }
        bytes = bytes.get(HEADER + name + extra + comment..).ok_or_else(cut)?;
    }
    if bytes.is_empty() { Ok(()) } else { Err(broken("its directory has more entries than it says")) }
}

fn over(what: &str, actual: u64, limit: u64) -> Error {
    Error::OverLimit { what: what.to_owned(), actual, limit }
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}
