//! [`Engine`]: opens the writer, the scheduler and the reactors; owns their tasks.

use crate::error::Error;
use crate::handle::{EngineHandle, MAX_WAITING_KIB};
use crate::options::Options;
use crate::port::packages::Packages;
use crate::reactors::{self, Reactors};
use crate::requests;
use crate::retention;
use crate::sync::lock;
use crate::triggers::scheduler;
use crate::turns::Turns;
use crate::writer::Writer;
use crate::writer::command::{Command, Inbox};
use longshore_store::{HostId, Store};
use std::ops::Deref;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::{Semaphore, broadcast};
use tokio::task::JoinHandle;

/// Progress events kept for a slow reader; one that falls further behind misses the oldest.
const PROGRESS_BACKLOG: usize = 8192;

/// A running engine: its [`EngineHandle`], its reactors, and its end. Dropped without [`Engine::shutdown`] it ends like
/// an engine whose process died: nothing is claimed or fired any more, and the next engine recovers what it had claimed.
pub struct Engine {
    handle: EngineHandle,
    reactors: Arc<Reactors>,
    tasks: Mutex<Vec<JoinHandle<()>>>,
}

impl Deref for Engine {
    type Target = EngineHandle;

    fn deref(&self) -> &EngineHandle {
        &self.handle
    }
}

impl Engine {
    /// Starts an engine on a database: recovers what dead hosts left, then goes on with every open run.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn open(store: Store, packages: Arc<dyn Packages>, options: Options) -> Result<Self, Error> {
        let host = HostId::new();
        let (inbox, commands) = Inbox::new();
        let (progress, _) = broadcast::channel(PROGRESS_BACKLOG);
        packages.attach(Arc::new(inbox.clone()));
        let writer =
            Writer::open(store.clone(), Arc::clone(&packages), &options, host, progress.clone()).await?;
        let clock = Arc::clone(&options.clock);
        let room = Arc::new(Semaphore::new(MAX_WAITING_KIB));
        let handle =
            EngineHandle { store, packages, inbox, progress, host, clock, room, turns: Turns::default() };
        let (reactors, firings) = Reactors::new(options.stream_roots, options.replay, options.graph_deadline);
        let mut tasks = vec![tokio::spawn(writer.run(commands))];
        if let Some(keep) = options.retention {
            tasks.push(tokio::spawn(retention::run(handle.store.clone(), keep, Arc::clone(&handle.clock))));
        }
        if options.triggers {
            tasks.push(tokio::spawn(scheduler::run(handle.clone())));
            tasks.push(tokio::spawn(requests::run(handle.clone())));
        }
        if options.reactors {
            tasks.push(tokio::spawn(reactors::run(handle.clone(), Arc::clone(&reactors), firings)));
        }
        Ok(Self { handle, reactors, tasks: Mutex::new(tasks) })
    }

    /// A handle for whoever starts runs and waits for them.
    pub fn handle(&self) -> &EngineHandle {
        &self.handle
    }

    /// The reactors of this host.
    pub fn reactors(&self) -> &Arc<Reactors> {
        &self.reactors
    }

    /// Stops: no attempt is claimed any more. Running attempts get `grace` to end, and are then cancelled and put
    /// back, to be executed at the next start.
    pub async fn shutdown(&self, grace: Duration) {
        self.reactors.shutdown(&self.handle).await;
        // An engine that has stopped has nothing to end.
        let _ = self.inbox.ask(|reply| Command::Shutdown { grace, reply }).await;
        let tasks = std::mem::take(&mut *lock(&self.tasks));
        for task in tasks {
            task.abort();
            let _ = task.await;
        }
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        lock(&self.tasks).iter().for_each(JoinHandle::abort);
    }
}
