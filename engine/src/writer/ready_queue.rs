//! Tasks that are ready to be claimed, as far as this host knows.

use longshore_store::{QueueId, TaskKey};
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::ops::Bound;

/// Most tasks of one queue that are remembered: the rest is read from the database when its turn comes.
pub(super) const MAX_KNOWN: usize = 4096;

/// Ready tasks in the queues of their workflows, the oldest run of each first. Queues take turns, so that none waits
/// for the length of another.
///
/// While the lines are *complete*, every queue of the database that has claimable tasks has a line here; a line knows
/// the first of its tasks, and whether the database has more.
#[derive(Debug)]
pub(super) struct ReadyQueue {
    lines: BTreeMap<QueueId, Line>,
    /// The queue whose turn was last.
    last: Option<QueueId>,
    complete: bool,
    /// When the earliest task is due that was put back for later.
    next_due: Option<i64>,
}

/// The tasks of one queue.
#[derive(Debug, Default)]
struct Line {
    known: BTreeSet<TaskKey>,
    /// The database may have tasks after those that are known.
    more: bool,
}

/// The task or queue whose turn it is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// This task.
    Task(TaskKey),
    /// The first tasks of this queue are to be read from the database.
    Read(QueueId),
}

impl ReadyQueue {
    /// The queue of a host that starts: the first claim asks the database, also for the next due time.
    pub(super) fn new() -> Self {
        Self { lines: BTreeMap::new(), last: None, complete: false, next_due: Some(0) }
    }

    pub(super) fn is_complete(&self) -> bool {
        self.complete
    }

    /// True when a task that becomes ready now would be the first to be claimed.
    pub(super) fn is_known_empty(&self) -> bool {
        self.complete && self.lines.is_empty()
    }

    /// The database may have a claimable task that no line knows of.
    pub(super) fn mark_incomplete(&mut self) {
        self.complete = false;
    }

    /// The queues of the database that have claimable tasks, as far as they are loaded here.
    pub(super) fn discovered(&mut self, queues: impl IntoIterator<Item = QueueId>) {
        let unread = |queue| (queue, Line { known: BTreeSet::new(), more: true });
        self.lines = queues.into_iter().map(unread).collect();
        self.complete = true;
    }

    /// The first tasks of a queue, as the database has them; it may have more.
    pub(super) fn read(&mut self, queue: QueueId, tasks: Vec<TaskKey>, more: bool) {
        if tasks.is_empty() && !more {
            self.lines.remove(&queue);
        } else {
            self.lines.insert(queue, Line { known: tasks.into_iter().collect(), more });
        }
    }

    /// A task became ready.
    pub(super) fn push(&mut self, queue: QueueId, key: TaskKey) {
        if !self.complete {
            return;
        }
        let line = self.lines.entry(queue).or_default();
        let beyond = line.more && line.known.last().is_none_or(|last| *last < key);
        if !beyond {
            line.known.insert(key);
        }
        if line.known.len() > MAX_KNOWN {
            line.known.pop_last();
            line.more = true;
        }
    }

    /// A task that was pushed in this transaction was claimed by it.
    pub(super) fn remove(&mut self, queue: QueueId, key: TaskKey) {
        if let Some(line) = self.lines.get_mut(&queue) {
            line.known.remove(&key);
            if line.known.is_empty() && !line.more {
                self.lines.remove(&queue);
            }
        }
    }

    /// The next turn among the loaded queues; none when nothing is claimable. A queue that is not loaded any more is
    /// forgotten: when it comes back, the database is asked.
    pub(super) fn next(&mut self, loaded: &HashSet<QueueId>) -> Option<Turn> {
        loop {
            let after = self.last.map_or(Bound::Unbounded, Bound::Excluded);
            let next =
                self.lines.range((after, Bound::Unbounded)).next().or_else(|| self.lines.first_key_value());
            let queue = *next?.0;
            if !loaded.contains(&queue) {
                self.lines.remove(&queue);
                continue;
            }
            let line = self.lines.get_mut(&queue)?;
            let Some(key) = line.known.pop_first() else {
                if line.more {
                    return Some(Turn::Read(queue));
                }
                self.lines.remove(&queue);
                continue;
            };
            if line.known.is_empty() && !line.more {
                self.lines.remove(&queue);
            }
            self.last = Some(queue);
            return Some(Turn::Task(key));
        }
    }

    /// A task was put back until `due`.
    pub(super) fn put_back(&mut self, due: i64) {
        self.next_due = Some(self.next_due.map_or(due, |next| next.min(due)));
    }

    /// True when a task that was put back is due by now.
    pub(super) fn is_due(&self, now: i64) -> bool {
        self.next_due.is_some_and(|due| due <= now)
    }

    /// When the earliest task is due that was put back.
    pub(super) fn next_due(&self) -> Option<i64> {
        self.next_due
    }

    /// The database said when that is.
    pub(super) fn set_next_due(&mut self, due: Option<i64>) {
        self.next_due = due;
    }

    /// Forgets everything: memory was wrong, or a transaction failed.
    pub(super) fn reset(&mut self) {
        *self = Self { last: self.last, ..Self::new() };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use longshore_store::{Digest, RunId};

    fn queues<const N: usize>() -> [QueueId; N] {
        let mut queues: [QueueId; N] = std::array::from_fn(|n| {
            QueueId::of(&Digest::from_sha256([1; 32]), &"public".into(), &format!("flow-{n}"))
        });
        queues.sort();
        queues
    }

    fn key(idx: i64) -> TaskKey {
        static RUN: std::sync::OnceLock<RunId> = std::sync::OnceLock::new();
        TaskKey { run: *RUN.get_or_init(RunId::new), idx }
    }

    fn order(queue: &mut ReadyQueue, loaded: &[QueueId]) -> Vec<Turn> {
        let loaded = loaded.iter().copied().collect();
        let mut turns = Vec::new();
        while let Some(turn) = queue.next(&loaded) {
            let read = matches!(turn, Turn::Read(_));
            turns.push(turn);
            if read {
                break;
            }
        }
        turns
    }

    #[test]
    fn a_task_that_becomes_ready_is_remembered_only_while_the_lines_are_complete() {
        let [a] = queues();
        let mut queue = ReadyQueue::new();
        queue.push(a, key(1));
        assert_eq!(order(&mut queue, &[a]), [], "the database is asked");
        queue.discovered([]);
        queue.push(a, key(1));
        assert_eq!(order(&mut queue, &[a]), [Turn::Task(key(1))]);
        assert!(queue.is_known_empty());
    }

    #[test]
    fn queues_take_turns_and_the_oldest_run_of_each_comes_first() {
        let [a, b] = queues();
        let mut queue = ReadyQueue::new();
        queue.discovered([]);
        for idx in [3, 1, 2] {
            queue.push(a, key(idx));
        }
        queue.push(b, key(9));
        assert_eq!(order(&mut queue, &[a, b]), [1, 9, 2, 3].map(|idx| Turn::Task(key(idx))));
    }

    #[test]
    fn a_queue_that_is_not_loaded_is_passed_over() {
        let [a, b] = queues();
        let mut queue = ReadyQueue::new();
        queue.discovered([a, b]);
        queue.read(b, vec![key(1)], false);
        assert_eq!(order(&mut queue, &[b]), [Turn::Task(key(1))]);
    }

    #[test]
    fn what_comes_after_the_known_tasks_is_read_when_they_are_claimed() {
        let [a] = queues();
        let mut queue = ReadyQueue::new();
        queue.discovered([a]);
        assert_eq!(order(&mut queue, &[a]), [Turn::Read(a)]);
        queue.read(a, vec![key(1), key(3)], true);
        queue.push(a, key(2));
        queue.push(a, key(4));
        assert_eq!(
            order(&mut queue, &[a]),
            [1, 2, 3].map(|idx| Turn::Task(key(idx))).into_iter().chain([Turn::Read(a)]).collect::<Vec<_>>()
        );
        queue.read(a, Vec::new(), false);
        assert!(queue.is_known_empty());
    }

    #[test]
    fn a_long_line_forgets_its_end_and_says_so() {
        let [a] = queues();
        let mut queue = ReadyQueue::new();
        queue.discovered([]);
        for idx in 0..=MAX_KNOWN as i64 {
            queue.push(a, key(idx));
        }
        let turns = order(&mut queue, &[a]);
        assert_eq!(turns.len(), MAX_KNOWN + 1);
        assert_eq!(turns.last(), Some(&Turn::Read(a)));
    }
}
