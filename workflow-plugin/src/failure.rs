//! Errors as they are sent: their texts, and those of their sources.

use crate::wire::TaskFailure;
use std::error::Error;

/// An error with the texts of its sources.
pub(crate) fn failure_of(error: &(dyn Error + 'static)) -> TaskFailure {
    let mut causes = Vec::new();
    let mut source = error.source();
    while let Some(cause) = source {
        causes.push(cause.to_string());
        source = cause.source();
    }
    TaskFailure { message: error.to_string(), causes, ..TaskFailure::default() }
}

/// An error and its sources in one line.
pub(crate) fn full_text(error: &(dyn Error + 'static)) -> String {
    let failure = failure_of(error);
    std::iter::once(failure.message).chain(failure.causes).collect::<Vec<_>>().join(": ")
}
