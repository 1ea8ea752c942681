//! Attempts of this host: they are handed over, hold slots, and end.

use super::Writer;
use super::lease_table::HeldLease;
use crate::model::attempt::{Attempt, AttemptFailure, AttemptOutcome, LeaseId};

impl Writer {
    pub(super) fn finished(&mut self, lease: LeaseId, outcome: AttemptOutcome) {
        if let Some(held) = self.leases.remove(lease) {
            if held.has_slot {
                self.slots.give_back();
            }
            self.ended.push((held, outcome));
        }
    }

    /// Ends attempts that are overdue and do not report: their code blocks its thread.
    pub(super) fn end_overdue(&mut self) {
        for lease in self.leases.overdue(self.clock.uptime()) {
            let Some(HeldLease { digest: Some(digest), limit: Some(limit), .. }) = self.leases.get_mut(lease)
            else {
                continue;
            };
            self.packages.cancel(digest, lease);
            let message = format!(
                "timed out after {} ms; its code has not returned, and holds its thread until it does or its process is killed",
                limit.as_millis()
            );
            let failure = AttemptFailure { message, timed_out: true, ..AttemptFailure::default() };
            self.finished(lease, AttemptOutcome::Failed(failure));
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
