//! Finds the `.longshore` section of a shared library.

use crate::error::Error;
use object::elf::{DF_1_NODELETE, DT_FLAGS_1};
use object::read::elf::{Dyn, FileHeader, ProgramHeader};
use object::{Object, ObjectSection};

/// Largest section that is read: a thousand tasks with long docs stay under one megabyte.
pub(crate) const MAX_SECTION: u64 = 16 << 20;

/// The bytes of the library's `.longshore` section.
///
/// # Errors
/// [`Error::NotALibrary`], [`Error::NoRecord`], or [`Error::OverLimit`].
pub fn read_section(library: &[u8]) -> Result<&[u8], Error> {
    let not_a_library = |error: object::Error| Error::NotALibrary { message: error.to_string() };
    let file = object::File::parse(library).map_err(not_a_library)?;
    let section = file.section_by_name(".longshore").ok_or(Error::NoRecord)?;
    if section.size() > MAX_SECTION {
        return Err(Error::OverLimit {
            what: "the static record".into(),
            actual: section.size(),
            limit: MAX_SECTION,
        });
    }
    section.data().map_err(not_a_library)
}

/// True of an ELF library that says it is never to be unmapped (`-z nodelete`), however often it is closed.
pub fn is_never_unmapped(library: &[u8]) -> bool {
    let read = || -> object::Result<bool> {
        let header = object::elf::FileHeader64::<object::Endianness>::parse(library)?;
        let endian = header.endian()?;
        for segment in header.program_headers(endian, library)? {
            let entries = segment.dynamic(endian, library)?.unwrap_or_default();
            let says = |entry: &object::elf::Dyn64<object::Endianness>| {
                entry.d_tag(endian) == DT_FLAGS_1 && entry.d_val(endian) & DF_1_NODELETE.0 != 0
            };
            if entries.iter().any(says) {
                return Ok(true);
            }
        }
        Ok(false)
    };
    read().unwrap_or(false)
}
