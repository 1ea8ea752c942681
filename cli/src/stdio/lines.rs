//! Lines that were printed, to the log.

use super::crash_output::CrashOutput;
use longshore_engine::{EngineHandle, ProgressEvent};
use longshore_store::{RunId, TaskState};
use nix::fcntl::SpliceFFlags;
use nix::unistd::{dup2_stderr, dup2_stdout};
use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, PipeReader, PipeWriter, Read};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::broadcast::error::RecvError;

/// Longest line, in bytes: a longer one is several.
const MAX_LINE: usize = 16 * 1024;

/// The time that the rest of a line is waited for: a prompt has none.
const UNFINISHED_LINE_TIMEOUT: Duration = Duration::from_millis(100);

/// The interval at which the rest of a line is looked for.
const LINE_POLL_INTERVAL: Duration = Duration::from_millis(20);

/// The time that is waited for lines of whoever still has the pipe when the command ends.
const DRAIN_TIMEOUT: Duration = Duration::from_millis(300);

/// Most runs that a line names.
const MAX_RUNS: usize = 8;

/// The time that the news of an attempt may take, which a line of it can outrun.
const PROGRESS_TIMEOUT: Duration = Duration::from_millis(20);

/// The time in which news are not waited for again.
const PROGRESS_PAUSE: Duration = Duration::from_secs(1);

/// The time after the end of an attempt in which a line is taken for its.
const ATTRIBUTION_GRACE: Duration = Duration::from_millis(100);

/// Attempts that run in this process, as it hears of them.
#[derive(Default)]
struct Running {
    now: Mutex<Attempts>,
    changed: Condvar,
}

#[derive(Default)]
struct Attempts {
    running: BTreeSet<(RunId, usize)>,
    /// The run of the attempt that ended last, and when.
    last: Option<(RunId, Instant)>,
    /// The last time that an event of progress was waited for in vain.
    timed_out_at: Option<Instant>,
}

impl Running {
    fn lock(&self) -> MutexGuard<'_, Attempts> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, event: &ProgressEvent) {
        let ProgressEvent { run, idx, state, .. } = event;
        let mut now = self.lock();
        if *state == TaskState::Running {
            now.running.insert((*run, *idx));
        } else if now.running.remove(&(*run, *idx)) {
            now.last = Some((*run, Instant::now()));
        }
        self.changed.notify_all();
    }

    /// The runs that a line may be of which was printed now.
    fn runs(&self) -> String {
        let mut now = self.lock();
        if now.running.is_empty() && now.tail().is_none() && now.may_wait() {
            let (woken, waited) =
                self.changed.wait_timeout(now, PROGRESS_TIMEOUT).unwrap_or_else(PoisonError::into_inner);
            now = woken;
            now.timed_out_at = waited.timed_out().then(Instant::now);
        }
        let running: BTreeSet<RunId> = now.running.iter().map(|(run, _)| *run).take(MAX_RUNS).collect();
        let runs = if running.is_empty() { now.tail().into_iter().collect() } else { running };
        runs.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
    }
}

impl Attempts {
    /// False when no attempt printed what was printed last: whoever prints much is not kept waiting.
    fn may_wait(&self) -> bool {
        self.timed_out_at.is_none_or(|at| at.elapsed() > PROGRESS_PAUSE)
    }

    fn tail(&self) -> Option<RunId> {
        self.last.filter(|(_, ended)| ended.elapsed() < ATTRIBUTION_GRACE).map(|(run, _)| run)
    }
}

/// The way of descriptors 1 and 2 to the log.
pub(super) struct Printed {
    running: Arc<Running>,
    ended: Receiver<()>,
    _crash_output: Option<CrashOutput>,
}

impl Printed {
    /// Takes descriptors 1 and 2.
    pub(super) fn begin(err: &File) -> io::Result<Self> {
        let (reader, writer) = io::pipe()?;
        let crash_output = CrashOutput::begin(&reader, err);
        let running = Arc::new(Running::default());
        let (tell, ended) = channel();
        let of_lines = Arc::clone(&running);
        std::thread::Builder::new().name("printed lines".to_owned()).spawn(move || {
            // A pipe that breaks has nobody to be told to.
            let _ = forward(reader, &of_lines);
            // The command may have ended meanwhile.
            let _ = tell.send(());
        })?;
        dup2_stdout(&writer)?;
        dup2_stderr(&writer)?;
        Ok(Self { running, ended, _crash_output: crash_output })
    }

    /// Follows which attempts run.
    pub(super) fn follow(&self, engine: &EngineHandle) {
        let (running, mut events) = (Arc::clone(&self.running), engine.progress());
        tokio::spawn(async move {
            loop {
                match events.recv().await {
                    Ok(event) => running.note(&event),
                    // Better no run than a wrong one.
                    Err(RecvError::Lagged(_)) => running.lock().running.clear(),
                    Err(RecvError::Closed) => return,
                }
            }
        });
    }

    /// Gives the descriptors back and waits for the lines that are on their way. Something that a task started may have the
    /// pipe still: it is not waited for.
    pub(super) fn end(self, out: &File, err: &File) {
        // Without them the rest is lost, which is not a reason to fail.
        let _ = (dup2_stdout(out), dup2_stderr(err));
        let _ = self.ended.recv_timeout(DRAIN_TIMEOUT);
    }
}

fn forward(mut reader: PipeReader, running: &Running) -> io::Result<()> {
    let mut bytes = vec![0; MAX_LINE];
    let (mut copy, copied) = io::pipe()?;
    let mut quiet = (0, Duration::ZERO);
    loop {
        // What is not logged stays in the pipe until then: who dies in between leaves it to be printed.
        let count = peek(&reader, &copied)?;
        if count == 0 {
            return Ok(());
        }
        copy.read_exact(&mut bytes[..count])?;
        let ends = bytes[..count].iter().rposition(|byte| *byte == b'\n').map(|at| at + 1);
        quiet =
            if quiet.0 == count { (count, quiet.1 + LINE_POLL_INTERVAL) } else { (count, Duration::ZERO) };
        let whole = match ends {
            Some(end) => end,
            None if count == MAX_LINE || quiet.1 >= UNFINISHED_LINE_TIMEOUT => count,
            None => {
                std::thread::sleep(LINE_POLL_INTERVAL);
                continue;
            }
        };
        for line in bytes[..whole].split_inclusive(|byte| *byte == b'\n') {
            log_line(line, running);
        }
        reader.read_exact(&mut bytes[..whole])?;
        quiet = (0, Duration::ZERO);
    }
}

/// Copies what is in a pipe into another one, as soon as there is something. Returns its length, 0 at the end.
fn peek(from: &PipeReader, into: &PipeWriter) -> io::Result<usize> {
    loop {
        match nix::fcntl::tee(from, into, MAX_LINE, SpliceFFlags::empty()) {
            Err(nix::errno::Errno::EINTR) => {}
            result => return Ok(result?),
        }
    }
}

fn log_line(line: &[u8], running: &Running) {
    let text = String::from_utf8_lossy(line);
    let runs = running.runs();
    // A printed line carries no attempt: with one that runs it is that one's, with several some are named.
    tracing::info!(target: "longshore::package::printed", runs, "{}", text.trim_end_matches(['\n', '\r']));
}
