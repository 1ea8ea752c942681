//! Work that blocks its thread.

use crate::error::Error;
use std::sync::LazyLock;

/// Packages that are read, probed and opened at the same time: each costs processor time.
pub(crate) static PARALLEL: LazyLock<usize> =
    LazyLock::new(|| std::thread::available_parallelism().map_or(2, usize::from));

/// Runs file work on a thread that may block.
///
/// # Errors
/// That of the work; [`Error::Panicked`] when it panicked.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| Err(Error::Panicked { message: error.to_string() }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_of_the_work_is_an_error_of_its_own() {
        let error = blocking(|| -> Result<(), Error> { panic!("off by one") }).await.expect_err("panics");
        assert_eq!(error.code(), "LS0318");
        assert!(error.to_string().contains("off by one"), "{error}");
    }
}
