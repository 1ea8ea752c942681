//! The host's home, and the host that a command opens there.

use crate::error::CliError;
use clap::Args;
use longshore_engine::Clock;
use longshore_engine::clock::System;
use longshore_package::Policy;
use longshore_reconciler::{HostOptions, Options};
use longshore_store::{Access, Store};
// Registers the streams that are not files.
use longshore_streams as _;
use std::path::PathBuf;

/// Where the host keeps its database and its artifact cache.
#[derive(Debug, Clone, Args)]
pub(crate) struct Home {
    /// Folder of the database and the artifact cache
    #[arg(long, global = true, env = "LONGSHORE_HOME", default_value = ".longshore")]
    pub(crate) home: PathBuf,
    /// The database, when it is not the file in that folder: sqlite:PATH or postgres://USER@HOST/DATABASE
    #[arg(long, global = true, value_name = "URL", env = "LONGSHORE_DATABASE", hide_env_values = true)]
    database: Option<String>,
}

/// Options for checking and loading packages, of the host and of commands that plan for it.
#[derive(Debug, Clone, Args)]
pub(crate) struct LoadOptions {
    /// Refuse libraries that were built without Longshore's linker arguments
    #[arg(long)]
    pub(crate) strict: bool,
    /// Give packages a process of their own: a name, or `all`
    #[arg(long, value_name = "PACKAGE")]
    pub(crate) isolate: Vec<String>,
}

impl LoadOptions {
    pub(crate) fn apply(&self, options: &mut Options) {
        if self.strict {
            options.verify.policy = Policy::Strict;
        }
        let isolation = &mut options.verify.isolation;
        isolation.all |= self.isolate.iter().any(|name| name == "all");
        isolation.packages.extend(self.isolate.iter().map(|name| name.as_str().into()));
    }
}

/// The time from the first folder of a home to its database.
const START_GRACE: std::time::Duration = std::time::Duration::from_secs(2);

impl Home {
    fn file(&self) -> PathBuf {
        self.home.join("longshore.db")
    }

    /// Options of a host in this home.
    pub(crate) fn host_options(&self) -> HostOptions {
        let mut options = HostOptions::new(&self.home);
        if let Some(database) = &self.database {
            options.database.clone_from(database);
        }
        options
    }

    /// Options of this home's reconciler, for commands that plan for it.
    pub(crate) fn reconciler_options(&self, directories: Vec<PathBuf>) -> Options {
        Options { directories, ..self.host_options().reconciler }
    }

    /// Wakes the host of this home after an override, when there is one.
    pub(crate) fn wake(&self) {
        // A hint: its timer finds the override as well.
        let _ = std::fs::write(self.home.join("wake").join("override"), "");
    }

    /// Opens the database for a command that only reads or asks.
    pub(crate) async fn open_read_only(&self) -> anyhow::Result<Store> {
        match &self.database {
            Some(url) => Ok(Store::open(url, Access::Client).await?),
            None if !self.has_database().await => Err(CliError::NoHome { path: self.home.clone() }.into()),
            None => Ok(Store::open_file(&self.file(), Access::Client).await?),
        }
    }

    /// True when the database is there, or comes in a moment: the host that made this home is just being started.
    async fn has_database(&self) -> bool {
        let deadline = tokio::time::Instant::now() + START_GRACE;
        while !self.file().is_file() {
            if !self.home.join("wake").is_dir() || tokio::time::Instant::now() > deadline {
                return false;
            }
            tokio::time::sleep(std::time::Duration::from_millis(30)).await;
        }
        true
    }

    /// As [`Home::open_read_only`], for a command that may come before the first host: it makes the database.
    pub(crate) async fn open_or_make(&self) -> anyhow::Result<Store> {
        std::fs::create_dir_all(&self.home)?;
        let url = self.host_options().database;
        match Store::open(&url, Access::Client).await {
            Ok(store) => Ok(store),
            // No file or no tables yet. When it fails for another reason, so does this.
            Err(_) => {
                Store::open(&url, Access::Owner).await?.close().await;
                Ok(Store::open(&url, Access::Client).await?)
            }
        }
    }
}

/// Milliseconds since 1970.
pub(crate) fn now_ms() -> i64 {
    System.now_ms()
}
