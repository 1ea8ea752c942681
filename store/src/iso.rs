//! Times as programs read them: ISO 8601 in UTC, to the millisecond.

use chrono::{DateTime, SecondsFormat};
use serde::Serializer;

/// The text of a time in milliseconds since 1970. One that no calendar has is the number.
pub fn text(ms: i64) -> String {
    let time = DateTime::from_timestamp_millis(ms);
    time.map_or_else(|| ms.to_string(), |time| time.to_rfc3339_opts(SecondsFormat::Millis, true))
}

/// Serializes a time.
///
/// # Errors
/// Those of the serializer.
pub fn time<S: Serializer>(ms: &i64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&text(*ms))
}

/// Serializes a time, or none.
///
/// # Errors
/// Those of the serializer.
pub fn maybe<S: Serializer>(ms: &Option<i64>, serializer: S) -> Result<S::Ok, S::Error> {
    match ms {
        Some(ms) => time(ms, serializer),
        None => serializer.serialize_none(),
    }
}

#[cfg(test)]
mod tests {
    use super::text;

    #[test]
    fn times_are_written_in_utc_with_milliseconds() {
        assert_eq!(text(1_764_160_000_123), "2025-11-26T12:26:40.123Z");
        assert_eq!(text(i64::MAX), i64::MAX.to_string());
    }
}
