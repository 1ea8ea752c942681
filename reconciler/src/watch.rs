//! File events as hints: something changed below a source.

use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use std::path::PathBuf;
use std::sync::Arc;
use tokio::sync::Notify;

/// Keeps watching until it is dropped.
pub(crate) struct FileEvents {
    _watcher: Option<RecommendedWatcher>,
}

impl FileEvents {
    /// Watches directories. Where that is impossible (some network file systems), the timer alone looks.
    pub(crate) fn watch(directories: &[PathBuf], changed: Arc<Notify>) -> Self {
        let made = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            if event.is_ok_and(|event| !event.kind.is_access()) {
                changed.notify_one();
            }
        });
        let mut watcher = match made {
            Ok(watcher) => watcher,
            Err(error) => {
                tracing::warn!(%error, "no file events; the timer alone looks for changes");
                return Self { _watcher: None };
            }
        };
        for directory in directories {
            if let Err(error) = watcher.watch(directory, RecursiveMode::Recursive) {
                tracing::warn!(directory = %directory.display(), %error, "no file events here; the timer looks");
            }
        }
        Self { _watcher: Some(watcher) }
    }
}
