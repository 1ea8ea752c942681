//! Leases of the attempts that this host executes.

use crate::model::attempt::LeaseId;
use longshore_store::{Digest, Lease, TaskKey};
use std::collections::{HashMap, HashSet};

/// A lease with what is known of its attempt.
#[derive(Debug, Clone)]
pub(super) struct HeldLease {
    pub(super) lease: Lease,
    /// The digest that executes it; none for a stale claim of a dead host.
    pub(super) digest: Option<Digest>,
    pub(super) has_slot: bool,
    /// Its run was cancelled: its outcome is recorded as an attempt and nothing more.
    pub(super) cancelled: bool,
}

/// The leases that this host holds, by id.
#[derive(Debug)]
pub(super) struct LeaseTable {
    held: HashMap<LeaseId, HeldLease>,
    next: u64,
}

impl LeaseTable {
    pub(super) fn new() -> Self {
        Self { held: HashMap::new(), next: 1 }
    }

    /// An id that no lease had before.
    pub(super) fn issue_id(&mut self) -> LeaseId {
        let id = LeaseId(self.next);
        self.next += 1;
        id
    }

    pub(super) fn insert(&mut self, id: LeaseId, held: HeldLease) {
        self.held.insert(id, held);
    }

    /// Takes a lease out. A second report of the same lease finds nothing: only the first counts.
    pub(super) fn remove(&mut self, id: LeaseId) -> Option<HeldLease> {
        self.held.remove(&id)
    }

    pub(super) fn get_mut(&mut self, id: LeaseId) -> Option<&mut HeldLease> {
        self.held.get_mut(&id)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &HeldLease> {
        self.held.values()
    }

    pub(super) fn count_of(&self, digest: &Digest) -> usize {
        self.held.values().filter(|held| held.digest.as_ref() == Some(digest)).count()
    }

    /// Every lease with the digest that executes it.
    pub(super) fn executing(&self) -> impl Iterator<Item = (LeaseId, &Digest)> {
        self.held.iter().filter_map(|(id, held)| Some((*id, held.digest.as_ref()?)))
    }

    /// Marks leases as cancelled, and returns them with the digests that execute them.
    pub(super) fn cancel(&mut self, keys: &[TaskKey]) -> Vec<(LeaseId, Digest)> {
        if keys.is_empty() {
            return Vec::new();
        }
        let keys: HashSet<&TaskKey> = keys.iter().collect();
        let mut cancelled = Vec::new();
        for (id, held) in self.held.iter_mut().filter(|(_, held)| keys.contains(&held.lease.key)) {
            held.cancelled = true;
            cancelled.extend(held.digest.clone().map(|digest| (*id, digest)));
        }
        cancelled
    }
}
