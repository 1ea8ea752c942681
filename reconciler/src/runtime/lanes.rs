//! Lanes: the threads of a generation that may call its package.
//!
//! The package is opened, called and closed on lanes only, so that thread-local destructors of a library run before
//! it is unmapped.

use crate::error::Error;
use crate::runtime::graph_calls::Graphs;
use crate::runtime::instance::{Instance, Mapping};
use longshore_engine::{GraphJob, GraphRunner};
use longshore_package::LiveEntries;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, Sender};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::oneshot;

/// The time the lanes get to end when a generation is closed. One that is stuck in the package keeps its thread
/// and the library for the rest of the process.
const LANE_EXIT_TIMEOUT: Duration = Duration::from_secs(15);

/// Work for a lane.
pub(crate) type Job = Box<dyn FnOnce(&dyn Instance) + Send>;

/// Opens the package, on its first lane.
pub(crate) type Open = Box<dyn FnOnce(&OnceLock<Mapping>) -> Result<Box<dyn Instance>, Error> + Send>;

/// The progress of opening a package.
pub(crate) struct Opened {
    /// Its library is mapped, or did not open.
    pub(crate) mapped: oneshot::Receiver<()>,
    /// What it declares.
    pub(crate) declared: oneshot::Receiver<Result<LiveEntries, Error>>,
    /// True once the library is mapped or did not open, however long it took.
    pub(crate) has_come_back: Arc<AtomicBool>,
}

pub(crate) struct Lanes {
    pub(crate) calls: Sender<Job>,
    /// Polls of triggers, which may take their time.
    pub(crate) polls: Sender<Job>,
    /// Graphs and accumulators, which reactors call.
    graphs: Sender<Job>,
    thread: JoinHandle<()>,
    mapping: Arc<OnceLock<Mapping>>,
    name: String,
}

/// The work of each lane, as its thread gets it.
struct Jobs {
    calls: Receiver<Job>,
    polls: Receiver<Job>,
    graphs: Receiver<Job>,
}

/// The lane for graphs, for as long as it is open.
pub(crate) struct GraphLane(pub(crate) Arc<Mutex<Option<Lanes>>>);

impl GraphRunner for GraphLane {
    fn run(&self, job: GraphJob) -> bool {
        let lanes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let job: Job = Box::new(move |package| job(&Graphs(package)));
        lanes.as_ref().is_some_and(|lanes| lanes.graphs.send(job).is_ok())
    }

    fn is_shared(&self) -> bool {
        true
    }
}

impl Lanes {
    /// Starts the lane that opens the package, and the lanes for polls and graphs once it is open.
    ///
    /// # Errors
    /// [`Error::NoThread`].
    pub(crate) fn start(name: &str, open: Open) -> Result<(Self, Opened), Error> {
        let (calls, call_jobs) = mpsc::channel();
        let (polls, poll_jobs) = mpsc::channel();
        let (graphs, graph_jobs) = mpsc::channel();
        let jobs = Jobs { calls: call_jobs, polls: poll_jobs, graphs: graph_jobs };
        let (opened, declared) = oneshot::channel();
        let (is_mapped, mapped_signal) = oneshot::channel();
        let has_come_back: Arc<AtomicBool> = Arc::default();
        let came_back = Arc::clone(&has_come_back);
        let mapping: Arc<OnceLock<Mapping>> = Arc::default();
        let name = unique_name(name);
        let (mapped, named) = (Arc::clone(&mapping), name.clone());
        let run = move || {
            let library = open(&mapped);
            came_back.store(true, Ordering::Release);
            // Whoever asked may have given up.
            let _ = is_mapped.send(());
            match library {
                Ok(package) => serve(&*package, jobs, &named, opened),
                Err(error) => drop(opened.send(Err(error))),
            }
        };
        let thread = std::thread::Builder::new().name(format!("lane-{name}")).spawn(run);
        let thread = thread.map_err(|source| Error::NoThread { source })?;
        let opened = Opened { mapped: mapped_signal, declared, has_come_back };
        Ok((Self { calls, polls, graphs, thread, mapping, name }, opened))
    }

    /// The names of its threads.
    pub(crate) fn thread_names(&self) -> [String; 3] {
        ["lane", "poll", "graph"].map(|kind| format!("{kind}-{}", self.name))
    }

    /// Ends the lanes, and with them the instance; then unmaps its library unless `must_stay` says otherwise. False when a
    /// lane is stuck in the package.
    pub(crate) async fn close(self, must_stay: impl FnOnce() -> bool + Send + 'static) -> bool {
        drop(self.calls);
        drop(self.polls);
        drop(self.graphs);
        let (thread, mapping) = (self.thread, self.mapping);
        let close = move || {
            // The lane drops the instance; a package whose destructor panics has lost its own thread.
            let _ = thread.join();
            if mapping.get().is_some() && must_stay() {
                // For the rest of the process: what runs in it would fault.
                std::mem::forget(mapping);
            }
        };
        let closed = tokio::time::timeout(LANE_EXIT_TIMEOUT, tokio::task::spawn_blocking(close)).await;
        if closed.is_err() {
            tracing::error!(
                limit_s = LANE_EXIT_TIMEOUT.as_secs(),
                "a lane does not end: its thread and its library stay"
            );
        }
        closed.is_ok()
    }
}

/// A name that no other opening of this process has, within what Linux keeps of the name of a thread.
fn unique_name(digest: &str) -> String {
    static OPENINGS: AtomicU32 = AtomicU32::new(0);
    format!("{:x}-{digest}", OPENINGS.fetch_add(1, Ordering::Relaxed))
}

/// Answers what the package declares, then does the jobs of all lanes until they are closed.
fn serve(
    package: &dyn Instance,
    jobs: Jobs,
    name: &str,
    opened: oneshot::Sender<Result<LiveEntries, Error>>,
) {
    let declared = package.metadata();
    let Some((polled, graphed)) = declared.as_ref().ok().map(needs) else {
        // Whoever asked may have gone.
        return drop(opened.send(declared));
    };
    std::thread::scope(|scope| {
        let lane = |kind: &str, jobs: Receiver<Job>| {
            let thread = std::thread::Builder::new().name(format!("{kind}-{name}"));
            thread.spawn_scoped(scope, move || do_all(package, &jobs)).map(drop)
        };
        let polls = if polled { lane("poll", jobs.polls) } else { Ok(()) };
        let graphs = if graphed { lane("graph", jobs.graphs) } else { Ok(()) };
        // Without its lanes a package would seem to work. When this one ends, its caller closes the others.
        let complete = polls.and(graphs).map_err(|source| Error::NoThread { source });
        if opened.send(complete.and(declared)).is_ok() {
            do_all(package, &jobs.calls);
        }
    });
}

/// Does jobs until their lane is closed. One that panics takes neither the lane nor the host with it.
fn do_all(package: &dyn Instance, jobs: &Receiver<Job>) {
    for job in jobs {
        let done = std::panic::catch_unwind(AssertUnwindSafe(|| job(package)));
        if done.is_err() {
            tracing::error!("work for a package panicked: this is a bug in Longshore");
        }
    }
}

/// Which lanes a package needs beside the first: for polls, for graphs.
fn needs(live: &LiveEntries) -> (bool, bool) {
    let polled = live.triggers.triggers.iter().any(|t| t.poll_interval_ms > 0);
    let graphed = !live.reactors.reactors.is_empty() || !live.bound_graphs.graphs.is_empty();
    (polled, graphed)
}
