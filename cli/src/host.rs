//! A host for as long as a command needs one.

use crate::args::{Home, Taking};
use crate::failure::Failure;
use longshore_engine::{Engine, Options as EngineOptions};
use longshore_package::Policy;
use longshore_reconciler::{Options, Reconciler};
use longshore_store::{Access, Store};
// Registers the streams that are not files.
use longshore_streams as _;
use std::path::PathBuf;
use std::time::Duration;

impl Taking {
    /// Has packages taken in like this.
    pub(crate) fn apply(&self, options: &mut Options) {
        if self.strict {
            options.checks.policy = Policy::Strict;
        }
        options.checks.isolation.all |= self.isolate.iter().any(|name| name == "all");
        options.checks.isolation.packages.extend(self.isolate.iter().cloned());
    }
}

impl Home {
    pub(crate) fn database(&self) -> PathBuf {
        self.home.join("longshore.db")
    }

    /// How packages of this home are taken in.
    pub(crate) fn options(&self, directories: Vec<PathBuf>) -> Options {
        let mut options = Options::new(directories, self.home.join("cache"));
        options.wake = Some(self.home.join("wake"));
        options
    }

    /// Tells the host of this home, when there is one, that something was decided.
    pub(crate) fn wake(&self) {
        // A hint: its timer finds out as well.
        let _ = std::fs::write(self.home.join("wake").join("decided"), "");
    }

    /// The database, for a command that only looks or asks.
    pub(crate) async fn look(&self) -> anyhow::Result<Store> {
        let path = self.database();
        if !path.is_file() {
            return Err(Failure::NoHome { path: self.home.clone() }.into());
        }
        Ok(Store::open_file(&path, Access::Guest).await?)
    }
}

/// An engine with a reconciler that feeds it.
pub(crate) struct Host {
    pub(crate) engine: Engine,
    pub(crate) reconciler: Reconciler,
}

/// What kind of host.
pub(crate) struct Kind {
    pub(crate) directories: Vec<PathBuf>,
    pub(crate) slots: usize,
    pub(crate) triggers: bool,
    /// Whether reactors run.
    pub(crate) reactors: bool,
    /// Whether reactors begin anew.
    pub(crate) replay: bool,
    /// Changes how packages are taken in.
    pub(crate) tune: Box<dyn Fn(&mut Options)>,
    /// Where relative paths of event streams are looked for, after the current folder.
    pub(crate) stream_root: Option<PathBuf>,
}

impl Host {
    pub(crate) async fn open(home: &Home, kind: Kind) -> anyhow::Result<Self> {
        let store = Store::open_file(&home.database(), Access::Host).await?;
        let packages = Reconciler::packages();
        let host_name = std::env::var("HOSTNAME").unwrap_or_else(|_| "local".to_owned());
        let stream_roots = std::iter::once(PathBuf::from(".")).chain(kind.stream_root).collect();
        let options = EngineOptions {
            host_name,
            slots: kind.slots,
            triggers: kind.triggers,
            reactors: kind.reactors,
            replay: kind.replay,
            stream_roots,
            ..EngineOptions::default()
        };
        let engine = Engine::open(store, packages.clone(), options).await?;
        let mut options = home.options(kind.directories);
        std::fs::create_dir_all(home.home.join("wake"))?;
        (kind.tune)(&mut options);
        let reconciler = Reconciler::new(options, packages, engine.clone());
        Ok(Self { engine, reconciler })
    }

    /// Ends attempts, then packages, then the database.
    pub(crate) async fn close(mut self, drain: Duration) {
        self.engine.shutdown(drain).await;
        self.reconciler.close().await;
        self.engine.store().close().await;
    }
}
