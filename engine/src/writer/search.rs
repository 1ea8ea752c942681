//! Finds the one start or outcome that the database refuses: it must not keep all others from being recorded.
//!
//! A transaction that was refused is repeated with half of what it contained, and so on. The last one is refused only
//! when a transaction without it goes through: the fault may be the database's.

use super::Writer;
use super::command::PendingStart;
use super::lease_table::HeldLease;
use crate::model::attempt::{AttemptFailure, AttemptOutcome};
use longshore_store::{Error as StoreError, error_chain};

/// What waits while others are tried.
#[derive(Default)]
pub(super) struct HeldBack {
    starts: Vec<PendingStart>,
    pub(super) ended: Vec<(HeldLease, AttemptOutcome)>,
}

/// How far the search is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Search {
    /// Nothing is searched for.
    Off,
    /// It is among so many, or behind them.
    Among(usize),
    /// It is the first one, unless the database refuses everything: the next transaction has none.
    Without,
    /// It is the first one, when that is refused once more.
    Alone,
}

impl Search {
    /// The number of starts and outcomes that the next transaction takes.
    fn limit(self) -> usize {
        match self {
            Self::Off => usize::MAX,
            Self::Among(limit) => limit,
            Self::Without => 0,
            Self::Alone => 1,
        }
    }

    /// The search after a transaction that went through.
    pub(super) fn after_success(self) -> Self {
        match self {
            Self::Off | Self::Alone => Self::Off,
            Self::Among(limit) => limit.checked_mul(2).map_or(Self::Off, Self::Among),
            Self::Without => Self::Alone,
        }
    }

    /// The search after a transaction with so many starts and outcomes was refused; none when that is nobody's fault.
    pub(super) fn after_refusal(self, taken: usize) -> Option<Self> {
        match (self, taken) {
            (Self::Off | Self::Among(_), 2..) => Some(Self::Among(taken / 2)),
            (Self::Off | Self::Among(_), 1) => Some(Self::Without),
            _ => None,
        }
    }
}

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
        super::refuse(std::mem::take(&mut self.starts), error);
        for (_, outcome) in &mut self.ended {
            let message = format!("its outcome could not be recorded: {} {message}", error.code());
            *outcome = AttemptOutcome::Failed(AttemptFailure::permanent(message));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_one_is_refused_only_when_the_database_takes_what_is_without_it() {
        let search = Search::Off.after_refusal(5).expect("it is among them");
        assert_eq!(search, Search::Among(2));
        assert_eq!(search.after_refusal(2), Some(Search::Among(1)));
        assert_eq!(Search::Among(1).after_refusal(1), Some(Search::Without));
        assert_eq!(Search::Without.after_success(), Search::Alone);
        assert_eq!(Search::Without.after_refusal(0), None, "the database refuses everything");
    }

    #[test]
    fn the_search_widens_while_nothing_is_refused_and_ends() {
        let mut search = Search::Among(1);
        for _ in 0..usize::BITS {
            search = search.after_success();
        }
        assert_eq!(search, Search::Off);
    }
}
