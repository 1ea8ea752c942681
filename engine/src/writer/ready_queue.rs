//! Tasks that are ready to be claimed, as far as this host knows.

use longshore_store::TaskKey;
use std::collections::BTreeSet;

/// Ready tasks by the time they became due, oldest first.
///
/// While the queue is *complete*, every due task of the database is in it, and claims ask the queue. Otherwise claims
/// ask the database, and the queue is empty.
#[derive(Debug)]
pub(super) struct ReadyQueue {
    /// Tasks that this host made ready and had no slot for. One that is not ready any more is passed over when it is
    /// met.
    known: BTreeSet<(i64, TaskKey)>,
    complete: bool,
    /// When the earliest task is due that was put back for later.
    next_due: Option<i64>,
}

impl ReadyQueue {
    /// The queue of a host that starts: the first claim asks the database, also for the next due time.
    pub(super) fn new(now: i64) -> Self {
        Self { known: BTreeSet::new(), complete: false, next_due: Some(now) }
    }

    pub(super) fn is_complete(&self) -> bool {
        self.complete
    }

    /// True when a task that becomes ready now would be the first to be claimed.
    pub(super) fn is_known_empty(&self) -> bool {
        self.complete && self.known.is_empty()
    }

    /// The database may have a due task that is not in the queue.
    pub(super) fn mark_incomplete(&mut self) {
        self.complete = false;
    }

    /// As [`ReadyQueue::mark_incomplete`], when a task that was put back is due by now.
    pub(super) fn mark_due(&mut self, now: i64) {
        if self.next_due.is_some_and(|due| due <= now) {
            self.complete = false;
        }
    }

    /// Every due task of the database was claimed; `next_due` is when the next one will be.
    pub(super) fn emptied(&mut self, next_due: Option<i64>) {
        (self.complete, self.next_due) = (true, next_due);
        self.known.clear();
    }

    /// Forgets everything: memory was wrong, or a transaction failed.
    pub(super) fn reset(&mut self) {
        self.known.clear();
        self.complete = false;
    }

    /// A task became ready.
    pub(super) fn push(&mut self, due: i64, key: TaskKey) {
        if self.complete {
            self.known.insert((due, key));
        }
    }

    /// A task that was pushed in this transaction was claimed by it.
    pub(super) fn remove(&mut self, due: i64, key: TaskKey) {
        self.known.remove(&(due, key));
    }

    pub(super) fn pop(&mut self) -> Option<TaskKey> {
        self.known.pop_first().map(|(_, key)| key)
    }

    /// A task was put back until `due`.
    pub(super) fn put_back(&mut self, due: i64) {
        self.next_due = Some(self.next_due.map_or(due, |next| next.min(due)));
    }

    /// When the earliest task is due that was put back.
    pub(super) fn next_due(&self) -> Option<i64> {
        self.next_due
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use longshore_store::RunId;

    #[test]
    fn a_task_that_becomes_ready_is_queued_only_while_the_queue_is_complete() {
        let key = TaskKey { run: RunId::new(), idx: 0 };
        let mut queue = ReadyQueue::new(0);
        queue.push(1, key);
        assert_eq!(queue.pop(), None, "the database is asked");
        queue.emptied(None);
        queue.push(1, key);
        assert_eq!(queue.pop(), Some(key));
    }

    #[test]
    fn a_task_that_was_put_back_makes_the_queue_incomplete_when_it_is_due() {
        let mut queue = ReadyQueue::new(0);
        queue.emptied(None);
        queue.put_back(20);
        queue.put_back(10);
        queue.mark_due(9);
        assert!(queue.is_complete());
        queue.mark_due(10);
        assert!(!queue.is_complete());
    }
}
