//! Options for opening packages.

use crate::artifact::policy::IsolationPolicy;
use crate::observer::{NoObserver, Observer};
use crate::runtime::linker::Linker;
use std::sync::Arc;
use tokio::sync::Notify;

/// Options for opening packages.
#[derive(Debug, Clone)]
pub struct RuntimeOptions {
    /// Which packages run in a process of their own.
    pub isolation: IsolationPolicy,
    /// The most verbose log level packages send: 0 none, 1 error to 5 trace.
    pub log_level: u8,
    /// Gets the log lines of packages.
    pub observer: Arc<dyn Observer>,
    /// Notified when there is something to record.
    pub wake: Arc<Notify>,
    /// Shared by all that open libraries in this process.
    pub linker: Arc<Linker>,
}

impl RuntimeOptions {
    /// Options without an observer and without log lines.
    pub fn quiet(isolation: IsolationPolicy) -> Self {
        Self {
            isolation,
            log_level: 0,
            observer: Arc::new(NoObserver),
            wake: Arc::default(),
            linker: Arc::default(),
        }
    }
}
