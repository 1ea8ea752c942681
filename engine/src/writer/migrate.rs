//! Moves open runs to the next version of their workflow.

use super::Writer;
use super::command::Migration;
use crate::model::definition::WorkflowDef;
use longshore_store::{Digest, Error as StoreError, RunRow};

impl Writer {
    /// Moves runs, between two turns: nothing of them is being written. Running attempts end where they are; the next
    /// ones go to the new digest.
    pub(super) async fn migrate_runs(&mut self) {
        for Migration { from, to, reply } in std::mem::take(&mut self.migrations) {
            let moved = self.migrate(&from, &to).await;
            match &moved {
                Ok(_) => {
                    self.runs.redefine(&from, &to);
                    // Outcomes of theirs can be recorded now.
                    self.ended.append(&mut self.parked);
                }
                // They may have been moved all the same: what is true of them is read when it is needed.
                Err(_) => self.runs.forget_of(&from, &to),
            }
            self.ready.reset();
            // The caller may have gone.
            let _ = reply.send(moved);
        }
    }

    async fn migrate(&self, from: &Digest, to: &WorkflowDef) -> Result<u64, StoreError> {
        let mut tx = self.store.begin().await?;
        let workflow = (&to.tenant, to.name.as_str());
        let moved = RunRow::migrate(&mut tx, from, workflow, &to.digest, &to.version).await?;
        self.store.commit(tx).await?;
        Ok(moved)
    }
}
