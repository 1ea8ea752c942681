//! File events as hints: something changed below a source.

use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::Notify;

/// Keeps watching until it is dropped.
pub(crate) struct FileEvents {
    changed: Arc<AtomicBool>,
    reliable: bool,
    _watcher: Option<RecommendedWatcher>,
}

impl FileEvents {
    /// Watches directories and wakes `wake`. Where that is impossible, the timer alone looks.
    pub(crate) fn watch(directories: &[PathBuf], wake: Arc<Notify>) -> Self {
        let changed = Arc::new(AtomicBool::new(true));
        let flag = Arc::clone(&changed);
        let made = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            // An error means that events were lost.
            if event.map_or(true, |event| event.need_rescan() || !event.kind.is_access()) {
                flag.store(true, Ordering::Release);
                wake.notify_one();
            }
        });
        let mut watcher = match made {
            Ok(watcher) => watcher,
            Err(error) => {
                tracing::warn!(%error, "no file events; the timer alone looks for changes");
                return Self { changed, reliable: false, _watcher: None };
            }
        };
        let mut reliable = true;
        for directory in directories {
            if let Err(error) = watcher.watch(directory, RecursiveMode::Recursive) {
                reliable = false;
                tracing::warn!(directory = %directory.display(), %error, "no file events here; the timer looks");
            }
        }
        Self { changed, reliable, _watcher: Some(watcher) }
    }

    /// True when something may have changed since this was asked last.
    pub(crate) fn take_changed(&self) -> bool {
        self.changed.swap(false, Ordering::AcqRel)
    }

    /// True when every source is watched.
    pub(crate) fn reliable(&self) -> bool {
        self.reliable
    }
}
