//! [`Shell`]: one loaded instance of a package.

use crate::attempts::Attempts;
use crate::index::Index;
use crate::interface::LongshoreHost;
use crate::invoke::{report_overdue, run_blocking};
use crate::log_channel::LogChannel;
use crate::panics;
use crate::watchdog::Watchdog;
use crate::wire::{PackageMeta, ShellConfig, TaskFailure};
use longshore_workflow::private::{set_assets, set_blocking};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::runtime::{Handle, Runtime};

/// Most threads a package's runtime gets, whatever it is configured with.
const MAX_WORKERS: usize = 64;

/// One instance of a package: the index of its entries, and the runtime its attempts run on.
///
/// The runtime starts with the first call that needs one and ends with the instance.
pub struct Shell {
    pub(crate) index: &'static Index,
    pub(crate) package: PackageMeta,
    config: ShellConfig,
    pub(crate) host: Arc<dyn LongshoreHost>,
    pub(crate) attempts: Arc<Attempts>,
    pub(crate) watchdog: Arc<Watchdog>,
    runtime: Mutex<Option<Runtime>>,
    handle: std::sync::OnceLock<Handle>,
}

impl Shell {
    /// The instance of a program that runs its own entries: log lines stay where they are.
    pub fn embedded(host: Arc<dyn LongshoreHost>, package: PackageMeta, config: ShellConfig) -> Self {
        panics::install_hook();
        set_blocking(run_blocking);
        let attempts: Arc<Attempts> = Arc::default();
        let reporter = (Arc::clone(&attempts), Arc::clone(&host));
        let watchdog = Watchdog::new(move |overdue| report_overdue(&reporter.0, &*reporter.1, overdue));
        Self {
            index: Index::of_inventory(),
            package,
            config,
            host,
            attempts,
            watchdog: Arc::new(watchdog),
            runtime: Mutex::new(None),
            handle: std::sync::OnceLock::new(),
        }
    }

    /// The instance of a loaded library: its log lines go to the host.
    pub(crate) fn packaged(host: Arc<dyn LongshoreHost>, package: PackageMeta, config: ShellConfig) -> Self {
        LogChannel::install(Arc::clone(&host), config.log_level);
        let assets = Arc::clone(&host);
        set_assets(Box::new(move |name| match assets.asset(name.to_owned()) {
            Ok(bytes) => Ok(bytes.into_vec()),
            Err(error) => Err(error.message),
        }));
        Self::embedded(host, package, config)
    }

    pub(crate) fn runtime(&self) -> Result<&Handle, TaskFailure> {
        if let Some(handle) = self.handle.get() {
            return Ok(handle);
        }
        let mut runtime = self.runtime.lock().unwrap_or_else(PoisonError::into_inner);
        if runtime.is_none() {
            let workers = (self.config.workers as usize).clamp(1, MAX_WORKERS);
            let mut builder = tokio::runtime::Builder::new_multi_thread();
            builder.worker_threads(workers).thread_name(format!("pkg-{}", self.package.name)).enable_all();
            let built = builder.build().map_err(|error| TaskFailure {
                message: format!("the package's runtime did not start: {error}"),
                ..TaskFailure::default()
            })?;
            *runtime = Some(built);
        }
        match runtime.as_ref() {
            Some(runtime) => Ok(self.handle.get_or_init(|| runtime.handle().clone())),
            None => Err(TaskFailure {
                message: "the package's runtime has ended".into(),
                ..TaskFailure::default()
            }),
        }
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        self.watchdog.stop();
        let runtime = self.runtime.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        let Some(runtime) = runtime else { return };
        let limit = Duration::from_millis(self.config.shutdown_ms);
        if Handle::try_current().is_err() {
            runtime.shutdown_timeout(limit);
        } else {
            // An embedded shell may be dropped by an async task, where tokio does not let a runtime end.
            let ended = std::thread::spawn(move || runtime.shutdown_timeout(limit)).join();
            debug_assert!(ended.is_ok(), "ending a runtime does not panic");
        }
    }
}
