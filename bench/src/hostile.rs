//! Archives of strangers that claim to hold millions of entries.

use crate::process::status;
use crate::row::{Row, median};
use longshore_package::{Archive, ArchiveLimits};
use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;
use std::time::Instant;

/// Entries that the archives claim to have.
const ENTRIES: u64 = 10_000_000;

/// Bytes of an entry of a directory, with a name of ten letters.
const ENTRY_BYTES: u64 = 46 + 10;

pub(crate) fn run(smoke: bool) -> anyhow::Result<Vec<Row>> {
    let folder = tempfile::tempdir()?;
    let entries = if smoke { ENTRIES / 100 } else { ENTRIES };
    let mut rows = Vec::new();
    for (name, zip64) in [("zip64_directory", true), ("plain_directory", false)] {
        let path = folder.path().join(name);
        write(&path, entries, zip64)?;
        rows.push(refuse(name, &path, if smoke { 3 } else { 50 })?);
    }
    Ok(rows)
}

/// The time until an archive is refused, and what its memory grows by at most.
fn refuse(name: &str, path: &Path, rounds: usize) -> anyhow::Result<Row> {
    let before = status("VmHWM");
    let mut taken = Vec::new();
    let mut code = "";
    for _ in 0..rounds {
        let began = Instant::now();
        let refused = Archive::open(path, ArchiveLimits::default()).map(drop);
        taken.push(began.elapsed().as_secs_f64() * 1000.0);
        code = refused.map_err(|error| error.code()).err().unwrap_or("accepted");
    }
    anyhow::ensure!(code.starts_with("LS01"), "{name}: {code}");
    let grown = status("VmHWM").saturating_sub(before);
    Ok(Row::new(name, "ms", median(taken)).with("peak_kb", grown).with("code", code))
}

/// An archive that is nothing but a directory of so many entries and its end. The file is sparse where nobody looks.
fn write(path: &Path, entries: u64, zip64: bool) -> anyhow::Result<()> {
    let size = entries * ENTRY_BYTES;
    let mut file = File::create(path)?;
    file.write_all(b"PK\x01\x02")?;
    file.seek(SeekFrom::Start(size))?;
    let mut end = Vec::new();
    if zip64 {
        // The record and its locator, APPNOTE 4.3.14 and 4.3.15.
        end.extend(b"PK\x06\x06");
        end.extend(44_u64.to_le_bytes());
        end.extend([45, 0, 45, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        for number in [entries, entries, size, 0] {
            end.extend(number.to_le_bytes());
        }
        end.extend(b"PK\x06\x07\0\0\0\0");
        end.extend(size.to_le_bytes());
        end.extend(1_u32.to_le_bytes());
    }
    let (count, length) = if zip64 { (u16::MAX, u32::MAX) } else { (u16::MAX - 1, u32::try_from(size)?) };
    end.extend(b"PK\x05\x06\0\0\0\0");
    end.extend(count.to_le_bytes());
    end.extend(count.to_le_bytes());
    end.extend(length.to_le_bytes());
    end.extend(if zip64 { u32::MAX } else { 0 }.to_le_bytes());
    end.extend(0_u16.to_le_bytes());
    file.write_all(&end)?;
    Ok(())
}
