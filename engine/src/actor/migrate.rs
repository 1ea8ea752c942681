//! Open runs move to the next version of their workflow.

use super::Actor;
use crate::definition::WorkflowDef;
use longshore_store::{Error as StoreError, RunRow};
use std::sync::Arc;
use tokio::sync::oneshot;

/// What is asked for: the runs of a workflow that are pinned to a digest are to go on with another definition.
#[derive(Debug)]
pub(crate) struct Migration {
    pub(crate) from: String,
    pub(crate) to: Arc<WorkflowDef>,
    pub(crate) reply: oneshot::Sender<Result<u64, StoreError>>,
}

impl Actor {
    /// Moves runs, between two turns: nothing of them is being written. Attempts that are on their way end where they
    /// are; the next ones go to the new digest.
    pub(super) async fn migrate_runs(&mut self) {
        for Migration { from, to, reply } in std::mem::take(&mut self.migrations) {
            let moved = self.migrate(&from, &to).await;
            if moved.is_ok() {
                let of_workflow = |def: &WorkflowDef| def.digest == from && def.key() == to.key();
                for run in self.runs.values_mut().filter(|run| of_workflow(&run.def)) {
                    run.def = Arc::clone(&to);
                }
                self.may_be_ready = true;
            }
            // Whoever asked may have gone.
            let _ = reply.send(moved);
        }
    }

    async fn migrate(&self, from: &str, to: &WorkflowDef) -> Result<u64, StoreError> {
        let mut tx = self.store.begin().await?;
        let moved = RunRow::migrate(&mut tx, from, &to.key(), &to.digest, &to.version).await?;
        self.store.commit(tx).await?;
        Ok(moved)
    }
}
