//! The host's home, and the host that a command opens there.

use crate::error::CliError;
use clap::Args;
use longshore_engine::Clock;
use longshore_engine::clock::System;
use longshore_package::Policy;
use longshore_reconciler::artifact::TrustPolicyFile;
use longshore_reconciler::host::TRUST_FILE;
use longshore_reconciler::{HostOptions, Options};
use longshore_store::{Access, Store};
// Registers the streams that are not files.
use longshore_streams as _;
use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Where the host keeps its database and its artifact cache.
#[derive(Debug, Clone, Args)]
pub(crate) struct Home {
    /// Folder of the database and the artifact cache; LONGSHORE_HOME says another default
    #[arg(long, global = true, default_value_os_t = default_home())]
    pub(crate) home: PathBuf,
    /// The database, when it is not the file in that folder: sqlite:PATH or postgres://USER@HOST/DATABASE; or
    /// LONGSHORE_DATABASE says so
    #[arg(long, global = true, value_name = "URL")]
    database: Option<String>,
}

// These come from the environment by ourselves: clap would show them in usage lines as if they had been typed.

fn default_home() -> PathBuf {
    environment("LONGSHORE_HOME").map_or_else(|| PathBuf::from(".longshore"), PathBuf::from)
}

fn environment(name: &str) -> Option<OsString> {
    std::env::var_os(name).filter(|value| !value.is_empty())
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
    /// The trust policy: which signatures packages need; the home's trust.toml by default, when there is one
    #[arg(long, value_name = "FILE")]
    pub(crate) trust: Option<PathBuf>,
}

impl LoadOptions {
    pub(crate) fn apply(&self, options: &mut Options) {
        if self.strict {
            options.verify.policy = Policy::Strict;
        }
        if let Some(file) = &self.trust {
            options.verify.trust_policy = Some(Arc::new(TrustPolicyFile::required(file.clone())));
        }
        let isolation = &mut options.verify.isolation;
        isolation.all |= self.isolate.iter().any(|name| name == "all");
        isolation.packages.extend(self.isolate.iter().map(|name| name.as_str().into()));
    }
}

/// The time from the start of a host to the first folder of its home.
const FOLDER_GRACE: Duration = Duration::from_millis(500);

/// The time from the first folder of a home to its database.
const START_GRACE: Duration = Duration::from_secs(2);

impl Home {
    fn database(&self) -> Option<String> {
        let named = || Some(environment("LONGSHORE_DATABASE")?.to_string_lossy().into_owned());
        self.database.clone().or_else(named)
    }

    fn file(&self) -> PathBuf {
        self.home.join("longshore.db")
    }

    /// True when a database is named, or lies in the home.
    pub(crate) fn has_file(&self) -> bool {
        self.database().is_some() || self.file().is_file()
    }

    /// The trust policy of this home.
    pub(crate) fn trust_file(&self) -> PathBuf {
        self.home.join(TRUST_FILE)
    }

    /// Options of a host in this home.
    pub(crate) fn host_options(&self) -> HostOptions {
        let mut options = HostOptions::new(&self.home);
        if let Some(database) = self.database() {
            options.database = database;
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
        match self.database() {
            Some(url) => Ok(Store::open(&url, Access::Client).await?),
            None if !self.has_database().await => Err(CliError::NoHome { path: self.home.clone() }.into()),
            None => Ok(Store::open_file(&self.file(), Access::Client).await?),
        }
    }

    /// True when the database is there, or comes in a moment: the host that made this home is just being started.
    async fn has_database(&self) -> bool {
        let began = Instant::now();
        while !self.file().is_file() {
            let grace = if self.home.join("wake").is_dir() { START_GRACE } else { FOLDER_GRACE };
            if began.elapsed() > grace {
                return false;
            }
            tokio::time::sleep(Duration::from_millis(30)).await;
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
                match Store::open(&url, Access::Owner).await {
                    Ok(store) => store.close().await,
                    // A host that is just being started makes them.
                    Err(longshore_store::Error::SecondHost { .. }) => {}
                    Err(error) => return Err(error.into()),
                }
                Ok(Store::open(&url, Access::Client).await?)
            }
        }
    }
}

/// Milliseconds since 1970.
pub(crate) fn now_ms() -> i64 {
    System.now_ms()
}
