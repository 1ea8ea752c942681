//! The child's side: opens the library, answers calls on three lanes, sends events.

use crate::artifact::cache::FileIdentity;
use crate::error::Error;
use crate::runtime::instance::Instance;
use crate::runtime::library::OpenLibrary;
use crate::runtime::process::frames::{
    self, ABSENT, ANSWERED, CHANGED, FAILED, FINISHED, LOG, READY, RECLAIM, REFUSED, RELEASE, SOCKETS,
};
use crate::runtime::process::spec::ChildSpec;
use crate::runtime::process::{crash, limits};
use longshore_workflow_plugin::Method;
use longshore_workflow_plugin::interface::LongshoreHost;
use longshore_workflow_plugin::private::fidius::PluginError;
use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_bytes::ByteBuf;
use std::ffi::OsString;
use std::io::{BufReader, ErrorKind, Read};
use std::os::fd::{FromRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// The time a child whose host is gone gets beyond its shutdown to end by itself.
const ORPHAN_GRACE: Duration = Duration::from_secs(2);

/// Serves as the process of a package, and ends this process.
pub(crate) fn serve(spec: Option<OsString>) -> ! {
    crash::report_signals();
    let spec = spec.and_then(|text| serde_json::from_str::<ChildSpec>(text.to_str()?).ok());
    let Some(spec) = spec else {
        eprintln!("this is how a host starts the process of a package; it is not a command");
        std::process::exit(2);
    };
    let [mut calls, polls, graphs, events] = sockets();
    if let Ok(events) = events.try_clone() {
        let limit = Duration::from_millis(spec.shutdown_ms) + ORPHAN_GRACE;
        std::thread::spawn(move || end_with_the_host(events, limit));
    }
    let host = Arc::new(HostClient(Mutex::new(events)));
    match open(&spec, host) {
        Ok(library) => {
            let version = library.interface_version().to_le_bytes();
            // A host that is gone is noticed at the first read.
            let _ = frames::write(&mut calls, READY, &[&version]);
            // Spinning would count against a package whose processor time is limited.
            let spins = spec.cpu_seconds.is_none();
            std::thread::scope(|scope| {
                scope.spawn(|| answer(&library, polls, spins));
                scope.spawn(|| answer(&library, graphs, spins));
                answer(&library, calls, spins);
            });
        }
        Err(Error::CacheChanged { .. }) => drop(frames::write(&mut calls, CHANGED, &[])),
        Err(error) => {
            let (code, message) = (error.code().as_bytes(), error.full());
            let _ = frames::write(&mut calls, REFUSED, &[code, b"\0", message.as_bytes()]);
        }
    }
    std::process::exit(0)
}

fn open(spec: &ChildSpec, host: Arc<HostClient>) -> Result<OpenLibrary, Error> {
    limits::limit_self(spec)
        .map_err(|error| Error::Load { message: format!("its limits were not set: {error}") })?;
    if FileIdentity::of(&spec.library).ok() != Some(spec.identity) {
        return Err(Error::CacheChanged { path: spec.library.clone() });
    }
    OpenLibrary::open_path(&spec.library, Some(host), &spec.config())
}

#[expect(unsafe_code, reason = "descriptors that were handed over have numbers, not owners")]
fn sockets() -> [UnixStream; 4] {
    // SAFETY: the host put four sockets at these numbers for this process, which runs this once, first of all.
    let sockets = SOCKETS.map(|number| UnixStream::from(unsafe { OwnedFd::from_raw_fd(number) }));
    for socket in &sockets {
        // What the package starts does not get them: they close when this process ends.
        let _ = fcntl(socket, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC));
    }
    sockets
}

/// Ends a package that outlives its host.
fn end_with_the_host(mut events: UnixStream, limit: Duration) {
    // The host never writes here: this returns when it closes its end, or dies.
    while events.read(&mut [0]).is_err_and(|error| error.kind() == ErrorKind::Interrupted) {}
    std::thread::sleep(limit);
    // Its group, with whatever it started.
    let _ = kill(Pid::from_raw(0), Signal::SIGKILL);
}

/// Answers calls until the host closes the lane.
fn answer(library: &OpenLibrary, lane: UnixStream, spins: bool) {
    let Ok(asked) = lane.try_clone() else { return };
    let (mut asked, mut lane) = (BufReader::new(asked), lane);
    while let Ok((position, request)) = frames::read(&mut asked) {
        let method = Method::ALL.into_iter().find(|method| method.position() == usize::from(position));
        let answered = match method.map(|method| library.call(method, &request)) {
            Some(Ok(Some(reply))) => frames::write(&mut lane, ANSWERED, &[&reply]),
            Some(Ok(None)) => frames::write(&mut lane, ABSENT, &[]),
            Some(Err(error)) => frames::write(&mut lane, FAILED, &[error.full().as_bytes()]),
            None => frames::write(&mut lane, FAILED, &[b"no such method"]),
        };
        if answered.is_err() {
            return;
        }
        if spins && asked.buffer().is_empty() {
            frames::spin(&lane);
        }
    }
}

/// The host as the library calls it.
struct HostClient(Mutex<UnixStream>);

impl HostClient {
    fn send(&self, tag: u8, parts: &[&[u8]]) {
        let mut socket = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // A host that is gone gets no events.
        let _ = frames::write(&mut *socket, tag, parts);
    }
}

impl LongshoreHost for HostClient {
    fn finished(&self, lease: u64, reply: ByteBuf) {
        self.send(FINISHED, &[&lease.to_le_bytes(), &reply]);
    }

    fn log(&self, record: ByteBuf) {
        self.send(LOG, &[&0_u64.to_le_bytes(), &record]);
    }

    fn release_slot(&self, lease: u64) -> Result<(), PluginError> {
        self.send(RELEASE, &[&lease.to_le_bytes()]);
        Ok(())
    }

    fn reclaim_slot(&self, lease: u64) -> Result<bool, PluginError> {
        self.send(RECLAIM, &[&lease.to_le_bytes()]);
        Ok(false)
    }
}
