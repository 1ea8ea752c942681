//! When an attempt that was lost is made again.

use crate::backoff::Backoff;
use std::time::Duration;

/// Pauses before later repetitions: attempts that were lost together are tried again apart.
const LOSS_BACKOFF: Backoff = Backoff::new(Duration::from_millis(300), Duration::from_secs(300));

/// Milliseconds until an attempt is made again that was lost `lost` times before this one. The first repetition
/// comes at once; later ones are spread by `draw`, uniform in `0.0..1.0`.
pub fn after_loss(lost: i64, draw: f64) -> i64 {
    let failures = u32::try_from(lost).unwrap_or(u32::MAX);
    LOSS_BACKOFF.jittered(failures, draw).as_millis() as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_repetition_comes_at_once_and_later_ones_apart() {
        assert_eq!(after_loss(0, 0.7), 0);
        assert_eq!((after_loss(1, 0.0), after_loss(1, 1.0)), (150, 300));
        assert_eq!((after_loss(3, 0.0), after_loss(3, 1.0)), (600, 1200));
    }
}
