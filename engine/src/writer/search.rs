//! Finds the one start or outcome that the database refuses: it must not keep all others from being recorded.
//!
//! A transaction that was refused is repeated with half of what it contained, and so on. The last one is refused only
//! when a transaction without it goes through: the fault may be another one.

use super::command::PendingStart;
use super::lease_table::HeldLease;
use crate::model::attempt::AttemptOutcome;
use longshore_store::{FencingToken, RunId, TaskKey};

/// Starts and outcomes that wait while others are tried.
#[derive(Default)]
pub(super) struct HeldBack {
    pub(super) starts: Vec<PendingStart>,
    pub(super) ended: Vec<(HeldLease, AttemptOutcome)>,
}

/// The start or outcome that may be refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Suspect {
    Start(RunId),
    Outcome(TaskKey, FencingToken),
}

/// The progress of a search.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Search {
    /// Nothing is searched for.
    Off,
    /// It is among so many, or behind them.
    Among(usize),
    /// It is this one, unless the database refuses everything: the next transaction has nothing of the kind.
    Without(Suspect),
    /// It is this one, when that is refused by itself.
    Alone(Suspect),
}

impl Search {
    /// The search after a transaction that went through.
    pub(super) fn after_success(self) -> Self {
        match self {
            Self::Off | Self::Alone(_) => Self::Off,
            Self::Among(limit) => limit.checked_mul(2).map_or(Self::Off, Self::Among),
            Self::Without(suspect) => Self::Alone(suspect),
        }
    }

    /// The search after a transaction with so many starts and outcomes was refused, the first of which is `first`; off
    /// when that is nobody's fault.
    pub(super) fn after_refusal(self, taken: usize, first: Option<Suspect>) -> Self {
        match (self, taken, first) {
            (Self::Off | Self::Among(_), 2.., _) => Self::Among(taken / 2),
            (Self::Off | Self::Among(_), 1, Some(first)) => Self::Without(first),
            _ => Self::Off,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_one_is_refused_only_when_the_database_takes_what_is_without_it() {
        let first = Suspect::Start(RunId::new());
        let search = Search::Off.after_refusal(5, Some(first));
        assert_eq!(search, Search::Among(2));
        assert_eq!(search.after_refusal(2, Some(first)), Search::Among(1));
        assert_eq!(Search::Among(1).after_refusal(1, Some(first)), Search::Without(first));
        assert_eq!(Search::Without(first).after_success(), Search::Alone(first));
        assert_eq!(Search::Without(first).after_refusal(0, None), Search::Off, "it refuses everything");
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
