//! Statements under a limit: a server that says nothing is not waited for for ever.
//!
//! A connection whose other end is gone without a word, or that lost count of its answers, never answers, and the driver
//! waits until the system gives the connection up: a quarter of an hour, or never.

use futures_util::stream::{self, BoxStream, StreamExt};
use futures_util::{FutureExt, future::BoxFuture};
use sqlx::Error;
use std::io::ErrorKind;
use std::time::Duration;

/// The time in which a connection of the pool becomes free.
pub(crate) const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(10);

/// The longest time without a part of an answer; none for a file, which always answers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct StatementLimit(Option<Duration>);

impl StatementLimit {
    /// Longer than a connection is waited for, and than the server lets a statement wait for a lock: those tell why.
    pub(crate) const SERVER: Self = Self(Some(Duration::from_secs(12)));

    /// A file has no limit.
    pub(crate) const FILE: Self = Self(None);

    /// Waits for one answer.
    pub(crate) async fn wait<T>(self, answer: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        match self.0 {
            Some(limit) => tokio::time::timeout(limit, answer).await.unwrap_or_else(|_| Err(silent(limit))),
            None => answer.await,
        }
    }

    /// Waits for one answer, which is boxed already.
    pub(crate) fn future<'f, T: Send + 'f>(
        self,
        answer: BoxFuture<'f, Result<T, Error>>,
    ) -> BoxFuture<'f, Result<T, Error>> {
        if self.0.is_none() { answer } else { self.wait(answer).boxed() }
    }

    /// Waits for each part of an answer.
    pub(crate) fn stream<'s, T: Send + 's>(
        self,
        parts: BoxStream<'s, Result<T, Error>>,
    ) -> BoxStream<'s, Result<T, Error>> {
        let Some(limit) = self.0 else { return parts };
        let next = move |rest: Option<BoxStream<'s, Result<T, Error>>>| async move {
            let mut rest = rest?;
            match tokio::time::timeout(limit, rest.next()).await {
                Ok(part) => Some((part?, Some(rest))),
                Err(_) => Some((Err(silent(limit)), None)),
            }
        };
        stream::unfold(Some(parts), next).boxed()
    }
}

fn silent(limit: Duration) -> Error {
    let message = format!("the server said nothing for {} s", limit.as_secs());
    Error::Io(std::io::Error::new(ErrorKind::TimedOut, message))
}
