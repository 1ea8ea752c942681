//! Leases: what a claim of a task gives.

use crate::ids::{FencingToken, HostId};
use crate::keys::TaskKey;

/// The claimer of tasks and the time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claim {
    /// The host.
    pub host: HostId,
    /// The token of every lease that this claim gives.
    pub token: FencingToken,
    /// The time of the transaction.
    pub now: i64,
}

/// Attempts of a task that ended because their host or process died.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Losses {
    /// All of them.
    pub total: i64,
    /// Those since an attempt last held up that had others beside them.
    pub together: i64,
    /// Those since an attempt last held up that were alone: what nobody else can have caused.
    pub alone: i64,
}

/// A task that a host holds until it commits an outcome.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// The task.
    pub key: TaskKey,
    /// The token that ends it.
    pub token: FencingToken,
    /// The host that holds it.
    pub host: HostId,
    /// From 1.
    pub attempt: i64,
    /// Attempts before this one that were lost.
    pub losses: Losses,
    /// Dependencies whose failure keeps the default rule from holding.
    pub upstream_failed: i64,
    /// When it was claimed.
    pub started_at: i64,
}

impl Claim {
    /// The first lease of a task: no attempt of it was lost.
    pub fn lease(self, key: TaskKey, attempt: i64, upstream_failed: i64) -> Lease {
        let Self { host, token, now } = self;
        Lease { key, token, host, attempt, losses: Losses::default(), upstream_failed, started_at: now }
    }
}
