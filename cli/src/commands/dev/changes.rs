//! Changes of the sources of a crate.

use anyhow::Context;
use notify::{Event, RecommendedWatcher, RecursiveMode, Watcher};
use std::ffi::OsStr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;

/// The time in which an editor writes what belongs together.
const SETTLE: Duration = Duration::from_millis(50);

/// Watches a crate until it is dropped.
pub(super) struct Changes {
    changed: Arc<Notify>,
    _watcher: RecommendedWatcher,
}

impl Changes {
    /// Watches the sources of the crate in a folder, its manifest and its build script.
    ///
    /// # Errors
    /// Those of the system.
    pub(super) fn watch(folder: &Path) -> anyhow::Result<Self> {
        let folder = folder.canonicalize().with_context(|| format!("cannot look at {}", folder.display()))?;
        let changed = Arc::new(Notify::new());
        let (tell, sources) = (Arc::clone(&changed), folder.join("src"));
        let mut watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
            // An error means that events were lost.
            if event.map_or(true, |event| event.need_rescan() || is_change(&event, &sources)) {
                tell.notify_one();
            }
        })?;
        watcher.watch(&folder, RecursiveMode::NonRecursive)?;
        if folder.join("src").is_dir() {
            watcher.watch(&folder.join("src"), RecursiveMode::Recursive)?;
        }
        Ok(Self { changed, _watcher: watcher })
    }

    /// Waits for a change since it was asked last.
    pub(super) async fn next(&mut self) {
        self.changed.notified().await;
        tokio::time::sleep(SETTLE).await;
    }
}

/// True of a change that makes another package.
fn is_change(event: &Event, sources: &Path) -> bool {
    let is_own = |path: &Path| {
        let name = path.file_name().and_then(OsStr::to_str).unwrap_or_default();
        path.starts_with(sources) || ["Cargo.toml", "build.rs"].contains(&name)
    };
    !event.kind.is_access() && event.paths.iter().any(|path| is_own(path))
}
