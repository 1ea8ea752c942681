//! Messages about work that is tried again.

use crate::error::Error;

/// Tells what did not work and is tried again.
pub(super) fn log(what: &str, result: Result<(), Error>) {
    if let Err(error) = result {
        tracing::warn!(error = &error as &dyn std::error::Error, code = error.code(), "{what}");
    }
}
