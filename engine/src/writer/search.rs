//! Finds the one start or outcome that the database refuses: it must not keep all others from being recorded.
//!
//! A transaction that was refused is repeated with half of what it contained, and so on. The last one is refused only
//! when a transaction without it goes through: the fault may be the database's.

use super::command::PendingStart;
use super::lease_table::HeldLease;
use crate::model::attempt::AttemptOutcome;

/// What waits while others are tried.
#[derive(Default)]
pub(super) struct HeldBack {
    pub(super) starts: Vec<PendingStart>,
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
    pub(super) fn limit(self) -> usize {
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
