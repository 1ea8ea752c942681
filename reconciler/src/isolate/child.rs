//! The child's side: opens the library, answers on three lanes, passes news on.

use super::frames::{self, ABSENT, ANSWERED, FAILED, FINISHED, LOG, READY, RECLAIM, REFUSED, RELEASE};
use super::{Orders, crash, limits};
use crate::artifact::Stamp;
use crate::error::Error;
use crate::instance::Instance;
use crate::library::OpenLibrary;
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

/// The descriptors that a child finds its sockets at: calls, polls, graphs, news.
pub(crate) const SOCKETS: [i32; 4] = [3, 4, 5, 6];

/// What a child whose host is gone gets beyond its shutdown to end by itself.
const GRACE: Duration = Duration::from_secs(2);

/// Does the child's part, and ends the process.
pub(crate) fn serve(orders: Option<OsString>) -> ! {
    crash::report_signals();
    let orders = orders.and_then(|text| serde_json::from_str::<Orders>(text.to_str()?).ok());
    let Some(orders) = orders else {
        eprintln!("this is how a host starts the process of a package; it is no command");
        std::process::exit(2);
    };
    let [mut calls, polls, graphs, news] = sockets();
    if let Ok(news) = news.try_clone() {
        let limit = Duration::from_millis(orders.shutdown_ms) + GRACE;
        std::thread::spawn(move || end_with_the_host(news, limit));
    }
    let host = Arc::new(News(Mutex::new(news)));
    match open(&orders, host) {
        Ok(library) => {
            let version = library.interface_version().to_le_bytes();
            // A host that is gone is noticed at the first read.
            let _ = frames::write(&mut calls, READY, &[&version]);
            // Looking would be put down to a package whose processor time is limited.
            let looks = orders.cpu_seconds.is_none();
            std::thread::scope(|scope| {
                scope.spawn(|| answer(&library, polls, looks));
                scope.spawn(|| answer(&library, graphs, looks));
                answer(&library, calls, looks);
            });
        }
        Err(error) => {
            let (code, message) = (error.code().as_bytes(), error.full());
            let _ = frames::write(&mut calls, REFUSED, &[code, b"\0", message.as_bytes()]);
        }
    }
    std::process::exit(0)
}

fn open(orders: &Orders, host: Arc<News>) -> Result<OpenLibrary, Error> {
    limits::limit_self(orders)
        .map_err(|error| Error::Load { message: format!("its limits were not set: {error}") })?;
    if Stamp::of(&orders.library).ok() != Some(orders.stamp) {
        return Err(Error::Changed { path: orders.library.clone() });
    }
    OpenLibrary::open_path(&orders.library, Some(host), &orders.config())
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

/// A package that does not end by itself is not left behind by a host that died.
fn end_with_the_host(mut news: UnixStream, limit: Duration) {
    // The host never writes here: this returns when it closes its end, or dies.
    while news.read(&mut [0]).is_err_and(|error| error.kind() == ErrorKind::Interrupted) {}
    std::thread::sleep(limit);
    // Its group, with whatever it started.
    let _ = kill(Pid::from_raw(0), Signal::SIGKILL);
}

/// Answers calls until the host closes the lane.
fn answer(library: &OpenLibrary, lane: UnixStream, looks: bool) {
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
        if looks && asked.buffer().is_empty() {
            frames::look(&lane);
        }
    }
}

/// The host as the library calls it.
struct News(Mutex<UnixStream>);

impl News {
    fn tell(&self, tag: u8, parts: &[&[u8]]) {
        let mut socket = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Without a host there is nobody to tell.
        let _ = frames::write(&mut *socket, tag, parts);
    }
}

impl LongshoreHost for News {
    fn finished(&self, lease: u64, reply: ByteBuf) {
        self.tell(FINISHED, &[&lease.to_le_bytes(), &reply]);
    }

    fn log(&self, record: ByteBuf) {
        self.tell(LOG, &[&0_u64.to_le_bytes(), &record]);
    }

    fn release_slot(&self, lease: u64) -> Result<(), PluginError> {
        self.tell(RELEASE, &[&lease.to_le_bytes()]);
        Ok(())
    }

    fn reclaim_slot(&self, lease: u64) -> Result<bool, PluginError> {
        self.tell(RECLAIM, &[&lease.to_le_bytes()]);
        Ok(false)
    }
}
