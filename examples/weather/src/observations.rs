//! The data set, and what is computed from it.

use serde::{Deserialize, Serialize};

/// Seattle-Tacoma airport, daily; see data/README.md.
const SEATTLE: &str = include_str!("../data/seattle-weather.csv");

/// One day.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Day {
    /// As `2012/01/31`.
    pub date: String,
    /// Millimetres.
    pub precipitation: f64,
    /// Degrees Celsius.
    pub temp_max: f64,
    /// Degrees Celsius.
    pub temp_min: f64,
    /// Metres per second.
    pub wind: f64,
    /// `drizzle`, `rain`, `sun`, `snow` or `fog`.
    pub weather: String,
}

impl Day {
    /// True when such a day can be on Earth.
    pub fn is_possible(&self) -> bool {
        self.temp_min <= self.temp_max
            && (-90.0..=60.0).contains(&self.temp_min)
            && (-90.0..=60.0).contains(&self.temp_max)
            && self.precipitation >= 0.0
            && self.wind >= 0.0
    }

    fn month(&self) -> Option<usize> {
        self.date.get(5..7)?.parse().ok()
    }
}

/// Reads all days.
///
/// # Errors
/// When a line of the data does not read.
pub fn read() -> Result<Vec<Day>, csv::Error> {
    csv::Reader::from_reader(SEATTLE.as_bytes()).deserialize().collect()
}

/// The mean of one month over all years.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Month {
    /// From 1.
    pub month: usize,
    /// Days that were counted.
    pub days: usize,
    /// Mean precipitation of a day in millimetres.
    pub precipitation: f64,
    /// Mean highest temperature.
    pub temp_max: f64,
    /// Mean lowest temperature.
    pub temp_min: f64,
}

impl Month {
    /// All twelve.
    pub fn all(days: &[Day]) -> Vec<Self> {
        (1..=12).map(|month| Self::of(month, days)).collect()
    }

    fn of(month: usize, days: &[Day]) -> Self {
        let days: Vec<&Day> = days.iter().filter(|day| day.month() == Some(month)).collect();
        let mean = |value: fn(&Day) -> f64| {
            let sum: f64 = days.iter().map(|day| value(day)).sum();
            (sum / days.len().max(1) as f64 * 100.0).round() / 100.0
        };
        Self {
            month,
            days: days.len(),
            precipitation: mean(|d| d.precipitation),
            temp_max: mean(|d| d.temp_max),
            temp_min: mean(|d| d.temp_min),
        }
    }
}

/// The days that stand out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Extremes {
    /// Highest temperature.
    pub hottest: Option<Day>,
    /// Lowest temperature.
    pub coldest: Option<Day>,
    /// Most precipitation.
    pub wettest: Option<Day>,
    /// Most wind.
    pub windiest: Option<Day>,
}

impl Extremes {
    /// The first of each.
    pub fn of(days: &[Day]) -> Self {
        let most =
            |value: fn(&Day) -> f64| days.iter().rev().max_by(|a, b| value(a).total_cmp(&value(b))).cloned();
        Self {
            hottest: most(|d| d.temp_max),
            coldest: most(|d| -d.temp_min),
            wettest: most(|d| d.precipitation),
            windiest: most(|d| d.wind),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_data_set_is_whole() {
        let days = read().expect("reads");
        assert_eq!(days.len(), 1461);
        assert!(days.iter().all(Day::is_possible));
        assert_eq!(Month::all(&days).iter().map(|m| m.days).sum::<usize>(), 1461);
    }

    #[test]
    fn the_extremes_are_those_of_the_data() {
        let extremes = Extremes::of(&read().expect("reads"));
        assert_eq!(extremes.hottest.map(|d| d.temp_max), Some(35.6));
        assert_eq!(extremes.coldest.map(|d| d.temp_min), Some(-7.1));
        assert_eq!(extremes.wettest.map(|d| d.precipitation), Some(55.9));
    }
}
