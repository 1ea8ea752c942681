//! One process of a package, from its start to its end.

use crate::error::Error;
use crate::runtime::process::cgroup::Group;
use crate::runtime::process::crash::CRASHED;
use crate::runtime::process::exit::describe_exit;
use crate::runtime::process::frames::{
    self, CHANGED, FINISHED, HEADER, LOG, OTHER_BUILD, READY, RECLAIM, REFUSED, RELEASE, SOCKETS, Until,
};
use crate::runtime::process::launch::{self, Control};
use crate::runtime::process::spec::{ARGUMENT, ChildSpec, Crash, ProcessEvents, ResourceLimits};
use command_fds::{CommandFdExt, FdMapping};
use longshore_store::clip;
use longshore_workflow_plugin::Method;
use longshore_workflow_plugin::interface::NAME_REQUEST;
use longshore_workflow_plugin::wire::{Reader, StartTask, TaskReply, TaskRequest, Wire};
use serde_bytes::ByteBuf;
use std::collections::{HashMap, VecDeque};
use std::io::{self, PipeReader};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::process::ExitStatus;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::net::unix::pipe;
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

/// A socket for calls, one at a time. It can be shut whoever uses it.
struct Lane {
    socket: UnixStream,
    turn: Mutex<()>,
}

/// A running process, or one that ran. Descriptors are scarce where there are many: it has a socket a lane, one for
/// events, one pipe for its output and one that controls it.
pub(crate) struct Process {
    lanes: [Lane; LANES],
    control: Control,
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
        let (mut command, control) = launch::command(&limits.program, ARGUMENT).map_err(not_started)?;
        // For people who look at the list of processes.
        command.arg(&spec.library);
        let (output, printed) = io::pipe().map_err(not_started)?;
        command.stdout(printed.try_clone().map_err(not_started)?).stderr(printed);
        command.fd_mappings(theirs).map_err(|e| not_started(io::Error::other(e)))?;
        let _entered = runtime.enter();
        let mut command = Command::from(command);
        let child = command.spawn().map_err(not_started)?;
        // The child's ends of the sockets are the child's alone from here on.
        drop(command);
        let pid = child.id().ok_or_else(|| not_started(io::ErrorKind::NotFound.into()))?;
        let group = Group::of(pid, &limits.name, limits.memory_mb, limits.cpu_percent);
        let event_socket = ours.pop().ok_or_else(|| not_started(io::ErrorKind::NotFound.into()))?;
        let process = Arc::new(Self::of(ours, control, limits).map_err(not_started)?);
        let pipes = Pipes { events: event_socket, output };
        // From now on what it prints is read: a full pipe would stop it.
        runtime.spawn(supervise(Arc::clone(&process), child, pipes, events, group));
        // In its control group by now, with whatever it will start.
        process.control.begin(spec).map_err(not_started)?;
        process.wait_until_open(spec, limits)?;
        Ok(process)
    }

    fn of(lanes: Vec<UnixStream>, control: Control, limits: &ResourceLimits) -> io::Result<Self> {
        let lane = |socket| Lane { socket, turn: Mutex::default() };
        let lanes = lanes.into_iter().map(lane).collect::<Vec<_>>();
        Ok(Self {
            lanes: lanes.try_into().map_err(|_| io::ErrorKind::NotFound)?,
            control,
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
        let first = read_first(&self.lanes[0].socket, limits);
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
            Err(First::OtherBuild { theirs }) => {
                self.close(Duration::ZERO);
                Err(Error::OtherBuild { ours: launch::build(), theirs })
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
            let lane = &self.lanes[lane];
            let _turn = locked(&lane.turn);
            exchange(&lane.socket, method, request, self.call)
        };
        if let Some(Ok(asked)) = &asked {
            self.note_reply(asked, exchanged.as_ref());
        }
        exchanged.map_err(|error| {
            if error.kind() == io::ErrorKind::InvalidInput {
                // Nothing of it was sent: the process knows nothing of it, and goes on.
                return Error::Answer { method: method.name(), message: error.to_string() };
            }
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
    fn note_reply(&self, asked: &TaskRequest, exchanged: Result<&(u8, Vec<u8>), &io::Error>) {
        let accepted = match exchanged {
            Ok((_, reply)) => TaskReply::take(&mut Reader::new(reply)) == Ok(TaskReply::Accepted),
            // Any other failure ends the process, and with it the attempt.
            Err(error) => error.kind() != io::ErrorKind::InvalidInput,
        };
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
        tracing::warn!(why, "the process of a package is killed");
        locked(&self.killed).get_or_insert(why);
        self.control.end();
    }

    fn shutdown_sockets(&self) {
        for lane in &self.lanes {
            // It may be closed already.
            let _ = lane.socket.shutdown(Shutdown::Both);
        }
    }

    fn overdue(&self, now: Instant) -> Option<u64> {
        locked(&self.flying).iter().find(|(_, at)| at.is_some_and(|at| at <= now)).map(|(lease, _)| *lease)
    }
}

/// Why a child did not begin.
enum First {
    OtherBuild { theirs: String },
    Refused { code: String, message: String },
    CacheChanged,
    Silent(io::Error),
}

/// The first message of a child.
fn read_first(calls: &UnixStream, limits: &ResourceLimits) -> Result<u32, First> {
    let mut calls = Until { socket: calls, deadline: Instant::now() + limits.start };
    let heard = frames::read(&mut calls).map_err(First::Silent)?;
    match heard {
        (READY, ready) => {
            let Some((version, theirs)) = ready.split_first_chunk() else {
                return Err(First::Silent(io::Error::other("it did not say its version")));
            };
            if theirs != launch::build().as_bytes() {
                return Err(First::OtherBuild { theirs: String::from_utf8_lossy(theirs).into_owned() });
            }
            Ok(u32::from_le_bytes(*version))
        }
        (OTHER_BUILD, theirs) => {
            Err(First::OtherBuild { theirs: String::from_utf8_lossy(&theirs).into_owned() })
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

/// Sends a request and reads the answer, both within `limit`.
fn exchange(
    socket: &UnixStream,
    method: Method,
    request: &[u8],
    limit: Duration,
) -> io::Result<(u8, Vec<u8>)> {
    let mut lane = Until { socket, deadline: Instant::now() + limit };
    frames::write(&mut lane, method.position() as u8, &[request])?;
    frames::spin(socket);
    frames::read(&mut lane)
}

/// The pipes of a child that its host reads all the time.
struct Pipes {
    events: UnixStream,
    output: PipeReader,
}

/// Passes on what a child says until it ends, kills it when it is overdue, and says how it ended.
async fn supervise(
    process: Arc<Process>,
    mut child: tokio::process::Child,
    pipes: Pipes,
    events: Arc<dyn ProcessEvents>,
    group: Option<Group>,
) {
    let mut heard = tokio::spawn(read_events(Arc::clone(&process), pipes.events, Arc::clone(&events)));
    let lines = tokio::spawn(read_output(Arc::clone(&process), pipes.output, Arc::clone(&events)));
    let mut killed = None::<Instant>;
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
                if killed.is_none() && locked(&process.killed).is_some() {
                    killed = Some(Instant::now());
                }
                if killed.is_some_and(|since| since.elapsed() > EXIT_TIMEOUT / 2) {
                    // It was asked, and the process that ends the others does not get to it.
                    let _ = child.start_kill();
                }
                if asked.elapsed() >= LIVENESS_INTERVAL {
                    asked = Instant::now();
                    check_liveness(Arc::clone(&process));
                }
            }
        }
    };
    if let Some(group) = &group {
        group.kill();
    }
    let last = tokio::time::Instant::now() + OUTPUT_DRAIN_TIMEOUT;
    for reading in [lines].into_iter().chain(deaf.is_none().then_some(heard)) {
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
        let lane = &process.lanes[0];
        let Ok(turn) = lane.turn.try_lock() else { return };
        let answered = exchange(&lane.socket, Method::GetTaskMetadata, NAME_REQUEST, process.call);
        drop(turn);
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
async fn read_output(process: Arc<Process>, output: PipeReader, events: Arc<dyn ProcessEvents>) {
    let Ok(output) = pipe::Receiver::from_owned_fd(output.into()) else { return };
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
