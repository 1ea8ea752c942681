//! The host as a package calls it, and as the process of an isolated one is watched.

use crate::generation::Hosting;
use crate::logs::{self, Named};
use crate::observer::{Observer, PackageLine};
use longshore_engine::embedded::read_reply;
use longshore_engine::{AttemptFailure, AttemptOutcome, Outcomes};
use longshore_workflow_plugin::interface::LongshoreHost;
use longshore_workflow_plugin::private::fidius::PluginError;
use serde_bytes::ByteBuf;
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use tokio::sync::Notify;

/// Crashes that wait to be recorded; what comes after is in the log alone.
const CRASHES: usize = 16;

/// How the process of an isolated package ended.
#[derive(Debug, Clone)]
pub(crate) struct CrashNote {
    pub(crate) how: String,
    pub(crate) report: String,
    /// Its next process will not start either: the private copy is not what was checked.
    pub(crate) copy_changed: bool,
}

/// What the package's callbacks reach. The table that a library is bound to lives as long as the process, so it
/// holds this weakly.
pub(crate) struct Shared {
    pub(crate) package: String,
    pub(crate) outcomes: OnceLock<Outcomes>,
    names: Mutex<HashMap<u64, Named>>,
    volume: Mutex<logs::Volume>,
    crashes: Mutex<VecDeque<CrashNote>>,
    observer: Arc<dyn Observer>,
    /// Woken when something is to be recorded.
    news: Arc<Notify>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    pub(crate) fn new(package: String, hosting: &Hosting) -> Self {
        Self {
            package,
            outcomes: OnceLock::new(),
            names: Mutex::default(),
            volume: Mutex::default(),
            crashes: Mutex::default(),
            observer: Arc::clone(&hosting.observer),
            news: Arc::clone(&hosting.news),
        }
    }

    /// Names an attempt for log lines, until it ends.
    pub(crate) fn begins(&self, lease: u64, named: Named) {
        locked(&self.names).insert(lease, named);
    }

    pub(crate) fn finished(&self, lease: u64, outcome: AttemptOutcome) {
        locked(&self.names).remove(&lease);
        if let Some(outcomes) = self.outcomes.get() {
            outcomes.finished(lease, outcome);
        }
    }

    /// Reports every attempt as lost. Returns how many there were.
    pub(crate) fn abandon(&self) -> usize {
        let leases: Vec<u64> = locked(&self.names).keys().copied().collect();
        for lease in &leases {
            self.finished(*lease, AttemptOutcome::Lost("its generation was closed over it".to_owned()));
        }
        leases.len()
    }

    /// Crashes since this was asked last.
    pub(crate) fn take_crashes(&self) -> Vec<CrashNote> {
        locked(&self.crashes).drain(..).collect()
    }

    fn name_of(&self, lease: u64) -> Option<Named> {
        locked(&self.names).get(&lease).cloned()
    }
}

/// Reaches the generation for as long as it is there.
pub(crate) struct Callbacks(pub(crate) Weak<Shared>);

impl Callbacks {
    fn outcomes(&self) -> Result<Outcomes, PluginError> {
        let shared = self.0.upgrade();
        let outcomes = shared.and_then(|shared| shared.outcomes.get().cloned());
        outcomes.ok_or_else(|| PluginError::new("STOPPED", "the host has let go of this generation"))
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
        if locked(&shared.volume).admits(&shared.package) {
            logs::emit(&shared.package, &record, &*shared.observer, |lease| shared.name_of(lease));
        }
    }

    fn release_slot(&self, lease: u64) -> Result<(), PluginError> {
        self.outcomes()?.release_slot(lease);
        Ok(())
    }

    fn reclaim_slot(&self, lease: u64) -> Result<bool, PluginError> {
        self.outcomes()?.reclaim_slot(lease);
        Ok(false)
    }
}

#[cfg(unix)]
impl crate::isolate::Watcher for Callbacks {
    fn named(&self, lease: u64) -> String {
        let named = self.0.upgrade().and_then(|shared| shared.name_of(lease));
        named.map_or_else(|| "an attempt".to_owned(), |n| format!("task `{}` of run {}", n.task, n.run))
    }

    fn lost(&self, lease: u64, how: &str) {
        let Some(shared) = self.0.upgrade() else { return };
        shared.finished(lease, AttemptOutcome::Lost(format!("PackageCrashed: {how}")));
    }

    fn crashed(&self, crash: crate::isolate::Crash) {
        let Some(shared) = self.0.upgrade() else { return };
        let (package, how, attempts) = (&shared.package, &crash.how, crash.attempts);
        tracing::error!(
            package,
            code = "LS0313",
            attempts,
            "the process of a package ended: {how}\n{}",
            crash.report
        );
        let mut crashes = locked(&shared.crashes);
        if crashes.len() < CRASHES {
            crashes.push_back(CrashNote {
                how: crash.how,
                report: crash.report,
                copy_changed: crash.copy_changed,
            });
        }
        drop(crashes);
        shared.news.notify_one();
    }

    fn said(&self, line: &str, leases: &[u64]) {
        let Some(shared) = self.0.upgrade() else { return };
        if !locked(&shared.volume).admits(&shared.package) {
            return;
        }
        // A line names nobody: with one attempt in the process it is that one's, with several some are named.
        let runs: Vec<String> = leases.iter().filter_map(|l| shared.name_of(*l)).map(|n| n.run).collect();
        let runs = runs.join(",");
        tracing::info!(target: "longshore::package", package = shared.package, runs, "{line}");
        shared.observer.line(&PackageLine {
            package: &shared.package,
            run: &runs,
            task: "",
            attempt: 0,
            level: 3,
            module: "",
            message: line,
        });
    }
}
