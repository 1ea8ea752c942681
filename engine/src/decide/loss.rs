//! When an attempt that was lost is made again.

/// The pause before the second repetition, in milliseconds; doubles with each further loss.
const PAUSE_MS: i64 = 200;

/// Milliseconds until an attempt is made again that was lost `lost` times before this one. The first repetition
/// comes at once; later ones are spread by `draw`, uniform in `0.0..1.0`.
pub fn after_loss(lost: i64, draw: f64) -> i64 {
    if lost == 0 {
        return 0;
    }
    let full = PAUSE_MS << (lost - 1).clamp(0, 10);
    full / 2 + (full as f64 * draw.clamp(0.0, 1.0)) as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_repetition_comes_at_once_and_later_ones_apart() {
        assert_eq!(after_loss(0, 0.7), 0);
        assert_eq!((after_loss(1, 0.0), after_loss(1, 1.0)), (100, 300));
        assert_eq!((after_loss(3, 0.0), after_loss(3, 1.0)), (400, 1200));
    }
}
