//! Runs a task, polls a trigger, calls a graph.

use crate::attempts::Attempts;
use crate::callback::Callback;
use crate::failure::{failure_of, full_text};
use crate::index::IndexedTask;
use crate::interface::LongshoreHost;
use crate::panics::{Guarded, guarded};
use crate::signals::Signals;
use crate::watchdog::Overdue;
use crate::wire::{PollReply, RetryAdvice, StartTask, TaskFailure, TaskReply, Wire};
use longshore_workflow::private::{EntryFuture, Slot};
use longshore_workflow::{Context, RetryHint, TaskError, TaskHandle, TriggerError, TriggerResult};
use serde_bytes::ByteBuf;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};
use tokio::runtime::{Handle, RuntimeFlavor};

/// A reply with its payload: what `execute_task` returns and `finished` carries.
pub(crate) fn reply(reply: &TaskReply, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(1 + payload.len());
    reply.put(&mut out);
    out.extend_from_slice(payload);
    out
}

/// One attempt, ready to be polled.
pub(crate) struct Attempt<'h> {
    pub(crate) task: IndexedTask,
    pub(crate) start: StartTask,
    pub(crate) context: Context,
    pub(crate) host: &'h Arc<dyn LongshoreHost>,
    /// What it is told while it runs; none for one that is called and not detached.
    pub(crate) signals: Option<Arc<Signals>>,
}

/// An attempt that ended: its reply, and what is called once that was given.
pub(crate) struct Ended {
    pub(crate) reply: Vec<u8>,
    pub(crate) callback: Option<Callback>,
}

impl Attempt<'_> {
    /// Runs the task to its end on this thread.
    ///
    /// Nothing but the pinned future of the entry is polled: what an async block would hold is moved each time
    /// such a block is passed on, and with a context in it that is most of what a short call costs.
    pub(crate) fn run_here(mut self, runtime: &Handle) -> Ended {
        let mut handle = self.handle();
        let task = self.task.guarded(&self.start, &mut self.context, handle.as_mut());
        let outcome = match self.start.deadline_ms {
            0 => block_on(runtime, task),
            deadline_ms => block_on(runtime, within(deadline_ms, task)),
        };
        self.end(outcome)
    }

    /// Runs the task to its end. Panics and the deadline end it as failures.
    pub(crate) async fn run(mut self) -> Ended {
        let mut handle = self.handle();
        let task = self.task.guarded(&self.start, &mut self.context, handle.as_mut());
        let outcome = match self.start.deadline_ms {
            0 => task.await,
            deadline_ms => within(deadline_ms, task).await,
        };
        self.end(outcome)
    }

    fn end(self, outcome: Result<TaskResult, TaskFailure>) -> Ended {
        let lease = self.start.lease;
        let is_cancelled = self.signals.as_ref().is_some_and(|signals| signals.is_cancelled());
        if is_cancelled && matches!(outcome, Ok(Err(_))) {
            // It stopped because it was told to: that is not a failure of the task.
            return Ended { reply: reply(&TaskReply::Cancelled, &[]), callback: None };
        }
        // A success whose changes do not fit is a failure. Serializing them is author code too.
        let changes = || self.context.patch().map_err(|error| failure_of(&error));
        let (outcome, patch) = match outcome {
            Ok(Ok(())) => match guarded(lease, changes).and_then(|patch| patch) {
                Ok(patch) => (Ok(Ok(())), patch),
                Err(failure) => (Err(failure), Vec::new()),
            },
            other => (other, Vec::new()),
        };
        let reply = reply_of(lease, &outcome, &patch);
        Ended { reply, callback: Callback::after(self.task.entry, &self.start, outcome, self.context) }
    }

    /// The handle of a task that takes one.
    fn handle(&self) -> Option<TaskHandle> {
        if !self.task.entry.requires_handle {
            return None;
        }
        let (lease, host, signals) = (self.start.lease, Arc::clone(self.host), self.signals.clone());
        let slot = HostSlot { lease, host, signals };
        let run = hyphenated(&self.start.run);
        Some(TaskHandle::new(format!("{run}/{}", self.task.entry.id), Arc::new(slot)))
    }
}

impl IndexedTask {
    fn guarded<'a>(
        &self,
        start: &StartTask,
        context: &'a mut Context,
        handle: Option<&'a mut TaskHandle>,
    ) -> Guarded<EntryFuture<'a, TaskResult>> {
        Guarded::new(start.lease, (self.entry.run)(context, handle))
    }
}

/// The result of a task.
type TaskResult = Result<(), TaskError>;

/// A task under its deadline. Code that blocks its thread is not interrupted: it ends late, whatever it says then.
async fn within(
    deadline_ms: u64,
    task: impl Future<Output = Result<TaskResult, TaskFailure>>,
) -> Result<TaskResult, TaskFailure> {
    let (limit, began) = (Duration::from_millis(deadline_ms), Instant::now());
    match tokio::time::timeout(limit, task).await {
        Ok(outcome) if began.elapsed() <= limit => outcome,
        _ => Err(timed_out(deadline_ms)),
    }
}

/// The reply of a task that ended, with what it changed, or with its advice on retries. The text of an error is author
/// code too.
fn reply_of(lease: u64, outcome: &Result<TaskResult, TaskFailure>, patch: &[u8]) -> Vec<u8> {
    let told = match outcome {
        Ok(Ok(())) => return reply(&TaskReply::Done, patch),
        Ok(Err(error)) => guarded(lease, || (failure_of(error), error.retry_hint().map(advice))),
        Err(failure) => Ok((failure.clone(), None)),
    };
    let (failure, advice) = told.unwrap_or_else(|panic| (panic, None));
    reply(&TaskReply::Failed(failure), &advice.map(|advice| advice.encode()).unwrap_or_default())
}

fn advice(hint: RetryHint) -> RetryAdvice {
    match hint {
        RetryHint::Never => RetryAdvice { permanent: true, retry_after_ms: 0 },
        RetryHint::After(delay) => {
            let retry_after_ms = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX).max(1);
            RetryAdvice { permanent: false, retry_after_ms }
        }
    }
}

fn timed_out(deadline_ms: u64) -> TaskFailure {
    TaskFailure {
        message: format!("timed out after {deadline_ms} ms"),
        timed_out: true,
        ..TaskFailure::default()
    }
}

/// Reports an attempt that goes on after its deadline as timed out, whatever it does still, and tells it to stop at its next
/// await. Its end is not reported again.
pub(crate) fn report_overdue(attempts: &Attempts, host: &dyn LongshoreHost, overdue: Overdue) {
    if attempts.expel(overdue.lease) {
        host.finished(overdue.lease, ByteBuf::from(overdue_reply(overdue)));
    }
}

/// The reply of an attempt that goes on after its deadline. One that holds its thread is not tried again: it would hold
/// another one.
fn overdue_reply(overdue: Overdue) -> Vec<u8> {
    let failure = timed_out(overdue.deadline.as_millis() as u64);
    let (why, advice) = if overdue.holds_thread {
        let advice = RetryAdvice { permanent: true, retry_after_ms: 0 };
        ("goes on: its thread is held until its code returns", advice.encode())
    } else {
        ("waits for a thread: other code of its package holds them", Vec::new())
    };
    let message = format!("{}, and {why}", failure.message);
    reply(&TaskReply::Failed(TaskFailure { message, ..failure }), &advice)
}

/// A run id the way it is written everywhere else.
fn hyphenated(id: &[u8; 16]) -> String {
    let hex: String = id.iter().map(|byte| format!("{byte:02x}")).collect();
    [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
}

/// Polls a future on this thread until it is ready, inside the runtime.
///
/// Most calls are ready at the first poll: that one is made without the runtime's machinery for parking. A
/// program may call from a task of its own runtime, which must not be blocked without a word.
pub(crate) fn block_on<T: Send>(runtime: &Handle, future: impl Future<Output = T> + Send) -> T {
    let mut future = pin!(future);
    {
        let _inside = runtime.enter();
        let mut cx = std::task::Context::from_waker(Waker::noop());
        if let Poll::Ready(value) = future.as_mut().poll(&mut cx) {
            return value;
        }
    }
    match Handle::try_current().map(|handle| handle.runtime_flavor()) {
        Err(_) => runtime.block_on(future),
        Ok(RuntimeFlavor::MultiThread) => tokio::task::block_in_place(|| runtime.block_on(future)),
        Ok(_) => std::thread::scope(|scope| {
            let ended = scope.spawn(|| runtime.block_on(future)).join();
            ended.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        }),
    }
}

/// Polls a trigger to its reply and the context's patch.
pub(crate) async fn poll_trigger(
    future: EntryFuture<'static, Result<TriggerResult, TriggerError>>,
    deadline_ms: u64,
) -> (PollReply, Vec<u8>) {
    // A poll has no lease; panics are noted under a number that no attempt has.
    let guarded = Guarded::new(u64::MAX, future);
    let result = tokio::time::timeout(Duration::from_millis(deadline_ms), guarded).await;
    let fired = match result {
        Err(_) => return (PollReply::Failed(timed_out(deadline_ms).message), Vec::new()),
        Ok(Err(failure)) => return (PollReply::Failed(failure.message), Vec::new()),
        Ok(Ok(Err(error))) => return (PollReply::Failed(full_text(&error)), Vec::new()),
        Ok(Ok(Ok(fired))) => fired,
    };
    match fired {
        TriggerResult::Skip => (PollReply::Skip, Vec::new()),
        TriggerResult::Fire(context) => match context.map(|c| c.patch()).transpose() {
            Ok(patch) => (PollReply::Fire, patch.unwrap_or_default()),
            Err(error) => (PollReply::Failed(full_text(&error)), Vec::new()),
        },
    }
}

/// The concurrency slot of an attempt, held by the host.
struct HostSlot {
    lease: u64,
    host: Arc<dyn LongshoreHost>,
    signals: Option<Arc<Signals>>,
}

impl Slot for HostSlot {
    fn release(&self) -> EntryFuture<'_, Result<(), TaskError>> {
        Box::pin(async { self.host.release_slot(self.lease).map_err(|e| TaskError::failed(e.message)) })
    }

    fn reclaim(&self) -> EntryFuture<'_, Result<(), TaskError>> {
        Box::pin(async {
            let held = self.host.reclaim_slot(self.lease).map_err(|e| TaskError::failed(e.message))?;
            if let Some(signals) = self.signals.as_ref().filter(|_| !held) {
                signals.resumed().await;
            }
            Ok(())
        })
    }

    fn sleep(&self, duration: Duration) -> EntryFuture<'_, ()> {
        Box::pin(tokio::time::sleep(duration))
    }

    fn is_cancelled(&self) -> bool {
        self.signals.as_ref().is_some_and(|signals| signals.observe_cancelled())
    }

    fn cancelled(&self) -> EntryFuture<'_, ()> {
        Box::pin(async {
            match &self.signals {
                Some(signals) => signals.cancelled().await,
                None => std::future::pending().await,
            }
        })
    }
}

/// Runs a blocking node where the other tasks of a runtime do not wait for it.
pub(crate) fn run_blocking(work: &mut (dyn FnMut() + Send)) {
    match Handle::try_current().map(|handle| handle.runtime_flavor()) {
        Ok(RuntimeFlavor::MultiThread) => tokio::task::block_in_place(work),
        _ => work(),
    }
}
