//! Lines that were printed, to the log.

use super::last_words::LastWords;
use longshore_engine::{EngineHandle, ProgressEvent};
use longshore_store::{RunId, TaskState};
use nix::fcntl::SpliceFFlags;
use nix::unistd::{dup2_stderr, dup2_stdout};
use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, PipeReader, PipeWriter, Read};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::broadcast::error::RecvError;

/// Longest line, in bytes: a longer one is several.
const MAX_LINE: usize = 16 * 1024;

/// The time that is waited for lines of whoever still has the pipe when the command ends.
const DRAIN_TIMEOUT: Duration = Duration::from_millis(300);

/// Most runs that a line names.
const MAX_RUNS: usize = 8;

/// Attempts that run right now in this process.
type Running = Arc<Mutex<BTreeSet<(RunId, usize)>>>;

fn locked(running: &Mutex<BTreeSet<(RunId, usize)>>) -> MutexGuard<'_, BTreeSet<(RunId, usize)>> {
    running.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What goes to descriptors 1 and 2, on its way to the log.
pub(super) struct Printed {
    running: Running,
    ended: Receiver<()>,
    _last_words: Option<LastWords>,
}

impl Printed {
    /// Takes descriptors 1 and 2.
    pub(super) fn begin(err: &File) -> io::Result<Self> {
        let (reader, writer) = io::pipe()?;
        let last_words = LastWords::begin(&reader, err);
        let running = Running::default();
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
        Ok(Self { running, ended, _last_words: last_words })
    }

    /// Follows which attempts run.
    pub(super) fn follow(&self, engine: &EngineHandle) {
        let (running, mut events) = (Arc::clone(&self.running), engine.progress());
        tokio::spawn(async move {
            loop {
                match events.recv().await {
                    Ok(ProgressEvent { run, idx, state, .. }) => {
                        let mut running = locked(&running);
                        if state == TaskState::Running {
                            running.insert((run, idx))
                        } else {
                            running.remove(&(run, idx))
                        };
                    }
                    // Better no run than a wrong one.
                    Err(RecvError::Lagged(_)) => locked(&running).clear(),
                    Err(RecvError::Closed) => return,
                }
            }
        });
    }

    /// Gives the descriptors back and waits for the lines that are on their way. Something that a task started may have the
    /// pipe still: it is not waited for.
    pub(super) fn end(self, out: &File, err: &File) {
        // Without them the rest is lost, which is no reason to fail.
        let _ = (dup2_stdout(out), dup2_stderr(err));
        let _ = self.ended.recv_timeout(DRAIN_TIMEOUT);
    }
}

fn forward(mut reader: PipeReader, running: &Running) -> io::Result<()> {
    let mut bytes = vec![0; MAX_LINE];
    let mut pending = Vec::new();
    let (mut copy, copied) = io::pipe()?;
    loop {
        // What is logged stays in the pipe until then: who dies in between leaves it to be said.
        let count = peek(&reader, &copied)?;
        if count == 0 {
            break;
        }
        copy.read_exact(&mut bytes[..count])?;
        pending.extend_from_slice(&bytes[..count]);
        log_lines(&mut pending, running);
        reader.read_exact(&mut bytes[..count])?;
    }
    if !pending.is_empty() {
        log_line(&pending, running);
    }
    Ok(())
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

/// Logs the whole lines, and one that is too long in pieces.
fn log_lines(pending: &mut Vec<u8>, running: &Running) {
    while let Some(end) = pending.iter().position(|byte| *byte == b'\n') {
        let line: Vec<u8> = pending.drain(..=end).collect();
        log_line(&line, running);
    }
    if pending.len() >= MAX_LINE {
        log_line(pending, running);
        pending.clear();
    }
}

fn log_line(line: &[u8], running: &Running) {
    let text = String::from_utf8_lossy(line);
    let runs: BTreeSet<RunId> = locked(running).iter().map(|(run, _)| *run).take(MAX_RUNS).collect();
    let runs = runs.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
    // A printed line carries no attempt: with one that runs it is that one's, with several some are named.
    tracing::info!(target: "longshore::package", runs, "{}", text.trim_end_matches(['\n', '\r']));
}
