//! A Longshore package with a computation graph: a reactor reads measurements and fires the graph for each.

use longshore::{computation_graph, reactor, stream_accumulator};
use serde::{Deserialize, Serialize};

longshore::package!();

/// A measurement, a line of the file.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Reading {
    /// Degrees Celsius.
    pub degrees: f64,
}

/// Reads the file, line by line. Other streams are `http` and `nats`.
#[stream_accumulator(type = "file", topic = "data/readings.jsonl")]
pub fn readings(reading: Reading) -> Reading {
    reading
}

/// Fires for each reading, in order.
#[reactor(
    name = "TEMPLATE_NAME",
    accumulators = [readings],
    criteria = when_any(readings),
    input_strategy = "sequential"
)]
pub struct Readings;

/// Tells frost from everything else.
#[computation_graph(trigger = reactor("TEMPLATE_NAME"), graph = { judge(readings) => { Frost -> warn, Mild -> note } })]
pub mod TEMPLATE_IDENT {
    use crate::Reading;

    /// The branches.
    pub enum Weather {
        /// Below zero, by so many degrees.
        Frost(f64),
        /// Anything else.
        Mild(f64),
    }

    pub async fn judge(reading: Option<&Reading>) -> Weather {
        let degrees = reading.map_or(0.0, |reading| reading.degrees);
        if degrees < 0.0 { Weather::Frost(-degrees) } else { Weather::Mild(degrees) }
    }

    pub async fn warn(below: &f64) -> String {
        format!("frost: {below} degrees below zero")
    }

    pub async fn note(degrees: &f64) -> f64 {
        *degrees
    }
}

#[cfg(test)]
mod tests {
    use super::TEMPLATE_IDENT::{Weather, judge};
    use super::Reading;

    #[tokio::test]
    async fn frost_is_told_from_everything_else() {
        assert!(matches!(judge(Some(&Reading { degrees: -2.0 })).await, Weather::Frost(2.0)));
        assert!(matches!(judge(Some(&Reading { degrees: 2.0 })).await, Weather::Mild(2.0)));
    }
}
