//! Answers the nine methods.

use crate::attempts::{Attempts, Cancelled};
use crate::failure::{failure_of, full_text};
use crate::graphs;
use crate::index::IndexedTask;
use crate::interface::{LongshoreHost, Method, NAME_REQUEST};
use crate::invoke::{Attempt, Ended, poll_trigger, reply};
use crate::panics;
use crate::project;
use crate::shell::Shell;
use crate::signals::Signals;
use crate::wire::{
    PollReply, PollRequest, Reader, StartTask, TaskFailure, TaskReply, TaskRequest, Wire, WireError,
};
use longshore_workflow::Context;
use longshore_workflow::private::TriggerKind;
use serde_bytes::ByteBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;

/// The time that an attempt which looks out for its cancellation gets to stop by itself.
const STOP_GRACE: Duration = Duration::from_secs(4);

impl Shell {
    /// Answers a method. Every position of the vtable ends here.
    ///
    /// A request that does not decode is answered by the method's own form of failure, so that nothing
    /// unwinds into the vtable.
    pub fn call(&self, method: Method, request: Vec<u8>) -> Vec<u8> {
        if request == NAME_REQUEST {
            return method.name().into();
        }
        match method {
            Method::GetTaskMetadata => project::tasks(self.index, &self.package).encode(),
            Method::ExecuteTask => self.execute_task(request),
            Method::GetGraphMetadata => project::graphs(&self.index.bound_graphs).encode(),
            Method::ExecuteGraph => graphs::answer(self, &self.index.bound_graphs, &request),
            Method::GetReactorMetadata => project::reactors(self.index).encode(),
            Method::GetTriggerMetadata => project::triggers(self.index).encode(),
            Method::InvokeTriggerPoll => self.poll(&request),
            Method::GetTriggerlessGraphMetadata => project::graphs(&self.index.triggerless_graphs).encode(),
            Method::InvokeTriggerlessGraph => graphs::answer(self, &self.index.triggerless_graphs, &request),
        }
    }

    fn execute_task(&self, request: Vec<u8>) -> Vec<u8> {
        let mut reader = Reader::new(&request);
        let found = |found: bool| if found { TaskReply::Accepted } else { TaskReply::Unknown };
        match TaskRequest::take(&mut reader) {
            Ok(TaskRequest::Start(start)) => {
                let context_at = reader.position();
                self.start(start, request, context_at)
            }
            Ok(TaskRequest::Cancel { lease }) => reply(&found(self.cancel(lease)), &[]),
            Ok(TaskRequest::Resume { lease }) => reply(&found(self.attempts.resume(lease)), &[]),
            Err(error) => reply(&TaskReply::Failed(malformed(&error)), &[]),
        }
    }

    fn start(&self, start: StartTask, request: Vec<u8>, context_at: usize) -> Vec<u8> {
        let Some(task) = self.index.tasks.get(start.task as usize) else {
            return reply(&TaskReply::Unknown, &[]);
        };
        let context = match Context::from_frame(request, context_at) {
            Ok(context) => context,
            Err(error) => return reply(&TaskReply::Failed(failure_of(&error)), &[]),
        };
        let runtime = match self.runtime() {
            Ok(runtime) => runtime,
            Err(failure) => return reply(&TaskReply::Failed(failure), &[]),
        };
        if !start.detached {
            let attempt = Attempt { task: *task, start, context, host: &self.host, signals: None };
            let Ended { reply, callback } = attempt.run_here(runtime);
            callback.map(|callback| runtime.spawn(callback.call()));
            return reply;
        }
        self.spawn(*task, start, context, runtime);
        reply(&TaskReply::Accepted, &[])
    }

    /// Tells an attempt to stop. One that looks out for that has some time to, and is then ended at its next await. False
    /// when it is not running.
    fn cancel(&self, lease: u64) -> bool {
        match self.attempts.cancel(lease) {
            Cancelled::NotRunning => return false,
            Cancelled::Aborted => {}
            Cancelled::Requested => {
                let attempts = Arc::clone(&self.attempts);
                let later = async move {
                    tokio::time::sleep(STOP_GRACE).await;
                    attempts.abort(lease);
                };
                match self.runtime() {
                    Ok(runtime) => drop(runtime.spawn(later)),
                    Err(_) => self.attempts.abort(lease),
                }
            }
        }
        true
    }

    fn spawn(&self, task: IndexedTask, start: StartTask, context: Context, runtime: &Handle) {
        let lease = start.lease;
        let signals = Arc::new(Signals::default());
        self.attempts.enter(lease, Arc::clone(&signals));
        let (attempts, host) = (Arc::clone(&self.attempts), Arc::clone(&self.host));
        let watchdog = Arc::clone(&self.watchdog);
        let end = End { lease, attempts, host: Arc::clone(&host), outcome: None };
        let spawned = runtime.spawn(async move {
            // Dropped last: when it reports, nothing of the author's is left.
            let mut end = end;
            let deadline_ms = start.deadline_ms;
            let watch = (deadline_ms > 0).then(|| watchdog.watch(lease, Duration::from_millis(deadline_ms)));
            let attempt = Attempt { task, start, context, host: &host, signals: Some(signals) };
            // Guarded once more: author code that is dropped at its deadline may panic outside its own polls.
            let ended = match &watch {
                Some(watch) => panics::Guarded::new(lease, watch.around(attempt.run())).await,
                None => panics::Guarded::new(lease, attempt.run()).await,
            };
            let ended = ended.unwrap_or_else(|failure| Ended {
                reply: reply(&TaskReply::Failed(failure), &[]),
                callback: None,
            });
            drop(watch);
            end.outcome = Some(ended.reply);
            drop(end);
            // A task of its own: what aborts the attempt has nothing to do with it.
            ended.callback.map(|callback| tokio::spawn(callback.call()));
        });
        self.attempts.spawned(lease, spawned.abort_handle());
    }

    fn poll(&self, request: &[u8]) -> Vec<u8> {
        let (answer, patch) = self.poll_reply(request).unwrap_or_else(|failed| (failed, Vec::new()));
        let mut out = answer.encode();
        out.extend_from_slice(&patch);
        out
    }

    fn poll_reply(&self, request: &[u8]) -> Result<(PollReply, Vec<u8>), PollReply> {
        let request = PollRequest::decode(request).map_err(|e| PollReply::Failed(full_text(&e)))?;
        let trigger = self.index.triggers.get(request.trigger as usize);
        let poll = match trigger.map(|t| t.kind) {
            Some(TriggerKind::Poll { poll, .. }) => poll,
            Some(TriggerKind::Cron { .. } | TriggerKind::Reactor { .. }) => {
                return Err(PollReply::Failed("this trigger is not polled".into()));
            }
            None => return Err(PollReply::Failed(format!("no trigger has the index {}", request.trigger))),
        };
        let runtime = self.runtime().map_err(|failure| PollReply::Failed(failure.message))?;
        Ok(runtime.block_on(async { poll_trigger(poll(), request.deadline_ms).await }))
    }
}

/// Reports the end of an attempt when it is dropped: with its outcome, or as cancelled when it has none.
struct End {
    lease: u64,
    attempts: Arc<Attempts>,
    host: Arc<dyn LongshoreHost>,
    outcome: Option<Vec<u8>>,
}

impl Drop for End {
    fn drop(&mut self) {
        if self.attempts.leave(self.lease) {
            let outcome = self.outcome.take().unwrap_or_else(|| reply(&TaskReply::Cancelled, &[]));
            self.host.finished(self.lease, ByteBuf::from(outcome));
        }
    }
}

fn malformed(error: &WireError) -> TaskFailure {
    TaskFailure { message: format!("the request does not decode: {error}"), ..TaskFailure::default() }
}
