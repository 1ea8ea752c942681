//! Attempts of this host: they are handed over, hold slots, and end.

use super::Writer;
use crate::model::attempt::{Attempt, AttemptOutcome, LeaseId};

impl Writer {
    pub(super) fn finished(&mut self, lease: LeaseId, outcome: AttemptOutcome) {
        if let Some(held) = self.leases.remove(lease) {
            if held.has_slot {
                self.slots.give_back();
            }
            self.ended.push((held, outcome));
        }
    }

    pub(super) fn release_slot(&mut self, lease: LeaseId) {
        if let Some(held) = self.leases.get_mut(lease)
            && std::mem::take(&mut held.has_slot)
        {
            self.slots.give_back();
        }
    }

    /// Gives free slots to deferred attempts first: they were there before anything that is claimed now.
    pub(super) fn grant_slots(&mut self) {
        while let Some(lease) = self.slots.next_waiter() {
            if let Some(held) = self.leases.get_mut(lease)
                && !held.has_slot
                && let Some(digest) = &held.digest
            {
                held.has_slot = true;
                self.slots.take();
                self.packages.resume(digest, lease);
            }
        }
    }

    /// Hands claimed attempts over. One that is refused is put back.
    pub(super) fn dispatch(&mut self, attempts: Vec<Attempt>) {
        if !attempts.is_empty() {
            self.batching.dispatched();
        }
        for attempt in attempts {
            let lease = attempt.lease;
            if let Err(refused) = self.packages.start(attempt) {
                self.finished(lease, AttemptOutcome::NeverBegan(refused.to_string()));
            }
        }
    }
}
