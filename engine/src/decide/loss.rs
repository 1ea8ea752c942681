//! Attempts that were lost with their host or process: which of them caused it, and when they are made again.
//!
//! A process that dies takes all its attempts with it, and most of them are innocent. So a loss counts against a task
//! only when it was alone there. Tasks that are lost together again and again are executed one at a time, apart from
//! the others, until it shows which of them it is.

use crate::backoff::Backoff;
use longshore_store::Losses;
use std::time::Duration;

/// Losses together with others after which a task is executed alone.
const MAX_TOGETHER: i64 = 2;

/// Losses alone after which a task is given up.
const MAX_ALONE: i64 = 5;

/// An attempt that lived so long held up: what ended it came from outside.
const HELD_UP_MS: i64 = 10 * 60 * 1000;

/// Pauses before later repetitions: attempts that were lost together are tried again apart.
const LOSS_BACKOFF: Backoff = Backoff::new(Duration::from_millis(300), Duration::from_secs(300));

/// The losses of a task that lost another attempt, which had lived for `lived_ms`.
pub fn after_loss(before: Losses, alone: bool, lived_ms: i64) -> Losses {
    let total = before.total + 1;
    if lived_ms >= HELD_UP_MS {
        return Losses { total, ..Losses::default() };
    }
    Losses { total, together: before.together + i64::from(!alone), alone: before.alone + i64::from(alone) }
}

/// Milliseconds until an attempt is made again whose task had lost `before`. The first repetition comes at once; later
/// ones are spread by `draw`, uniform in `0.0..1.0`.
pub fn pause_after_loss(before: Losses, draw: f64) -> i64 {
    let failures = u32::try_from(before.together + before.alone).unwrap_or(u32::MAX);
    LOSS_BACKOFF.jittered(failures, draw).as_millis() as i64
}

/// True when a task is to be executed where nothing else is.
pub fn runs_alone(losses: Losses) -> bool {
    losses.together >= MAX_TOGETHER || losses.alone > 0
}

/// True when a task is given up: it ended its host or process again and again, with nobody else there.
pub fn is_poison(losses: Losses) -> bool {
    losses.alone >= MAX_ALONE
}

/// Of the tasks that a dead host executed, the one that may have caused its end: the only one there was, or the only
/// one of those that were to be executed apart.
pub fn suspect(losses: &[Losses]) -> Option<usize> {
    if losses.len() == 1 {
        return Some(0);
    }
    let mut apart = losses.iter().enumerate().filter(|(_, losses)| runs_alone(**losses));
    let (place, _) = apart.next()?;
    apart.next().is_none().then_some(place)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: i64 = 60_000;

    fn lost(together: i64, alone: i64) -> Losses {
        Losses { total: together + alone, together, alone }
    }

    #[test]
    fn the_first_repetition_comes_at_once_and_later_ones_apart() {
        assert_eq!(pause_after_loss(lost(0, 0), 0.7), 0);
        assert_eq!((pause_after_loss(lost(1, 0), 0.0), pause_after_loss(lost(0, 1), 1.0)), (150, 300));
        assert_eq!((pause_after_loss(lost(1, 2), 0.0), pause_after_loss(lost(3, 0), 1.0)), (600, 1200));
    }

    #[test]
    fn losses_together_never_give_a_task_up_and_losses_alone_do() {
        let together = (0..100).fold(lost(0, 0), |before, _| after_loss(before, false, MINUTE));
        assert!(runs_alone(together) && !is_poison(together));
        let alone = (0..5).fold(together, |before, _| after_loss(before, true, MINUTE));
        assert!(is_poison(alone));
    }

    #[test]
    fn an_attempt_that_lived_long_clears_its_task() {
        let after = after_loss(lost(3, 4), true, 10 * MINUTE);
        assert_eq!(after, Losses { total: 8, together: 0, alone: 0 });
    }

    #[test]
    fn the_suspect_is_the_only_one_or_the_only_one_that_was_to_be_apart() {
        let fresh = lost(1, 0);
        assert_eq!(suspect(&[]), None);
        assert_eq!(suspect(&[fresh]), Some(0));
        assert_eq!(suspect(&[fresh, fresh]), None);
        assert_eq!(suspect(&[fresh, lost(2, 0), fresh]), Some(1));
        assert_eq!(suspect(&[lost(2, 0), lost(2, 0)]), None);
    }
}
