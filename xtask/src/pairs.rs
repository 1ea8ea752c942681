//! Benchmarks of two checkouts in pairs: one run of each in turn, so that both meet the same machine.

use crate::shell::output;
use anyhow::{Context, ensure};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;

/// The measurements of one benchmark on both sides.
#[derive(Default)]
struct Pair {
    unit: String,
    before: Vec<f64>,
    after: Vec<f64>,
}

/// Runs `benches` in both checkouts, `rounds` times in turn, and prints the medians and their ratios. The benchmarks of
/// both have been built with `--release`.
///
/// # Errors
/// When a benchmark fails.
pub fn pairs(before: &Path, after: &Path, rounds: usize, benches: &[String]) -> anyhow::Result<()> {
    let mut pairs: BTreeMap<String, Pair> = BTreeMap::new();
    for _ in 0..rounds {
        for bench in benches {
            for row in measure(before, bench)? {
                let pair = pairs.entry(row.name).or_default();
                pair.unit = row.unit;
                pair.before.push(row.ours);
            }
            for row in measure(after, bench)? {
                pairs.entry(row.name).or_default().after.push(row.ours);
            }
        }
    }
    println!("| benchmark | before | after | unit | after/before |\n|---|---|---|---|---|");
    for (name, pair) in &mut pairs {
        let (Some(before), Some(after)) = (median(&mut pair.before), median(&mut pair.after)) else {
            continue;
        };
        println!("| {name} | {before:.1} | {after:.1} | {} | {:.3} |", pair.unit, after / before);
    }
    Ok(())
}

struct Row {
    name: String,
    unit: String,
    ours: f64,
}

fn measure(checkout: &Path, bench: &str) -> anyhow::Result<Vec<Row>> {
    let program = checkout.join("target/release/longshore-bench");
    ensure!(program.is_file(), "{} is not there: build it with --release", program.display());
    let printed = output(checkout, &format!("target/release/longshore-bench --json {bench}"))?;
    let rows: Value = serde_json::from_str(&printed)?;
    let row = |row: &Value| {
        Some(Row {
            name: format!("{bench} {}", row["name"].as_str()?),
            unit: row["unit"].as_str()?.to_owned(),
            ours: row["ours"].as_f64()?,
        })
    };
    let rows = rows.as_array().context("a benchmark prints a list")?;
    rows.iter().map(|value| row(value).with_context(|| format!("{bench}: {value}"))).collect()
}

fn median(values: &mut [f64]) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let middle = values.get(values.len() / 2)?;
    let lower = values.get(values.len().checked_sub(1)? / 2)?;
    Some(f64::midpoint(*lower, *middle))
}

#[cfg(test)]
mod tests {
    use super::median;

    #[test]
    fn the_median_is_the_middle_one_or_lies_between_the_two() {
        assert_eq!(median(&mut []), None);
        assert_eq!(median(&mut [3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&mut [4.0, 1.0, 2.0, 3.0]), Some(2.5));
    }
}
