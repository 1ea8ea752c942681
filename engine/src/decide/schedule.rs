//! When a cron trigger fires.

use chrono::{DateTime, FixedOffset, LocalResult, NaiveDateTime, Offset, TimeDelta, TimeZone, Utc};
use chrono_tz::Tz;
use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};

/// Most missed fires that are counted: a trigger of every second after a year away is not worth 31 million.
pub const MAX_COUNTED: u64 = 10_000;

/// A parsed cron expression in its zone.
///
/// Daylight saving time: an expression that names its hours fires by the clock on the wall. What a forward jump leaves
/// out fires once, at the first instant after the gap; what a backward jump repeats fires at its first occurrence. An
/// expression for every hour, or every n-th, fires by the time that passes: in an hour that comes twice it fires twice,
/// and in one that is left out not at all.
#[derive(Debug, Clone)]
pub struct Schedule {
    cron: Cron,
    zone: Tz,
    /// True for every hour, or every n-th.
    by_the_hour: bool,
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
    /// Earlier instants that passed while nobody looked, [`MAX_COUNTED`] at most.
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
        let fields: Vec<&str> = expression.split_whitespace().collect();
        let hours = fields.get(if fields.len() > 5 { 2 } else { 1 });
        Ok(Self { cron, zone, by_the_hour: hours.is_some_and(|hours| hours.starts_with('*')) })
    }

    /// The first instant after `after`, in milliseconds since 1970.
    pub fn next_after(&self, after: i64) -> Option<i64> {
        let after = DateTime::from_timestamp_millis(after)?;
        let next = if self.by_the_hour { self.next_by_the_hour(after) } else { self.next_by_the_wall(after) };
        Some(next?.timestamp_millis())
    }

    fn next_by_the_wall(&self, after: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let mut local = after.with_timezone(&self.zone).naive_local();
        loop {
            local = self.next_local(local, false)?;
            let instant = match self.zone.from_local_datetime(&local) {
                LocalResult::Single(instant) | LocalResult::Ambiguous(instant, _) => instant.to_utc(),
                LocalResult::None => self.end_of_gap(local)?,
            };
            if instant > after {
                return Some(instant);
            }
        }
    }

    fn next_by_the_hour(&self, after: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let (mut from, mut inclusive) = (after, false);
        loop {
            let offset = self.offset(from);
            let instant = (self.next_local(from.naive_utc() + offset, inclusive)? - offset).and_utc();
            match self.first_change(from, instant) {
                Some(change) => (from, inclusive) = (change, true),
                None => return Some(instant),
            }
        }
    }

    /// The next time on the wall that the expression names, as if no clock was ever moved.
    fn next_local(&self, local: NaiveDateTime, inclusive: bool) -> Option<NaiveDateTime> {
        let next = self.cron.find_next_occurrence(&local.and_utc(), inclusive).ok()?;
        Some(next.naive_utc())
    }

    /// The first instant after the gap that a time on the wall lies in.
    fn end_of_gap(&self, local: NaiveDateTime) -> Option<DateTime<Utc>> {
        // No gap is longer than a day.
        let before = self.zone.from_local_datetime(&(local - TimeDelta::days(1))).earliest()?.to_utc();
        self.first_change(before, before + TimeDelta::days(2))
    }

    fn offset(&self, at: DateTime<Utc>) -> FixedOffset {
        self.zone.offset_from_utc_datetime(&at.naive_utc()).fix()
    }

    /// The first instant in `from..=until` with another offset than `from`.
    fn first_change(&self, from: DateTime<Utc>, until: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let changed = |at| self.offset(at) != self.offset(from);
        let (mut same, mut other) = (from, from);
        while !changed(other) {
            if other >= until {
                return None;
            }
            same = other;
            other = (other + TimeDelta::days(1)).min(until);
        }
        while other - same > TimeDelta::seconds(1) {
            let middle = same + (other - same) / 2;
            if changed(middle) { other = middle } else { same = middle }
        }
        // Clocks are moved at whole seconds.
        Some(DateTime::from_timestamp(other.timestamp(), 0).filter(|at| changed(*at)).unwrap_or(other))
    }

    /// The fire that is due at `now`, when `next` was the next instant as last recorded; none when nothing is.
    ///
    /// Instants that were missed while no host ran are fired once, for the latest of them.
    pub fn due(&self, next: i64, now: i64) -> Option<Fire> {
        if next > now {
            return None;
        }
        let is_due = |after: i64| self.next_after(after).filter(|instant| *instant <= now);
        let later = std::iter::successors(is_due(next), |instant| is_due(*instant));
        let missed = later.take(MAX_COUNTED as usize).count() as u64;
        Some(Fire { instant: self.latest(next, now), missed, next: self.next_after(now) })
    }

    /// The latest instant up to `now`; `next` is one.
    fn latest(&self, next: i64, now: i64) -> i64 {
        let (mut before, mut after, mut latest) = (next, now, next);
        // Between the two it changes from times that are followed by another instant to times that are not.
        while before < after {
            let middle = before + (after - before) / 2;
            match self.next_after(middle).filter(|instant| *instant <= now) {
                Some(instant) => (before, latest) = (instant, instant),
                None => after = middle,
            }
        }
        latest
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
    fn several_times_of_a_day_fire_once_each_also_when_clocks_are_moved() {
        let spring = after("30 2,14 * * *", "Europe/Berlin", "2024-03-30T13:30:00Z", 3);
        assert_eq!(spring, ["2024-03-31T01:00:00Z", "2024-03-31T12:30:00Z", "2024-04-01T00:30:00Z"]);
        let autumn = after("30 2,14 * * *", "Europe/Berlin", "2024-10-26T12:30:00Z", 3);
        assert_eq!(autumn, ["2024-10-27T00:30:00Z", "2024-10-27T13:30:00Z", "2024-10-28T01:30:00Z"]);
        // Two times in the same gap are one instant after it.
        let gap = after("0,30 2 * * *", "Europe/Berlin", "2024-03-30T12:00:00Z", 2);
        assert_eq!(gap, ["2024-03-31T01:00:00Z", "2024-04-01T00:00:00Z"]);
    }

    #[test]
    fn every_hour_is_every_hour_that_passes() {
        let autumn = after("0 * * * *", "Europe/Berlin", "2024-10-26T23:30:00Z", 4);
        assert_eq!(
            autumn,
            ["2024-10-27T00:00:00Z", "2024-10-27T01:00:00Z", "2024-10-27T02:00:00Z", "2024-10-27T03:00:00Z"]
        );
        let spring = after("*/30 * * * *", "Europe/Berlin", "2024-03-31T00:15:00Z", 3);
        assert_eq!(spring, ["2024-03-31T00:30:00Z", "2024-03-31T01:00:00Z", "2024-03-31T01:30:00Z"]);
    }

    #[test]
    fn the_latest_is_found_however_many_were_missed() {
        let schedule = Schedule::parse("* * * * * *", "UTC").expect("every second");
        let fire = schedule.due(at("2024-01-01T00:00:00Z"), at("2024-01-08T00:00:00Z") + 500).expect("due");
        let (latest, next) = (at("2024-01-08T00:00:00Z"), at("2024-01-08T00:00:01Z"));
        assert_eq!(fire, Fire { instant: latest, missed: MAX_COUNTED, next: Some(next) });
    }

    /// The zones that are compared with another implementation, and its times: those that moved their clocks in odd
    /// ways, and some of every continent.
    const ZONES: [&str; 24] = [
        "UTC",
        "Europe/Berlin",
        "Europe/London",
        "Europe/Moscow",
        "Europe/Istanbul",
        "America/New_York",
        "America/Los_Angeles",
        "America/Sao_Paulo",
        "America/Caracas",
        "America/St_Johns",
        "America/Havana",
        "America/Santiago",
        "Africa/Cairo",
        "Africa/Casablanca",
        "Asia/Kolkata",
        "Asia/Kathmandu",
        "Asia/Tehran",
        "Asia/Pyongyang",
        "Asia/Gaza",
        "Australia/Lord_Howe",
        "Australia/Sydney",
        "Pacific/Apia",
        "Pacific/Chatham",
        "Antarctica/Troll",
    ];

    /// The instant of a time on the wall as jiff has it: after a gap, the first occurrence of what comes twice.
    fn by_jiff(zone: &jiff::tz::TimeZone, local: jiff::civil::DateTime) -> i64 {
        use jiff::tz::AmbiguousOffset;
        match zone.to_ambiguous_timestamp(local).offset() {
            AmbiguousOffset::Unambiguous { offset } | AmbiguousOffset::Fold { before: offset, .. } => {
                offset.to_timestamp(local).expect("in range").as_millisecond()
            }
            AmbiguousOffset::Gap { after, .. } => {
                // With the later offset the time is an instant before the gap: the next transition ends it.
                let before = after.to_timestamp(local).expect("in range");
                zone.following(before).next().expect("a transition").timestamp().as_millisecond()
            }
        }
    }

    #[test]
    fn times_of_a_day_are_those_of_another_implementation_in_many_zones() {
        for name in ZONES {
            let zone = jiff::tz::TimeZone::get(name).expect("jiff has it");
            for (hour, minute) in [(0, 0), (0, 30), (1, 59), (2, 15), (2, 30), (3, 0), (23, 45)] {
                let schedule = Schedule::parse(&format!("{minute} {hour} * * *"), name).expect("a schedule");
                let mut day = jiff::civil::date(2005, 1, 1);
                let mut now = by_jiff(&zone, day.at(hour, minute, 0, 0));
                while day.year() < 2023 {
                    day = day.tomorrow().expect("in range");
                    let expected = by_jiff(&zone, day.at(hour, minute, 0, 0));
                    // Two days that share a gap share its end.
                    if expected == now {
                        continue;
                    }
                    assert_eq!(schedule.next_after(now), Some(expected), "{name} {day} {hour}:{minute}");
                    now = expected;
                }
            }
        }
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
