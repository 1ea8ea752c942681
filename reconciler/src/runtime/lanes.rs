//! Lanes: the threads of a generation that may call its package.
//!
//! The package is opened, called and closed on lanes only, so that thread-local destructors of a library run before
//! it is unmapped.

use crate::error::Error;
use crate::runtime::graph_calls::Graphs;
use crate::runtime::instance::{Instance, Mapping};
use longshore_engine::{GraphJob, GraphRunner};
use longshore_package::LiveEntries;
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
pub(crate) type Open = Box<dyn FnOnce() -> Result<Box<dyn Instance>, Error> + Send>;

pub(crate) struct Lanes {
    pub(crate) calls: Sender<Job>,
    /// Polls of triggers, which may take their time.
    pub(crate) polls: Sender<Job>,
    /// Graphs and accumulators, which reactors call.
    graphs: Sender<Job>,
    thread: JoinHandle<()>,
    mapping: Arc<OnceLock<Mapping>>,
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
    pub(crate) fn start(name: &str, open: Open) -> (Self, oneshot::Receiver<Result<LiveEntries, Error>>) {
        let (calls, call_jobs) = mpsc::channel();
        let (polls, poll_jobs) = mpsc::channel();
        let (graphs, graph_jobs) = mpsc::channel();
        let jobs = Jobs { calls: call_jobs, polls: poll_jobs, graphs: graph_jobs };
        let (opened, answer) = oneshot::channel();
        let mapping: Arc<OnceLock<Mapping>> = Arc::default();
        let (mapped, short) = (Arc::clone(&mapping), name.to_owned());
        let run = move || match open() {
            Ok(package) => {
                if let Some(mapping) = package.mapping() {
                    mapped.get_or_init(|| mapping);
                }
                serve(&*package, jobs, &short, opened);
            }
            Err(error) => drop(opened.send(Err(error))),
        };
        let thread = std::thread::Builder::new().name(format!("lane-{name}")).spawn(run);
        // A host that cannot start a thread cannot do anything; there is no way on from here.
        let thread = thread.unwrap_or_else(|error| panic!("no thread for a package: {error}"));
        (Self { calls, polls, graphs, thread, mapping }, answer)
    }

    /// Ends the lanes, and with them the instance. False when one is stuck in the package.
    pub(crate) async fn close(self) -> bool {
        drop(self.calls);
        drop(self.polls);
        drop(self.graphs);
        let (thread, mapping) = (self.thread, self.mapping);
        let close = move || {
            // The lane drops the instance; a package whose destructor panics has lost its own thread.
            let _ = thread.join();
            drop(mapping);
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

/// Answers what the package declares, then does the jobs of all lanes until they are closed.
fn serve(
    package: &dyn Instance,
    jobs: Jobs,
    name: &str,
    opened: oneshot::Sender<Result<LiveEntries, Error>>,
) {
    let metadata = package.metadata();
    let needed = metadata.as_ref().ok().map(needs);
    // Whoever asked may have gone; then the lanes are closed.
    let _ = opened.send(metadata);
    let Some((polled, graphed)) = needed else { return };
    std::thread::scope(|scope| {
        let lane = |kind: &str, jobs: Receiver<Job>| {
            let serve = move || jobs.iter().for_each(|job| job(package));
            // Without its thread a lane takes no jobs; the host is short of threads and says so.
            if let Err(error) =
                std::thread::Builder::new().name(format!("{kind}-{name}")).spawn_scoped(scope, serve)
            {
                tracing::error!(%error, "no thread for a lane");
            }
        };
        if polled {
            lane("poll", jobs.polls);
        }
        if graphed {
            lane("graph", jobs.graphs);
        }
        jobs.calls.iter().for_each(|job| job(package));
    });
}

/// Which lanes a package needs beside the first: for polls, for graphs.
fn needs(live: &LiveEntries) -> (bool, bool) {
    let polled = live.triggers.triggers.iter().any(|t| t.poll_interval_ms > 0);
    let graphed = !live.reactors.reactors.is_empty() || !live.bound_graphs.graphs.is_empty();
    (polled, graphed)
}
