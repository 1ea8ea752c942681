//! Transactions that the database refuses: what they contain is searched for the one that it is.

use super::Writer;
use super::search::{Search, Suspect};
use crate::model::attempt::{AttemptFailure, AttemptOutcome};
use longshore_store::{Error as StoreError, error_chain};

impl Writer {
    /// Takes out what the next transaction is not to contain.
    pub(super) fn hold_back(&mut self) {
        match self.search {
            Search::Off => {}
            Search::Among(limit) => {
                self.held_back.starts = self.starts.split_off(limit.min(self.starts.len()));
                let outcomes = (limit - self.starts.len()).min(self.ended.len());
                self.held_back.ended = self.ended.split_off(outcomes);
            }
            Search::Without(_) => {
                self.held_back.starts = std::mem::take(&mut self.starts);
                self.held_back.ended = std::mem::take(&mut self.ended);
            }
            Search::Alone(suspect) => {
                let starts = self.starts.extract_if(.., |start| suspect != Suspect::Start(start.run.id));
                self.held_back.starts = starts.collect();
                let ended = self.ended.extract_if(.., |(held, _)| {
                    suspect != Suspect::Outcome(held.lease.key, held.lease.token)
                });
                self.held_back.ended = ended.collect();
            }
        }
    }

    /// Puts it back behind what is pending.
    pub(super) fn put_back_held(&mut self) {
        self.starts.append(&mut self.held_back.starts);
        self.ended.append(&mut self.held_back.ended);
    }

    /// Goes on with the search after the database refused a transaction. False when that is nobody's fault.
    pub(super) fn search_on(&mut self, error: &StoreError) -> bool {
        if !error.is_refusal() {
            return false;
        }
        let taken = self.starts.len() + self.ended.len();
        if matches!(self.search, Search::Alone(_)) && taken == 1 {
            self.search = Search::Off;
            self.refuse_only(error);
            return true;
        }
        let outcome = self.ended.first().map(|(held, _)| Suspect::Outcome(held.lease.key, held.lease.token));
        let first = self.starts.first().map(|start| Suspect::Start(start.run.id)).or(outcome);
        self.search = self.search.after_refusal(taken, first);
        tracing::debug!(taken, search = ?self.search, "the database refuses something");
        self.search != Search::Off
    }

    /// Refuses the only start or outcome that is pending. An outcome is a failure instead; when that is refused too, it is
    /// given up, and its task is put back when claims are compared.
    fn refuse_only(&mut self, error: &StoreError) {
        let message = error_chain(error);
        tracing::error!(code = error.code(), message, "the database refuses this one and no other");
        self.starts.drain(..).for_each(|start| start.refuse(error));
        let refused = &mut self.refused;
        self.ended.retain_mut(|(held, outcome)| {
            let message = format!("its outcome could not be recorded: {} {message}", error.code());
            *outcome = AttemptOutcome::Failed(AttemptFailure::permanent(message));
            refused.insert((held.lease.key, held.lease.token))
        });
    }
}
