//! The host's side: a package whose process is started again when it ended.

use super::frames::{ABSENT, ANSWERED};
use super::process::Process;
use super::{Confinement, Crash, Orders, Watcher};
use crate::error::{CHANGED, Error};
use crate::instance::Instance;
use longshore_workflow_plugin::Method;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::runtime::Handle;

/// The first pause before a process is started again; doubles up to [`MAX_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// See [`FIRST_PAUSE`]. Attempts wait for the process meanwhile.
const MAX_PAUSE: Duration = Duration::from_secs(5);

/// What a process gets beyond its runtime's shutdown to leave.
const LEAVE: Duration = Duration::from_secs(1);

/// An instance in a process of its own.
pub(crate) struct Isolated {
    orders: Orders,
    confinement: Confinement,
    runtime: Handle,
    watcher: Arc<dyn Watcher>,
    interface_version: u32,
    state: Mutex<State>,
}

struct State {
    process: Option<Arc<Process>>,
    /// Ends in a row without an attempt that came through.
    failures: u32,
    /// Not before this.
    start_at: Instant,
}

impl Isolated {
    /// Starts the first process.
    pub(crate) fn open(
        orders: Orders,
        confinement: Confinement,
        runtime: Handle,
        watcher: Arc<dyn Watcher>,
    ) -> Result<Self, Error> {
        let process = Process::start(&orders, &confinement, &runtime, Arc::clone(&watcher))?;
        let interface_version = process.interface_version();
        let state = State { process: Some(process), failures: 0, start_at: Instant::now() };
        Ok(Self { orders, confinement, runtime, watcher, interface_version, state: Mutex::new(state) })
    }

    /// The process, started again when it ended.
    fn process(&self) -> Result<Arc<Process>, Error> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            match state.process.take() {
                Some(process) if !process.has_ended() => {
                    state.process = Some(Arc::clone(&process));
                    return Ok(process);
                }
                Some(process) => state.note_end(process.did_work()),
                None => {}
            }
            let wait = state.start_at.saturating_duration_since(Instant::now());
            if wait.is_zero() {
                let (orders, confinement) = (&self.orders, &self.confinement);
                match Process::start(orders, confinement, &self.runtime, Arc::clone(&self.watcher)) {
                    Ok(process) => state.process = Some(process),
                    Err(error) => {
                        state.note_end(false);
                        drop(state);
                        // The first start is told by its error; this one comes after a start that went well.
                        let (how, report) = (error.full(), String::new());
                        let copy_changed = error.code() == CHANGED;
                        self.watcher.crashed(Crash { how, report, attempts: 0, copy_changed });
                        return Err(error);
                    }
                }
            } else {
                // Other lanes may find out as well; the first that is awake starts it.
                drop(state);
                std::thread::sleep(wait);
                state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            }
        }
    }
}

impl State {
    fn note_end(&mut self, did_work: bool) {
        self.failures = if did_work { 1 } else { self.failures + 1 };
        let pause = FIRST_PAUSE * 2_u32.pow(self.failures.saturating_sub(1).min(10));
        self.start_at = Instant::now() + pause.min(MAX_PAUSE);
    }
}

impl Instance for Isolated {
    fn interface_version(&self) -> u32 {
        self.interface_version
    }

    fn call(&self, method: Method, request: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        match self.process()?.call(method, request)? {
            (ANSWERED, reply) => Ok(Some(reply)),
            (ABSENT, _) => Ok(None),
            (_, message) => {
                let message = String::from_utf8_lossy(&message).into_owned();
                Err(Error::Answer { method: method.name(), message })
            }
        }
    }
}

impl Drop for Isolated {
    fn drop(&mut self) {
        let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Some(process) = state.process.take() {
            process.close(Duration::from_millis(self.orders.shutdown_ms) + LEAVE);
        }
    }
}
