//! Callbacks of a package into the host, and events of its process.

use crate::artifact::assets::Assets;
use crate::artifact::cache::VerifiedArtifact;
use crate::observer::{Observer, PackageLine};
use crate::runtime::options::RuntimeOptions;
use crate::runtime::package_log::{AttemptName, LogRate, emit};
#[cfg(unix)]
use crate::runtime::process::spec::{Crash, ProcessEvents};
use longshore_engine::{AttemptFailure, AttemptOutcome, AttemptReports, LeaseId, read_reply};
use longshore_package::PackageName;
use longshore_workflow_plugin::interface::LongshoreHost;
use longshore_workflow_plugin::private::fidius::PluginError;
use serde_bytes::ByteBuf;
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use tokio::sync::Notify;

/// Crashes that wait to be recorded; later ones are in the log alone.
const CRASHES: usize = 16;

/// The end of a process of an isolated package.
#[derive(Debug, Clone)]
pub(crate) struct CrashNote {
    pub(crate) exit: String,
    pub(crate) report: String,
    /// Its next process will not start either: its library in the artifact cache was changed.
    pub(crate) cache_changed: bool,
}

/// State that the package's callbacks share with its generation. The table that a library is bound to lives as long
/// as the process, so it holds this weakly.
pub(crate) struct Shared {
    pub(crate) package: PackageName,
    assets: Option<Assets>,
    pub(crate) engine: OnceLock<Arc<dyn AttemptReports>>,
    names: Mutex<HashMap<u64, AttemptName>>,
    rate: Mutex<LogRate>,
    crashes: Mutex<VecDeque<CrashNote>>,
    observer: Arc<dyn Observer>,
    /// Notified when there is something to record.
    wake: Arc<Notify>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    pub(crate) fn new(artifact: &VerifiedArtifact, options: &RuntimeOptions) -> Self {
        Self {
            package: artifact.manifest().package.name.clone(),
            assets: artifact.assets().cloned(),
            engine: OnceLock::new(),
            names: Mutex::default(),
            rate: Mutex::default(),
            crashes: Mutex::default(),
            observer: Arc::clone(&options.observer),
            wake: Arc::clone(&options.wake),
        }
    }

    /// Names an attempt for log lines, until it ends.
    pub(crate) fn begin_attempt(&self, lease: u64, named: AttemptName) {
        locked(&self.names).insert(lease, named);
    }

    pub(crate) fn finished(&self, lease: u64, outcome: AttemptOutcome) {
        locked(&self.names).remove(&lease);
        if let Some(engine) = self.engine.get() {
            engine.finished(LeaseId(lease), outcome);
        }
    }

    /// Reports every attempt as lost. Returns how many there were.
    pub(crate) fn fail_in_flight(&self) -> usize {
        let leases: Vec<u64> = locked(&self.names).keys().copied().collect();
        for lease in &leases {
            let reason = "its generation was closed over it".to_owned();
            self.finished(*lease, AttemptOutcome::Lost { reason, alone: false });
        }
        leases.len()
    }

    /// Crashes since the last call.
    pub(crate) fn take_crashes(&self) -> Vec<CrashNote> {
        locked(&self.crashes).drain(..).collect()
    }

    fn name_of(&self, lease: u64) -> Option<AttemptName> {
        locked(&self.names).get(&lease).cloned()
    }
}

/// Reaches the generation for as long as it is there.
pub(crate) struct Callbacks(pub(crate) Weak<Shared>);

impl Callbacks {
    fn engine(&self) -> Result<Arc<dyn AttemptReports>, PluginError> {
        let shared = self.0.upgrade();
        let engine = shared.and_then(|shared| shared.engine.get().cloned());
        engine.ok_or_else(|| PluginError::new("STOPPED", "this generation is closed"))
    }
}

impl LongshoreHost for Callbacks {
    fn finished(&self, lease: u64, reply: ByteBuf) {
        let Some(shared) = self.0.upgrade() else { return };
        let outcome = match read_reply(&reply) {
            Ok(Some(outcome)) => outcome,
            Ok(None) => return,
            Err(error) => AttemptOutcome::Failed(AttemptFailure {
                message: format!("the package's outcome does not decode: {error}"),
                ..AttemptFailure::default()
            }),
        };
        shared.finished(lease, outcome);
    }

    fn log(&self, record: ByteBuf) {
        let Some(shared) = self.0.upgrade() else { return };
        if locked(&shared.rate).admits(shared.package.as_str()) {
            emit(shared.package.as_str(), &record, &*shared.observer, |lease| shared.name_of(lease));
        }
    }

    fn release_slot(&self, lease: u64) -> Result<(), PluginError> {
        self.engine()?.release_slot(LeaseId(lease));
        Ok(())
    }

    fn reclaim_slot(&self, lease: u64) -> Result<bool, PluginError> {
        self.engine()?.reclaim_slot(LeaseId(lease));
        Ok(false)
    }

    fn asset(&self, name: String) -> Result<ByteBuf, PluginError> {
        let shared = self.0.upgrade();
        let assets = shared.as_ref().and_then(|shared| shared.assets.as_ref());
        read_asset(assets, &name)
    }
}

/// Reads an asset for a package.
pub(crate) fn read_asset(assets: Option<&Assets>, name: &str) -> Result<ByteBuf, PluginError> {
    let assets = assets.ok_or_else(|| PluginError::new("ASSET", "a bare library has no assets"))?;
    let read = assets.read(name).map_err(|problem| PluginError::new("ASSET", problem.to_string()))?;
    Ok(ByteBuf::from(read))
}

#[cfg(unix)]
impl ProcessEvents for Callbacks {
    fn named(&self, lease: u64) -> String {
        let named = self.0.upgrade().and_then(|shared| shared.name_of(lease));
        named.map_or_else(|| "an attempt".to_owned(), |n| format!("task `{}` of run {}", n.task, n.run))
    }

    fn lost(&self, lease: u64, exit: &str, alone: bool) {
        let Some(shared) = self.0.upgrade() else { return };
        shared.finished(lease, AttemptOutcome::Lost { reason: format!("PackageCrashed: {exit}"), alone });
    }

    fn crashed(&self, crash: Crash) {
        let Some(shared) = self.0.upgrade() else { return };
        let (package, exit, attempts) = (shared.package.as_str(), &crash.exit, crash.attempts);
        tracing::error!(
            package,
            code = "LS0313",
            attempts,
            "the process of a package ended: {exit}\n{}",
            crash.report
        );
        let mut crashes = locked(&shared.crashes);
        if crashes.len() < CRASHES {
            crashes.push_back(CrashNote {
                exit: crash.exit,
                report: crash.report,
                cache_changed: crash.cache_changed,
            });
        }
        drop(crashes);
        shared.wake.notify_one();
    }

    fn printed(&self, line: &str, leases: &[u64]) {
        let Some(shared) = self.0.upgrade() else { return };
        if !locked(&shared.rate).admits(shared.package.as_str()) {
            return;
        }
        // A printed line carries no attempt: with one attempt in the process it is that one's, with several some are named.
        let runs: Vec<String> = leases.iter().filter_map(|l| shared.name_of(*l)).map(|n| n.run).collect();
        let runs = runs.join(",");
        tracing::info!(target: "longshore::package::printed", package = shared.package.as_str(), runs, "{line}");
        shared.observer.line(&PackageLine {
            package: shared.package.as_str(),
            run: &runs,
            task: "",
            attempt: 0,
            level: 3,
            module: "",
            message: line,
        });
    }
}
