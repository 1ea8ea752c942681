//! The output of a benchmark.

use serde::Serialize;
use serde_json::{Map, Value};

/// One figure with its floor.
#[derive(Debug, Serialize)]
pub(crate) struct Row {
    pub(crate) name: String,
    pub(crate) unit: &'static str,
    pub(crate) ours: f64,
    pub(crate) floor: Option<f64>,
    pub(crate) floor_name: Option<&'static str>,
    /// Measured by bench/peers on the same machine, never here.
    pub(crate) peer: Option<f64>,
    pub(crate) peer_name: Option<&'static str>,
    #[serde(flatten)]
    pub(crate) more: Map<String, Value>,
}

impl Row {
    pub(crate) fn new(name: impl Into<String>, unit: &'static str, ours: f64) -> Self {
        let name = name.into();
        Self {
            name,
            unit,
            ours,
            floor: None,
            floor_name: None,
            peer: None,
            peer_name: None,
            more: Map::new(),
        }
    }

    pub(crate) fn floor(mut self, floor: f64, name: &'static str) -> Self {
        (self.floor, self.floor_name) = (Some(floor), Some(name));
        self
    }

    pub(crate) fn with(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.more.insert(key.to_owned(), value.into());
        self
    }
}

/// The middle of several readings.
pub(crate) fn median(mut readings: Vec<f64>) -> f64 {
    readings.sort_by(f64::total_cmp);
    readings.get(readings.len() / 2).copied().unwrap_or(f64::NAN)
}

/// The reading that so many of a hundred stay under.
pub(crate) fn percentile(mut readings: Vec<f64>, percent: usize) -> f64 {
    readings.sort_by(f64::total_cmp);
    let at = (readings.len() * percent / 100).min(readings.len().saturating_sub(1));
    readings.get(at).copied().unwrap_or(f64::NAN)
}

pub(crate) fn print(rows: &[Row], json: bool) -> anyhow::Result<()> {
    if json {
        println!("{}", serde_json::to_string_pretty(rows)?);
        return Ok(());
    }
    let mut table = comfy_table::Table::new();
    table.set_header(["name", "ours", "unit", "floor", "ours/floor", "what the floor is", "peer", "more"]);
    for row in rows {
        let more: Vec<String> = row.more.iter().map(|(key, value)| format!("{key} {value}")).collect();
        table.add_row([
            row.name.clone(),
            format!("{:.1}", row.ours),
            row.unit.to_owned(),
            row.floor.map(|floor| format!("{floor:.1}")).unwrap_or_default(),
            row.floor.map(|floor| format!("{:.2}", row.ours / floor)).unwrap_or_default(),
            row.floor_name.unwrap_or_default().to_owned(),
            row.peer.map(|peer| format!("{peer:.1}")).unwrap_or_default(),
            more.join(", "),
        ]);
    }
    println!("{table}");
    Ok(())
}
