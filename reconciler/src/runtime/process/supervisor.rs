//! The host's side: a package whose process is started again when it ended.

use crate::error::Error;
use crate::runtime::instance::Instance;
use crate::runtime::process::frames::{ABSENT, ANSWERED};
use crate::runtime::process::process::{Process, locked};
use crate::runtime::process::spec::{ChildSpec, Crash, ProcessEvents, ResourceLimits};
use longshore_engine::Backoff;
use longshore_workflow_plugin::Method;
use longshore_workflow_plugin::wire::{StartTask, TaskRequest, Wire};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::runtime::Handle;

/// Pauses before a process is started again. Attempts wait for it meanwhile.
const RESTART_BACKOFF: Backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(5));

/// Time beyond its runtime's shutdown that a process gets to end.
const EXIT_GRACE: Duration = Duration::from_secs(1);

/// An instance in a process of its own.
pub(crate) struct Isolated {
    spec: ChildSpec,
    limits: ResourceLimits,
    runtime: Handle,
    events: Arc<dyn ProcessEvents>,
    interface_version: u32,
    state: Mutex<State>,
    /// Processes that execute one attempt each, by its lease: attempts that were lost together with others.
    apart: Arc<Mutex<HashMap<u64, Arc<Process>>>>,
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
        spec: ChildSpec,
        limits: ResourceLimits,
        runtime: Handle,
        events: Arc<dyn ProcessEvents>,
    ) -> Result<Self, Error> {
        let process = Process::start(&spec, &limits, &runtime, Arc::clone(&events))?;
        let interface_version = process.interface_version();
        let state = State { process: Some(process), failures: 0, start_at: Instant::now() };
        Ok(Self {
            spec,
            limits,
            runtime,
            events,
            interface_version,
            state: Mutex::new(state),
            apart: Arc::default(),
        })
    }

    /// The time a process gets to end.
    fn exit_timeout(&self) -> Duration {
        Duration::from_millis(self.spec.shutdown_ms) + EXIT_GRACE
    }

    /// Starts another process, and tells when that does not go well. The first start reports its error itself.
    fn start_process(&self) -> Result<Arc<Process>, Error> {
        let started = Process::start(&self.spec, &self.limits, &self.runtime, Arc::clone(&self.events));
        started.inspect_err(|error| {
            let (exit, report) = (error.full(), String::new());
            let cache_changed = matches!(error, Error::CacheChanged { .. });
            self.events.crashed(Crash { exit, report, attempts: 0, cache_changed });
        })
    }

    /// The process that has the attempt a request is about, when it is one apart.
    fn process_apart(&self, method: Method, request: &[u8]) -> Option<Arc<Process>> {
        let apart = locked(&self.apart);
        if method != Method::ExecuteTask || apart.is_empty() {
            return None;
        }
        match TaskRequest::decode(request) {
            Ok(TaskRequest::Cancel { lease } | TaskRequest::Resume { lease }) => apart.get(&lease).cloned(),
            _ => None,
        }
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
                match self.start_process() {
                    Ok(process) => state.process = Some(process),
                    Err(error) => {
                        state.note_end(false);
                        return Err(error);
                    }
                }
            } else {
                // Other lanes may be waiting as well; the first that wakes starts it.
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
        self.start_at = Instant::now() + RESTART_BACKOFF.pause(self.failures);
    }
}

impl Instance for Isolated {
    fn interface_version(&self) -> u32 {
        self.interface_version
    }

    fn call(&self, method: Method, request: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        let process = match self.process_apart(method, request) {
            Some(process) => process,
            None => self.process()?,
        };
        answer(&process, method, request)
    }

    fn start_alone(&self, request: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        let Ok(TaskRequest::Start(StartTask { lease, .. })) = TaskRequest::decode(request) else {
            return self.call(Method::ExecuteTask, request);
        };
        let process = self.start_process()?;
        locked(&self.apart).insert(lease, Arc::clone(&process));
        let answered = answer(&process, Method::ExecuteTask, request);
        let (apart, patience) = (Arc::clone(&self.apart), self.exit_timeout());
        self.runtime.spawn_blocking(move || {
            process.wait_until_idle();
            process.close(patience);
            locked(&apart).remove(&lease);
        });
        answered
    }
}

fn answer(process: &Process, method: Method, request: &[u8]) -> Result<Option<Vec<u8>>, Error> {
    match process.call(method, request)? {
        (ANSWERED, reply) => Ok(Some(reply)),
        (ABSENT, _) => Ok(None),
        (_, message) => {
            let message = String::from_utf8_lossy(&message).into_owned();
            Err(Error::Answer { method: method.name(), message })
        }
    }
}

impl Drop for Isolated {
    fn drop(&mut self) {
        let patience = self.exit_timeout();
        let process = self.state.get_mut().unwrap_or_else(PoisonError::into_inner).process.take();
        let apart: Vec<Arc<Process>> = locked(&self.apart).drain().map(|(_, process)| process).collect();
        for process in process.into_iter().chain(apart) {
            process.close(patience);
        }
    }
}
