//! When a cron trigger fires.

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};

/// Most missed fires that are counted: a trigger of every second after a year away is not worth 31 million.
const MAX_COUNTED: u64 = 10_000;

/// A parsed cron expression in its zone.
///
/// Daylight saving time: a fixed time that a forward jump leaves out fires at the first instant after the
/// gap; one that a backward jump repeats fires once, at its first occurrence.
#[derive(Debug, Clone)]
pub struct Schedule {
    cron: Cron,
    zone: Tz,
}

/// An expression or a zone that does not read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadSchedule {
    /// The expression.
    #[error("`{expression}` is not a cron expression: {message}")]
    Expression {
        /// As written.
        expression: String,
        /// The fault.
        message: String,
    },
    /// The zone.
    #[error("`{zone}` is not an IANA time zone")]
    Zone {
        /// As written.
        zone: String,
    },
}

/// The fires that are due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fire {
    /// The instant to fire for: the latest one due.
    pub instant: i64,
    /// Earlier instants that passed while nobody looked.
    pub missed: u64,
    /// The next instant after now, none when there never is one.
    pub next: Option<i64>,
}

impl Schedule {
    /// Parses an expression of five to seven fields and an IANA zone.
    ///
    /// # Errors
    /// [`BadSchedule`].
    pub fn parse(expression: &str, zone: &str) -> Result<Self, BadSchedule> {
        let parser = CronParser::builder().seconds(Seconds::Optional).year(Year::Optional).build();
        let cron = parser.parse(expression).map_err(|e| BadSchedule::Expression {
            expression: expression.to_owned(),
            message: e.to_string(),
        })?;
        let zone = if zone.is_empty() { "UTC" } else { zone };
        let zone = zone.parse().map_err(|_| BadSchedule::Zone { zone: zone.to_owned() })?;
        Ok(Self { cron, zone })
    }

    /// The first instant after `after`, in milliseconds since 1970.
    pub fn next_after(&self, after: i64) -> Option<i64> {
        let after: DateTime<Utc> = DateTime::from_timestamp_millis(after)?;
        let next = self.cron.find_next_occurrence(&after.with_timezone(&self.zone), false).ok()?;
        Some(next.timestamp_millis())
    }

    /// The fire that is due at `now`, when `next` was the next instant as last recorded; none when nothing is.
    ///
    /// Instants that were missed while no host ran are fired once, for the latest of them.
    pub fn due(&self, next: i64, now: i64) -> Option<Fire> {
        if next > now {
            return None;
        }
        let (mut instant, mut missed) = (next, 0);
        while let Some(later) = self.next_after(instant).filter(|later| *later <= now) {
            instant = later;
            missed += 1;
            if missed >= MAX_COUNTED {
                break;
            }
        }
        Some(Fire { instant, missed, next: self.next_after(now) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(text: &str) -> i64 {
        DateTime::parse_from_rfc3339(text).expect("a time").timestamp_millis()
    }

    fn after(expression: &str, zone: &str, start: &str, count: usize) -> Vec<String> {
        let schedule = Schedule::parse(expression, zone).expect("a schedule");
        let mut now = at(start);
        let next = |_| {
            now = schedule.next_after(now).expect("fires");
            DateTime::from_timestamp_millis(now)
                .expect("a time")
                .to_rfc3339_opts(chrono::SecondsFormat::Secs, true)
        };
        (0..count).map(next).collect()
    }

    #[test]
    fn a_gap_of_daylight_saving_fires_once() {
        // Berlin skipped 02:00 to 03:00 on 2024-03-31.
        let fires = after("30 2 * * *", "Europe/Berlin", "2024-03-30T12:00:00Z", 2);
        assert_eq!(fires, ["2024-03-31T01:00:00Z", "2024-04-01T00:30:00Z"]);
    }

    #[test]
    fn an_hour_that_comes_twice_fires_once() {
        // Berlin repeated 02:00 to 03:00 on 2024-10-27.
        let fires = after("30 2 * * *", "Europe/Berlin", "2024-10-26T12:00:00Z", 2);
        assert_eq!(fires, ["2024-10-27T00:30:00Z", "2024-10-28T01:30:00Z"]);
    }

    #[test]
    fn missed_fires_are_made_up_for_once() {
        let schedule = Schedule::parse("0 * * * *", "UTC").expect("hourly");
        let fire = schedule.due(at("2024-01-01T01:00:00Z"), at("2024-01-01T04:30:00Z")).expect("due");
        let expected =
            Fire { instant: at("2024-01-01T04:00:00Z"), missed: 3, next: Some(at("2024-01-01T05:00:00Z")) };
        assert_eq!(fire, expected);
        assert_eq!(schedule.due(at("2024-01-01T05:00:00Z"), at("2024-01-01T04:30:00Z")), None);
    }

    #[test]
    fn a_schedule_that_never_fires_again_says_so() {
        let schedule = Schedule::parse("0 0 0 1 1 * 2020", "UTC").expect("seven fields");
        assert_eq!(schedule.next_after(at("2024-01-01T00:00:00Z")), None);
    }

    proptest! {
        #[test]
        fn fires_always_move_forward(start in 0_i64..4_000_000_000_000, minutes in 1_u32..59) {
            let schedule = Schedule::parse(&format!("*/{minutes} * * * *"), "America/New_York").expect("a schedule");
            let first = schedule.next_after(start).expect("fires");
            let second = schedule.next_after(first).expect("fires");
            prop_assert!(start < first && first < second);
        }
    }
}
