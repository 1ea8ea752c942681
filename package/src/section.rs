//! Finds the `.longshore` section of a shared library.

use crate::error::Error;
use object::{Object, ObjectSection};

/// Largest section that is read: a thousand tasks with long docs stay under one megabyte.
const MAX_SECTION: u64 = 16 << 20;

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
