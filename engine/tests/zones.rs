//! Schedules in every zone whose clocks are moved, against another implementation of time zones.

use jiff::civil::{Date, DateTime, date, time};
use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{Span, Timestamp, ToSpan};
use longshore_engine::decide::Schedule;
use std::collections::BTreeSet;

/// A year with every kind of move, and what is around it.
const FIRST: Date = date(2024, 1, 1);
const LAST: Date = date(2025, 2, 1);

/// Zones of which the two databases, of different releases, do not know the same.
const CORRECTED_SINCE: [&str; 2] = ["Europe/Chisinau", "Europe/Tiraspol"];

/// The zones whose clocks are moved between the two, and three in which they are not.
fn zones() -> Vec<TimeZone> {
    let (from, to) = (at(FIRST), at(LAST));
    let zone = |name: &str| TimeZone::get(name).expect("it is listed");
    let moved = |zone: &TimeZone| zone.following(from).next().is_some_and(|change| change.timestamp() < to);
    let known = jiff::tz::db().available().filter(|name| !CORRECTED_SINCE.contains(&name.as_str()));
    let all = known.map(|name| zone(name.as_str())).filter(moved);
    all.chain(["UTC", "Asia/Kolkata", "Pacific/Kiritimati"].map(zone)).collect()
}

fn at(date: Date) -> Timestamp {
    date.to_zoned(TimeZone::UTC).expect("a day").timestamp()
}

/// The instants between the two days at which the schedule fires.
fn fires(expression: &str, zone: &TimeZone) -> BTreeSet<Timestamp> {
    let name = zone.iana_name().expect("it has a name");
    let schedule = Schedule::parse(expression, name).expect("a schedule");
    let (mut now, end) = (at(FIRST).as_millisecond(), at(LAST).as_millisecond());
    let next = || {
        now = schedule.next_after(now).filter(|next| *next < end)?;
        Some(Timestamp::from_millisecond(now).expect("a time"))
    };
    std::iter::from_fn(next).collect()
}

/// The instant of a time on the wall: the first of two, or the first after the gap.
fn instant(zone: &TimeZone, wall: DateTime) -> Timestamp {
    match zone.to_ambiguous_timestamp(wall).offset() {
        AmbiguousOffset::Unambiguous { offset } => offset.to_timestamp(wall).expect("a time"),
        AmbiguousOffset::Fold { before, .. } => before.to_timestamp(wall).expect("a time"),
        AmbiguousOffset::Gap { before, .. } => {
            let inside = before.to_timestamp(wall).expect("a time");
            let mut changes = zone.preceding(inside + Span::new().seconds(1));
            changes.next().expect("the gap has a beginning").timestamp()
        }
    }
}

#[test]
fn named_hours_fire_by_the_clock_on_the_wall() {
    for zone in zones() {
        let mut expected = BTreeSet::new();
        let mut day = FIRST.yesterday().expect("a day");
        while day <= LAST {
            for hour in [0, 1, 2, 3, 14] {
                expected.insert(instant(&zone, day.to_datetime(time(hour, 30, 0, 0))));
            }
            day = day.tomorrow().expect("a day");
        }
        let (from, to) = (at(FIRST), at(LAST));
        let expected: BTreeSet<_> = expected.into_iter().filter(|at| *at > from && *at < to).collect();
        let fires = fires("30 0-3,14 * * *", &zone);
        let wrong: Vec<_> = fires.symmetric_difference(&expected).collect();
        assert!(wrong.is_empty(), "{:?}: {wrong:?}", zone.iana_name());
    }
}

#[test]
fn every_second_hour_fires_by_the_time_that_passes() {
    for zone in zones() {
        let mut expected = BTreeSet::new();
        let (mut now, to) = (at(FIRST) + 15.minutes(), at(LAST));
        while now < to {
            let wall = zone.to_datetime(now);
            if wall.minute() == 0 && wall.second() == 0 && wall.hour() % 2 == 0 {
                expected.insert(now);
            }
            now += 15.minutes();
        }
        let fires = fires("0 */2 * * *", &zone);
        let wrong: Vec<_> = fires.symmetric_difference(&expected).collect();
        assert!(wrong.is_empty(), "{:?}: {wrong:?}", zone.iana_name());
    }
}
