//! One process of a package, from its start to its end.

use crate::error::Error;
use crate::runtime::process::crash::CRASHED;
use crate::runtime::process::exit::describe_exit;
use crate::runtime::process::frames::{
    self, CHANGED, FINISHED, HEADER, LOG, READY, RECLAIM, REFUSED, RELEASE, SOCKETS,
};
use crate::runtime::process::limits::Group;
use crate::runtime::process::spec::{ARGUMENT, ChildSpec, Crash, ProcessEvents, ResourceLimits};
use command_fds::{CommandFdExt, FdMapping};
use longshore_store::clip;
use longshore_workflow_plugin::Method;
use longshore_workflow_plugin::interface::NAME_REQUEST;
use longshore_workflow_plugin::wire::{Reader, StartTask, TaskReply, TaskRequest, Wire};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use serde_bytes::ByteBuf;
use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, BufReader};
use tokio::process::Command;
use tokio::runtime::Handle;

/// The time a process that was killed or closed its sockets gets to end.
const EXIT_TIMEOUT: Duration = Duration::from_secs(10);

/// Time beyond an attempt's deadline before its child is killed: the package's own clock comes first.
const DEADLINE_GRACE: Duration = Duration::from_secs(2);

/// The interval at which deadlines are checked.
const DEADLINE_CHECK_INTERVAL: Duration = Duration::from_millis(250);

/// The interval at which the liveness of an idle child is checked.
const LIVENESS_INTERVAL: Duration = Duration::from_secs(10);

/// Most attempts that a printed line is attributed to.
const MAX_ATTRIBUTED: usize = 4;

/// The time the output of a dead child is still read.
const OUTPUT_DRAIN_TIMEOUT: Duration = Duration::from_secs(3);

/// Lines of a child's output that are kept for the report of a crash, and their longest.
const TAIL: usize = 100;

/// See [`TAIL`].
const LINE: u64 = 8 * 1024;

/// Longest report of a crash, and longest line about an end, in bytes: both are recorded.
const MAX_REPORT: usize = 7 * 1024;

/// See [`MAX_REPORT`].
const MAX_EXIT: usize = 1024;

/// The lanes of a process, each with calls of its own.
const LANES: usize = 3;

/// A running process, or one that ran.
pub(crate) struct Process {
    lanes: [Mutex<UnixStream>; LANES],
    /// The same sockets, to be shut whoever uses them.
    ends: Vec<UnixStream>,
    pid: Pid,
    /// The time a call takes at most.
    call: Duration,
    interface_version: AtomicU32,
    /// Attempts that the child has, with when each is overdue.
    flying: Mutex<HashMap<u64, Option<Instant>>>,
    tail: Mutex<VecDeque<String>>,
    /// True when an attempt came through.
    did_work: AtomicBool,
    /// True when the host ends it on purpose.
    closing: AtomicBool,
    /// Why the host killed it.
    killed: Mutex<Option<String>>,
    ended: Mutex<Option<String>>,
    changed: Condvar,
}

pub(super) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Process {
    /// Starts a child and waits until it has opened its library.
    pub(crate) fn start(
        spec: &ChildSpec,
        limits: &ResourceLimits,
        runtime: &Handle,
        events: Arc<dyn ProcessEvents>,
    ) -> Result<Arc<Self>, Error> {
        let not_started = |source| Error::ChildStart { source };
        let pairs = [(); 4].map(|()| UnixStream::pair());
        let (mut ours, mut theirs) = (Vec::with_capacity(4), Vec::with_capacity(4));
        for (pair, child_fd) in pairs.into_iter().zip(SOCKETS) {
            let (our, their) = pair.map_err(not_started)?;
            ours.push(our);
            theirs.push(FdMapping { parent_fd: their.into(), child_fd });
        }
        let mut command = std::process::Command::new(&limits.program);
        let spec_json = serde_json::to_string(spec).map_err(|e| not_started(e.into()))?;
        command.arg(ARGUMENT).arg(spec_json).stdin(Stdio::null());
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
        command.fd_mappings(theirs).map_err(|e| not_started(io::Error::other(e)))?;
        let _entered = runtime.enter();
        let mut command = Command::from(command);
        let child = command.kill_on_drop(true).spawn().map_err(not_started)?;
        // The child's ends of the sockets are the child's alone from here on.
        drop(command);
        let pid = child.id().ok_or_else(|| not_started(io::ErrorKind::NotFound.into()))?;
        let group = Group::of(pid, &limits.name, limits.memory_mb, limits.cpu_percent);
        let event_socket = ours.pop().ok_or_else(|| not_started(io::ErrorKind::NotFound.into()))?;
        let process = Arc::new(Self::of(ours, pid, limits).map_err(not_started)?);
        // From now on what it prints is read: a full pipe would stop it.
        runtime.spawn(supervise(Arc::clone(&process), child, event_socket, events, group));
        process.wait_until_open(spec, limits)?;
        Ok(process)
    }

    fn of(lanes: Vec<UnixStream>, pid: u32, limits: &ResourceLimits) -> io::Result<Self> {
        for lane in &lanes {
            lane.set_read_timeout(Some(limits.call))?;
            lane.set_write_timeout(Some(limits.call))?;
        }
        let ends = lanes.iter().map(UnixStream::try_clone).collect::<io::Result<_>>()?;
        let lanes = lanes.into_iter().map(Mutex::new).collect::<Vec<_>>();
        Ok(Self {
            lanes: lanes.try_into().map_err(|_| io::ErrorKind::NotFound)?,
            ends,
            pid: Pid::from_raw(pid.cast_signed()),
            call: limits.call,
            interface_version: AtomicU32::new(0),
            flying: Mutex::default(),
            tail: Mutex::default(),
            did_work: AtomicBool::new(false),
            // Until it is open, whoever starts it tells how it ended.
            closing: AtomicBool::new(true),
            killed: Mutex::default(),
            ended: Mutex::default(),
            changed: Condvar::new(),
        })
    }

    /// Waits for the first word of the child.
    fn wait_until_open(&self, spec: &ChildSpec, limits: &ResourceLimits) -> Result<(), Error> {
        let first = read_first(&mut locked(&self.lanes[0]), limits);
        match first {
            Ok(version) => {
                self.interface_version.store(version, Ordering::Relaxed);
                self.closing.store(false, Ordering::SeqCst);
                Ok(())
            }
            Err(First::CacheChanged) => {
                self.close(Duration::ZERO);
                Err(Error::CacheChanged { path: spec.library.clone() })
            }
            Err(First::Refused { code, message }) => {
                self.close(Duration::ZERO);
                Err(Error::ChildRefused { code, message })
            }
            Err(First::Silent(error)) => {
                if error.kind() != io::ErrorKind::UnexpectedEof {
                    let seconds = limits.start.as_secs();
                    self.kill(format!("it did not open its library within {seconds} s"));
                }
                Err(Error::ChildDied { exit: self.wait_for_end() })
            }
        }
    }

    /// Calls a method on the lane for its kind.
    pub(crate) fn call(&self, method: Method, request: &[u8]) -> Result<(u8, Vec<u8>), Error> {
        let lane = match method {
            Method::InvokeTriggerPoll => 1,
            Method::ExecuteGraph => 2,
            _ => 0,
        };
        let asked = (method == Method::ExecuteTask).then(|| TaskRequest::take(&mut Reader::new(request)));
        if let Some(Ok(TaskRequest::Start(start))) = &asked {
            self.begins(start);
        }
        let exchanged = {
            let mut socket = locked(&self.lanes[lane]);
            exchange(&mut socket, method, request)
        };
        if let (Some(Ok(asked)), Ok((_, reply))) = (&asked, &exchanged) {
            self.note_reply(asked, reply);
        }
        exchanged.map_err(|error| {
            if error.kind() == io::ErrorKind::WouldBlock {
                self.kill(format!("`{}` did not return within {} s", method.name(), self.call.as_secs()));
            } else if error.kind() == io::ErrorKind::Other || !self.ends_within(OUTPUT_DRAIN_TIMEOUT) {
                // A lane that broke under a child that goes on: it closed its sockets.
                self.kill(format!("`{}`: {error}", method.name()));
            }
            Error::Crashed { exit: self.wait_for_end() }
        })
    }

    /// Remembers an attempt: when the child ends, it ends as lost.
    fn begins(&self, start: &StartTask) {
        let limit = Duration::from_millis(start.deadline_ms);
        let overdue = (start.deadline_ms > 0).then(|| Instant::now() + limit + DEADLINE_GRACE);
        locked(&self.flying).insert(start.lease, overdue);
    }

    /// Forgets an attempt that ended with the call: it did not go on.
    fn note_reply(&self, asked: &TaskRequest, reply: &[u8]) {
        let accepted = TaskReply::take(&mut Reader::new(reply)) == Ok(TaskReply::Accepted);
        if let TaskRequest::Start(StartTask { lease, .. }) = asked
            && !accepted
        {
            locked(&self.flying).remove(lease);
        }
    }

    pub(crate) fn interface_version(&self) -> u32 {
        self.interface_version.load(Ordering::Relaxed)
    }

    pub(crate) fn did_work(&self) -> bool {
        self.did_work.load(Ordering::Relaxed)
    }

    pub(crate) fn has_ended(&self) -> bool {
        locked(&self.ended).is_some()
    }

    /// Waits until the process is gone, and says how it went.
    pub(crate) fn wait_for_end(&self) -> String {
        self.ends_within(EXIT_TIMEOUT);
        locked(&self.ended).clone().unwrap_or_else(|| "its process does not end".to_owned())
    }

    /// Waits until it has no attempt, or has ended.
    pub(crate) fn wait_until_idle(&self) {
        while !locked(&self.flying).is_empty() && !self.ends_within(DEADLINE_CHECK_INTERVAL) {}
    }

    /// Waits for the end of the process, so long at most.
    fn ends_within(&self, patience: Duration) -> bool {
        let deadline = Instant::now() + patience;
        let mut ended = locked(&self.ended);
        while ended.is_none() && Instant::now() < deadline {
            ended = self
                .changed
                .wait_timeout(ended, DEADLINE_CHECK_INTERVAL)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        ended.is_some()
    }

    /// Ends the process: the child closes its library and leaves, or is killed when it has not after a while.
    pub(crate) fn close(&self, patience: Duration) {
        self.closing.store(true, Ordering::SeqCst);
        self.shutdown_sockets();
        if !self.ends_within(patience) {
            self.kill("it did not end when it was asked to".to_owned());
            self.wait_for_end();
        }
    }

    /// Kills the process and whatever it started.
    fn kill(&self, why: String) {
        if self.has_ended() {
            return;
        }
        tracing::warn!(pid = self.pid.as_raw(), why, "the process of a package is killed");
        locked(&self.killed).get_or_insert(why);
        // It may be gone at this moment.
        let _ = killpg(self.pid, Signal::SIGKILL);
    }

    fn shutdown_sockets(&self) {
        for end in &self.ends {
            // It may be closed already.
            let _ = end.shutdown(Shutdown::Both);
        }
    }

    fn overdue(&self, now: Instant) -> Option<u64> {
        locked(&self.flying).iter().find(|(_, at)| at.is_some_and(|at| at <= now)).map(|(lease, _)| *lease)
    }
}

/// Why a child did not begin.
enum First {
    Refused { code: String, message: String },
    CacheChanged,
    Silent(io::Error),
}

/// The first message of a child.
fn read_first(calls: &mut UnixStream, limits: &ResourceLimits) -> Result<u32, First> {
    calls.set_read_timeout(Some(limits.start)).map_err(First::Silent)?;
    let heard = frames::read(calls).map_err(First::Silent)?;
    match heard {
        (READY, version) => {
            let version = version.try_into().map(u32::from_le_bytes);
            version.map_err(|_| First::Silent(io::Error::other("it did not say its version")))
        }
        (CHANGED, _) => Err(First::CacheChanged),
        (REFUSED, text) => {
            let text = String::from_utf8_lossy(&text);
            let (code, message) = text.split_once('\0').unwrap_or(("LS0306", &text));
            Err(First::Refused { code: code.to_owned(), message: message.to_owned() })
        }
        _ => Err(First::Silent(io::Error::other("it sent a frame out of turn"))),
    }
}

fn exchange(socket: &mut UnixStream, method: Method, request: &[u8]) -> io::Result<(u8, Vec<u8>)> {
    frames::write(socket, method.position() as u8, &[request])?;
    frames::spin(socket);
    frames::read(socket)
}

/// Passes on what a child says until it ends, kills it when it is overdue, and says how it ended.
async fn supervise(
    process: Arc<Process>,
    mut child: tokio::process::Child,
    event_socket: UnixStream,
    events: Arc<dyn ProcessEvents>,
    group: Option<Group>,
) {
    let mut heard = tokio::spawn(read_events(Arc::clone(&process), event_socket, Arc::clone(&events)));
    let lines = [
        child
            .stdout
            .take()
            .map(|out| tokio::spawn(read_output(Arc::clone(&process), out, Arc::clone(&events)))),
        child
            .stderr
            .take()
            .map(|err| tokio::spawn(read_output(Arc::clone(&process), err, Arc::clone(&events)))),
    ];
    let mut ticks = tokio::time::interval(DEADLINE_CHECK_INTERVAL);
    let (mut asked, mut deaf) = (Instant::now(), None::<Instant>);
    let status = loop {
        tokio::select! {
            status = child.wait() => break status,
            _ = &mut heard, if deaf.is_none() => deaf = Some(Instant::now()),
            _ = ticks.tick() => {
                // One that ends closes them too, a moment before.
                if deaf.is_some_and(|since| since.elapsed() > OUTPUT_DRAIN_TIMEOUT) {
                    process.kill("it closed its sockets".to_owned());
                }
                if let Some(lease) = process.overdue(Instant::now()) {
                    let named = events.named(lease);
                    process.kill(format!("{named} went on after its deadline"));
                }
                if asked.elapsed() >= LIVENESS_INTERVAL {
                    asked = Instant::now();
                    check_liveness(Arc::clone(&process));
                }
            }
        }
    };
    // What the child started goes with it, and with that the last copies of its sockets.
    let _ = killpg(process.pid, Signal::SIGKILL);
    let last = tokio::time::Instant::now() + OUTPUT_DRAIN_TIMEOUT;
    for reading in lines.into_iter().flatten().chain(deaf.is_none().then_some(heard)) {
        let abort = reading.abort_handle();
        if tokio::time::timeout_at(last, reading).await.is_err() {
            abort.abort();
        }
    }
    drop(group);
    let status = status.map_err(|error| error.to_string());
    finish(&process, status, &*events);
}

fn finish(process: &Process, status: Result<ExitStatus, String>, events: &dyn ProcessEvents) {
    let tail = report_of(&locked(&process.tail));
    let exit = match (locked(&process.killed).take(), status) {
        (Some(why), _) => format!("killed by the host: {why}"),
        (None, Ok(status)) => describe_crash(status, &tail),
        (None, Err(error)) => error,
    };
    let exit = clip(exit, MAX_EXIT);
    let lost: Vec<u64> = locked(&process.flying).drain().map(|(lease, _)| lease).collect();
    let on_purpose = process.closing.load(Ordering::SeqCst);
    if !on_purpose {
        events.crashed(Crash {
            exit: exit.clone(),
            report: tail,
            attempts: lost.len(),
            cache_changed: false,
        });
    }
    // An attempt that a host on its way out did not wait for has ended nothing.
    let alone = lost.len() == 1 && !on_purpose;
    for lease in lost {
        events.lost(lease, &exit, alone);
    }
    *locked(&process.ended) = Some(exit);
    process.changed.notify_all();
}

/// The end of what a child printed.
fn report_of(tail: &VecDeque<String>) -> String {
    let mut lines = Vec::new();
    let mut room = MAX_REPORT;
    for line in tail.iter().rev() {
        let Some(rest) = room.checked_sub(line.len() + 1) else { break };
        room = rest;
        lines.push(line.as_str());
    }
    lines.reverse();
    clip(lines.join("\n"), MAX_REPORT)
}

/// The end of a child that ended by itself: the signal, its output before, and the place that the report names.
fn describe_crash(status: ExitStatus, tail: &str) -> String {
    let (before, report) = tail.split_once(CRASHED).unwrap_or((tail, ""));
    let mut exit = describe_exit(status, before);
    if let Some((_, place)) = report.lines().next().and_then(|line| line.split_once(" at address ")) {
        exit.push_str(&format!("; at address {place}"));
    }
    exit
}

/// Asks a child for its name on a thread that may wait: one that does not answer is killed by the call.
fn check_liveness(process: Arc<Process>) {
    tokio::task::spawn_blocking(move || {
        // A lane that is in use proves itself, or its call runs into the limit.
        let Ok(mut socket) = process.lanes[0].try_lock() else { return };
        let answered = exchange(&mut socket, Method::GetTaskMetadata, NAME_REQUEST);
        drop(socket);
        if answered.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock) {
            process.kill(format!("it did not say its name within {} s", process.call.as_secs()));
        }
    });
}

/// Reads outcomes, log lines and slots.
async fn read_events(process: Arc<Process>, socket: UnixStream, events: Arc<dyn ProcessEvents>) {
    let socket = socket.set_nonblocking(true).and_then(|()| tokio::net::UnixStream::from_std(socket));
    let Ok(socket) = socket else { return };
    let mut socket = BufReader::new(socket);
    loop {
        let mut header = [0; HEADER];
        if socket.read_exact(&mut header).await.is_err() {
            return;
        }
        let (len, tag) = match frames::header(header) {
            Ok(header) => header,
            Err(error) => return process.kill(error.to_string()),
        };
        let mut payload = Vec::new();
        if (&mut socket).take(len as u64).read_to_end(&mut payload).await.is_err() || payload.len() < len {
            return;
        }
        let Some((lease, payload)) = payload.split_first_chunk() else {
            return process.kill("it sent a frame out of turn".to_owned());
        };
        let lease = u64::from_le_bytes(*lease);
        match tag {
            FINISHED => {
                locked(&process.flying).remove(&lease);
                process.did_work.store(true, Ordering::Relaxed);
                events.finished(lease, ByteBuf::from(payload));
            }
            LOG => events.log(ByteBuf::from(payload)),
            // Without an engine there are no slots to give.
            RELEASE => drop(events.release_slot(lease)),
            RECLAIM => drop(events.reclaim_slot(lease)),
            _ => return process.kill("it sent a frame out of turn".to_owned()),
        }
    }
}

/// Passes a child's output on, line by line, and keeps the end of it.
async fn read_output(process: Arc<Process>, output: impl AsyncRead + Unpin, events: Arc<dyn ProcessEvents>) {
    let mut output = BufReader::new(output);
    loop {
        let mut line = Vec::new();
        match (&mut output).take(LINE).read_until(b'\n', &mut line).await {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
        let line = String::from_utf8_lossy(&line).trim_end().to_owned();
        let leases: Vec<u64> = locked(&process.flying).keys().take(MAX_ATTRIBUTED).copied().collect();
        events.printed(&line, &leases);
        let mut tail = locked(&process.tail);
        if tail.len() == TAIL {
            tail.pop_front();
        }
        tail.push_back(line);
    }
}
