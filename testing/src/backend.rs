//! A database of a test's own.

use crate::postgres::Postgres;
use longshore_store::{Access, Error, Store};
use std::path::Path;
use std::time::{Duration, Instant};

/// The time the host before may take to let go of the database: another test of the process may be starting a child
/// that holds a copy of its lock, and a server notices the end of a session late.
pub(crate) const LOCK_TIMEOUT: Duration = Duration::from_secs(20);

/// A database of a test's own, which may be opened several times, and a folder.
#[derive(Debug)]
pub struct Backend {
    folder: tempfile::TempDir,
    url: String,
}

impl Backend {
    /// An SQLite file.
    pub fn sqlite() -> Self {
        let folder = tempfile::tempdir().expect("folder");
        let url = format!("sqlite:{}", folder.path().join("test.db").display());
        Self { folder, url }
    }

    /// A new database of the server of this test program.
    pub fn postgres(test: &str) -> Self {
        Self { folder: tempfile::tempdir().expect("folder"), url: Postgres::shared().database(test) }
    }

    /// A folder that goes with the database.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The URL of the database.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Opens the database as its host, once the host before has let go of it.
    pub async fn open(&self) -> Store {
        let deadline = Instant::now() + LOCK_TIMEOUT;
        loop {
            match Store::open(&self.url, Access::Owner).await {
                Err(Error::SecondHost { .. }) if Instant::now() < deadline => {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
                opened => return opened.expect("opens"),
            }
        }
    }
}
