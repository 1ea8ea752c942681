//! Commands to the writer, and the inbox that takes them.

use crate::error::Error;
use crate::model::attempt::{AttemptOutcome, LeaseId};
use crate::model::definition::WorkflowDef;
use crate::port::packages::AttemptReports;
use longshore_store::{Digest, Error as StoreError, NewRun, RunId, RunState, error_chain};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// The answer to a start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Started {
    /// The run that was started, or that has the dedup key.
    pub run: RunId,
    /// True when it existed before.
    pub existing: bool,
}

/// A run to record.
#[derive(Debug)]
pub(crate) struct PendingStart {
    pub(crate) run: Box<NewRun>,
    pub(crate) def: Arc<WorkflowDef>,
    /// When it arrived, on the clock's uptime.
    pub(crate) since: Duration,
    /// A commit that contained it has an unknown end: the run may exist.
    pub(crate) uncertain: bool,
    pub(crate) reply: oneshot::Sender<Result<Started, Error>>,
}

impl PendingStart {
    /// Answers a start that is not tried again.
    pub(super) fn refuse(self, error: &StoreError) {
        let message = error_chain(error);
        let refused = if self.uncertain {
            Error::StartUnknown { run: self.run.id, message }
        } else {
            Error::NotRecorded {
                code: error.code(),
                message,
                fix: error.fix(),
                is_refusal: error.is_refusal(),
            }
        };
        let _ = self.reply.send(Err(refused));
    }
}

/// Runs of a workflow to move from a digest to another definition.
#[derive(Debug)]
pub(crate) struct Migration {
    pub(crate) from: Digest,
    pub(crate) to: Arc<WorkflowDef>,
    pub(crate) reply: oneshot::Sender<Result<u64, StoreError>>,
}

/// A command to the writer.
#[derive(Debug)]
pub(crate) enum Command {
    Start(PendingStart),
    Finished { lease: LeaseId, outcome: AttemptOutcome },
    ReleaseSlot { lease: LeaseId },
    ReclaimSlot { lease: LeaseId },
    ScanCancelled,
    Wake,
    AwaitRun { run: RunId, reply: oneshot::Sender<Option<RunState>> },
    CountInFlight { digest: Digest, reply: oneshot::Sender<usize> },
    Migrate(Migration),
    Shutdown { grace: Duration, reply: oneshot::Sender<()> },
}

/// The sending end of the writer's commands. Clones send to the same writer.
#[derive(Debug, Clone)]
pub(crate) struct Inbox(mpsc::UnboundedSender<Command>);

impl Inbox {
    /// An inbox and the commands it takes.
    pub(crate) fn new() -> (Self, mpsc::UnboundedReceiver<Command>) {
        let (sender, commands) = mpsc::unbounded_channel();
        (Self(sender), commands)
    }

    /// Sends a command.
    ///
    /// # Errors
    /// [`Error::Stopped`].
    pub(crate) fn send(&self, command: Command) -> Result<(), Error> {
        self.0.send(command).map_err(|_| Error::Stopped)
    }

    /// True when nobody takes commands any more.
    pub(crate) fn is_closed(&self) -> bool {
        self.0.is_closed()
    }

    /// Completes when nobody takes commands any more.
    pub(crate) async fn closed(&self) {
        self.0.closed().await;
    }

    /// Sends a command whose answer comes through `reply`, and waits for it.
    ///
    /// # Errors
    /// [`Error::Stopped`].
    pub(crate) async fn ask<T>(
        &self,
        command: impl FnOnce(oneshot::Sender<T>) -> Command,
    ) -> Result<T, Error> {
        let (reply, answer) = oneshot::channel();
        self.send(command(reply))?;
        answer.await.map_err(|_| Error::Stopped)
    }
}

impl AttemptReports for Inbox {
    fn finished(&self, lease: LeaseId, outcome: AttemptOutcome) {
        // An engine that has stopped has recorded what it knows; the attempt is recovered at the next start.
        let _ = self.send(Command::Finished { lease, outcome });
    }

    fn release_slot(&self, lease: LeaseId) {
        let _ = self.send(Command::ReleaseSlot { lease });
    }

    fn reclaim_slot(&self, lease: LeaseId) {
        let _ = self.send(Command::ReclaimSlot { lease });
    }
}
