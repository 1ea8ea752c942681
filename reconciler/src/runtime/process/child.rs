//! The child's side: opens the library, answers calls on three lanes, sends events.

use crate::artifact::assets::Assets;
use crate::error::Error;
use crate::runtime::callbacks::read_asset;
use crate::runtime::instance::Instance;
use crate::runtime::library::OpenLibrary;
use crate::runtime::process::entry::{Spec, enter};
use crate::runtime::process::frames::{
    self, ABSENT, ANSWERED, CHANGED, FAILED, FINISHED, LOG, OTHER_BUILD, READY, RECLAIM, REFUSED, RELEASE,
    SOCKETS,
};
use crate::runtime::process::launch::build;
use crate::runtime::process::spec::ChildSpec;
use crate::runtime::process::{crash, limits};
use longshore_workflow_plugin::Method;
use longshore_workflow_plugin::interface::LongshoreHost;
use longshore_workflow_plugin::private::fidius::PluginError;
use longshore_workflow_plugin::wire::{TaskFailure, TaskReply, Wire};
use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use serde_bytes::ByteBuf;
use std::io::{BufReader, ErrorKind};
use std::os::fd::{FromRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// The time a child whose host is gone gets beyond its shutdown to end by itself.
const ORPHAN_GRACE: Duration = Duration::from_secs(2);

/// Serves as the process of a package, and ends this process.
pub(crate) fn serve() -> ! {
    let entered = enter::<ChildSpec>(|spec| Duration::from_millis(spec.shutdown_ms) + ORPHAN_GRACE);
    let spec = match entered {
        Spec::Ours(spec) => spec,
        Spec::OtherBuild => {
            let [mut calls, ..] = sockets();
            let _ = frames::write(&mut calls, OTHER_BUILD, &[build().as_bytes()]);
            std::process::exit(0)
        }
        Spec::Missing => {
            eprintln!("a host starts the process of a package like this; it is not a command");
            std::process::exit(2);
        }
    };
    // Before anything else opens a descriptor.
    let [mut calls, polls, graphs, events] = sockets();
    crash::report_signals();
    let host = Arc::new(HostClient { events: Mutex::new(events), assets: spec.assets.clone() });
    match open(&spec, host) {
        Ok(library) => {
            let version = library.interface_version().to_le_bytes();
            // A host that is gone is noticed at the first read.
            let _ = frames::write(&mut calls, READY, &[&version, build().as_bytes()]);
            // Spinning would count against a package whose processor time is limited.
            let spins = spec.cpu_seconds.is_none();
            std::thread::scope(|scope| {
                scope.spawn(|| answer(&library, polls, spins));
                scope.spawn(|| answer(&library, graphs, spins));
                answer(&library, calls, spins);
            });
            library.end_instance();
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
    limits::limit_self(spec.memory_mb, spec.cpu_seconds)
        .map_err(|error| Error::Load { message: format!("its limits were not set: {error}") })?;
    OpenLibrary::open_file(&spec.library, spec.identity, Some(host), &spec.config(), drop)
}

#[expect(unsafe_code, reason = "descriptors that were handed over have numbers, not owners")]
fn sockets() -> [UnixStream; 4] {
    // SAFETY: the host put four sockets at these numbers for this process, which runs this once and has opened none.
    let sockets = SOCKETS.map(|number| UnixStream::from(unsafe { OwnedFd::from_raw_fd(number) }));
    for socket in &sockets {
        // What the package starts does not get them: they close when this process ends.
        let _ = fcntl(socket, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC));
    }
    sockets
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
        let answered = match answered {
            Err(error) if error.kind() == ErrorKind::InvalidInput => {
                frames::write(&mut lane, FAILED, &[error.to_string().as_bytes()])
            }
            answered => answered,
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
struct HostClient {
    events: Mutex<UnixStream>,
    /// Read here: this process may do whatever its host may.
    assets: Option<Assets>,
}

impl HostClient {
    fn send(&self, tag: u8, parts: &[&[u8]]) -> std::io::Result<()> {
        let mut socket = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        frames::write(&mut *socket, tag, parts)
    }
}

impl LongshoreHost for HostClient {
    fn finished(&self, lease: u64, reply: ByteBuf) {
        let Err(error) = self.send(FINISHED, &[&lease.to_le_bytes(), &reply]) else { return };
        if error.kind() == ErrorKind::InvalidInput {
            // An outcome that does not pass fails its own attempt, and no other one.
            let failed =
                TaskReply::Failed(TaskFailure { message: error.to_string(), ..TaskFailure::default() });
            let _ = self.send(FINISHED, &[&lease.to_le_bytes(), &failed.encode()]);
        }
    }

    fn log(&self, record: ByteBuf) {
        // A host that is gone gets no events.
        let _ = self.send(LOG, &[&0_u64.to_le_bytes(), &record]);
    }

    fn release_slot(&self, lease: u64) -> Result<(), PluginError> {
        let _ = self.send(RELEASE, &[&lease.to_le_bytes()]);
        Ok(())
    }

    fn reclaim_slot(&self, lease: u64) -> Result<bool, PluginError> {
        let _ = self.send(RECLAIM, &[&lease.to_le_bytes()]);
        Ok(false)
    }

    fn asset(&self, name: String) -> Result<ByteBuf, PluginError> {
        read_asset(self.assets.as_ref(), &name)
    }
}
