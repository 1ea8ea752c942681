//! Transactions that the database refuses: what they contain is searched for the one that it is.

use super::Writer;
use super::search::Search;
use crate::model::attempt::{AttemptFailure, AttemptOutcome};
use longshore_store::{Error as StoreError, error_chain};

impl Writer {
    /// Takes out what the next transaction is not to contain.
    pub(super) fn hold_back(&mut self) {
        let limit = self.search.limit();
        let starts = self.starts.split_off(limit.min(self.starts.len()));
        let ended = self.ended.split_off((limit - self.starts.len()).min(self.ended.len()));
        (self.held_back.starts, self.held_back.ended) = (starts, ended);
    }

    /// Puts it back behind what is pending.
    pub(super) fn put_back_held(&mut self) {
        self.starts.append(&mut self.held_back.starts);
        self.ended.append(&mut self.held_back.ended);
    }

    /// Goes on with the search after the database refused a transaction. False when that is nobody's fault.
    pub(super) fn search_on(&mut self, error: &StoreError) -> bool {
        if !matches!(error, StoreError::Query { .. }) {
            return false;
        }
        let taken = self.starts.len() + self.ended.len();
        if self.search == Search::Alone && taken == 1 {
            self.search = Search::Off;
            self.refuse_first(error);
            return true;
        }
        let next = self.search.after_refusal(taken);
        self.search = next.unwrap_or(Search::Off);
        tracing::debug!(taken, search = ?self.search, "the database refuses something");
        next.is_some()
    }

    /// Refuses the only start or outcome that is pending.
    fn refuse_first(&mut self, error: &StoreError) {
        let message = error_chain(error);
        tracing::error!(code = error.code(), message, "the database refuses this one and no other");
        self.starts.drain(..).for_each(|start| start.refuse(error));
        for (_, outcome) in &mut self.ended {
            let message = format!("its outcome could not be recorded: {} {message}", error.code());
            *outcome = AttemptOutcome::Failed(AttemptFailure::permanent(message));
        }
    }
}
