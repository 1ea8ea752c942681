//! Leases of the attempts that this host executes.

use crate::model::attempt::LeaseId;
use longshore_store::{Digest, Lease, TaskKey};
use std::collections::{BTreeSet, HashMap, HashSet};
use std::time::Duration;

/// The time beyond its limit that an attempt gets: the package ends it by its own clock, when a thread of its is free. An
/// isolated package is killed a little later.
const GRACE: Duration = Duration::from_millis(1500);

/// A lease with what is known of its attempt.
#[derive(Debug, Clone)]
pub(super) struct HeldLease {
    pub(super) lease: Lease,
    /// The digest that executes it; none for a stale claim of a dead host.
    pub(super) digest: Option<Digest>,
    pub(super) has_slot: bool,
    /// Its run was cancelled: its outcome is recorded as an attempt and nothing more.
    pub(super) cancelled: bool,
    /// The time that the attempt may take.
    pub(super) limit: Option<Duration>,
}

/// The leases that this host holds, by id.
#[derive(Debug)]
pub(super) struct LeaseTable {
    held: HashMap<LeaseId, HeldLease>,
    /// When, on the clock's uptime, attempts are overdue; also of some that have ended.
    deadlines: BTreeSet<(Duration, LeaseId)>,
    next: u64,
}

impl LeaseTable {
    pub(super) fn new() -> Self {
        Self { held: HashMap::new(), deadlines: BTreeSet::new(), next: 1 }
    }

    /// An id that no lease had before.
    pub(super) fn issue_id(&mut self) -> LeaseId {
        let id = LeaseId(self.next);
        self.next += 1;
        id
    }

    /// Enters a lease whose attempt is handed over at `now`.
    pub(super) fn insert(&mut self, id: LeaseId, held: HeldLease, now: Duration) {
        if let Some(limit) = held.limit {
            self.deadlines.insert((now.saturating_add(limit).saturating_add(GRACE), id));
        }
        self.held.insert(id, held);
    }

    /// Takes a lease out. A second report of the same lease finds nothing: only the first counts.
    pub(super) fn remove(&mut self, id: LeaseId) -> Option<HeldLease> {
        self.held.remove(&id)
    }

    /// When the next attempt is overdue.
    pub(super) fn next_deadline(&mut self) -> Option<Duration> {
        while let Some((at, id)) = self.deadlines.first() {
            if self.held.contains_key(id) {
                return Some(*at);
            }
            self.deadlines.pop_first();
        }
        None
    }

    /// Attempts that are overdue. Each is told once.
    pub(super) fn overdue(&mut self, now: Duration) -> Vec<LeaseId> {
        let mut overdue = Vec::new();
        while self.next_deadline().is_some_and(|at| at <= now) {
            overdue.extend(self.deadlines.pop_first().map(|(_, id)| id));
        }
        overdue
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
