//! The status of a reactor, for people and for the record.

use crate::port::graph_calls::Outputs;
use longshore_store::{Digest, PackageName};
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::Duration;

/// Whether a reactor does its work.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Health {
    /// It has not begun.
    Starting,
    /// Sources have not said anything yet.
    Warming {
        /// Which.
        missing: Vec<String>,
    },
    /// It does its work.
    Live,
    /// It does a part of its work, or none.
    Degraded {
        /// Why.
        reason: String,
    },
}

/// A reactor as it is right now.
#[derive(Debug, Clone, Serialize)]
pub struct ReactorStatus {
    /// The name.
    pub name: String,
    /// The package.
    pub package: PackageName,
    /// The digest.
    pub digest: Digest,
    /// `latest` or `sequential`.
    pub strategy: &'static str,
    /// Whether a reactor does its work.
    pub health: Health,
    /// True when somebody paused it.
    pub paused: bool,
    /// Firings.
    pub fired: u64,
    /// Events that a newer one took the place of before they were looked at.
    pub dropped: u64,
    /// Events that could not be taken.
    pub rejected: u64,
    /// Events that wait.
    pub pending: u64,
    /// Its sources.
    pub sources: Vec<SourceStatus>,
    /// The graphs it fires.
    pub graphs: Vec<GraphStatus>,
}

/// A source as it is right now.
#[derive(Debug, Clone, Serialize)]
pub struct SourceStatus {
    /// The name.
    pub name: String,
    /// `passthrough`, `polling`, `batch`, `stream` or `state`.
    pub kind: &'static str,
    /// True when it has a value.
    pub has_value: bool,
    /// Events it got.
    pub events: u64,
    /// Why it gets none, when its stream does not read.
    pub problem: Option<String>,
}

/// A graph as it is right now.
#[derive(Debug, Clone, Serialize)]
pub struct GraphStatus {
    /// The name.
    pub name: String,
    /// The package.
    pub package: PackageName,
    /// Calls that went through.
    pub calls: u64,
    /// Calls that failed.
    pub failed: u64,
    /// The number of deliveries of each terminal.
    pub terminals: BTreeMap<String, u64>,
    /// Half of the calls took at most this, in microseconds.
    pub p50_us: u64,
    /// 99 of 100 calls took at most this, in microseconds.
    pub p99_us: u64,
    /// The last failure.
    pub last_error: Option<String>,
    /// The last values of the terminals.
    pub last_outputs: BTreeMap<String, Value>,
}

/// Buckets of a histogram: each is up to twice as long as the one before, from a microsecond to an hour.
const BUCKETS: usize = 32;

/// The counters of a graph.
#[derive(Debug, Default)]
pub(crate) struct GraphCounts {
    calls: u64,
    failed: u64,
    /// Failures in a row.
    pub(crate) in_a_row: u32,
    terminals: Vec<(String, u64)>,
    histogram: [u64; BUCKETS],
    last_error: Option<String>,
    last_outputs: Outputs,
}

impl GraphCounts {
    /// A call went through.
    pub(crate) fn completed(&mut self, outputs: Outputs, took: Duration) {
        self.calls += 1;
        self.in_a_row = 0;
        let micros = took.as_micros().max(1) as u64;
        self.histogram[(micros.ilog2() as usize).min(BUCKETS - 1)] += 1;
        for (terminal, _) in &outputs {
            match self.terminals.iter_mut().find(|(name, _)| name == terminal) {
                Some((_, count)) => *count += 1,
                None => self.terminals.push((terminal.to_string(), 1)),
            }
        }
        self.last_outputs = outputs;
    }

    /// A call failed that could not read its input.
    pub(crate) fn failed_on_input(&mut self, error: String) {
        self.failed += 1;
        self.last_error = Some(error);
    }

    /// A call failed. Returns how many did in a row.
    pub(crate) fn failed(&mut self, error: String) -> u32 {
        self.failed += 1;
        self.in_a_row += 1;
        self.last_error = Some(error);
        self.in_a_row
    }

    pub(crate) fn status(&self, name: &str, package: &PackageName) -> GraphStatus {
        let json = |bytes: &[u8]| longshore_workflow::deserialize(bytes).unwrap_or_default();
        GraphStatus {
            name: name.to_owned(),
            package: package.clone(),
            calls: self.calls,
            failed: self.failed,
            terminals: self.terminals.iter().cloned().collect(),
            p50_us: self.quantile(50),
            p99_us: self.quantile(99),
            last_error: self.last_error.clone(),
            last_outputs: self.last_outputs.iter().map(|(name, v)| (name.to_string(), json(v))).collect(),
        }
    }

    /// The upper end of the bucket in which this many of a hundred calls end.
    fn quantile(&self, percent: u64) -> u64 {
        let wanted = (self.calls * percent).div_ceil(100);
        let mut seen = 0;
        for (bucket, count) in self.histogram.iter().enumerate() {
            seen += count;
            if seen >= wanted && seen > 0 {
                return 2_u64 << bucket;
            }
        }
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_the_upper_ends_of_their_buckets() {
        let mut counts = GraphCounts::default();
        assert_eq!(counts.quantile(50), 0);
        for micros in [3, 3, 3, 1000] {
            counts.completed(vec![("t".into(), vec![0xc0])], Duration::from_micros(micros));
        }
        let status = counts.status("g", &"p".into());
        assert_eq!((status.p50_us, status.p99_us, status.terminals["t"]), (4, 1024, 4));
    }
}
