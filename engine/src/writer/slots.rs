//! Concurrency slots: each running attempt holds one, a deferred one gives it back.

use crate::model::attempt::LeaseId;
use std::collections::VecDeque;

/// The slots of a host.
#[derive(Debug)]
pub(super) struct Slots {
    total: usize,
    taken: usize,
    /// Deferred attempts that want a slot again, in order.
    waiters: VecDeque<LeaseId>,
}

impl Slots {
    pub(super) fn new(total: usize) -> Self {
        Self { total: total.max(1), taken: 0, waiters: VecDeque::new() }
    }

    /// Slots that nothing holds.
    pub(super) fn free(&self) -> usize {
        self.total.saturating_sub(self.taken)
    }

    pub(super) fn take(&mut self) {
        self.taken += 1;
    }

    pub(super) fn give_back(&mut self) {
        self.taken -= 1;
    }

    pub(super) fn wait(&mut self, lease: LeaseId) {
        self.waiters.push_back(lease);
    }

    /// The next waiter, when there is a free slot for it.
    pub(super) fn next_waiter(&mut self) -> Option<LeaseId> {
        if self.free() == 0 { None } else { self.waiters.pop_front() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_waiter_is_served_when_a_slot_is_free_and_in_order() {
        let mut slots = Slots::new(1);
        slots.take();
        slots.wait(LeaseId(1));
        slots.wait(LeaseId(2));
        assert_eq!(slots.next_waiter(), None);
        slots.give_back();
        assert_eq!(slots.next_waiter(), Some(LeaseId(1)));
        assert_eq!(slots.free(), 1, "whoever serves it takes the slot");
    }
}
