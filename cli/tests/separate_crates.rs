//! Crates that depend on each of ours by itself, as those that come from other engines do.

mod support;

use std::process::Command;
use support::{Crate, Longshore};

const MANIFEST: &str = r#"
[package]
name = "separate"
version = "0.3.0"
edition = "2021"

[features]
default = ["packaged"]
packaged = []

[lib]
crate-type = ["cdylib", "rlib"]

[dependencies]
longshore-macros = { path = "REPOSITORY/macros" }
longshore-computation-graph = { path = "REPOSITORY/computation-graph" }
longshore-workflow = { path = "REPOSITORY/workflow", features = ["packaged"] }
longshore-workflow-plugin = { path = "REPOSITORY/workflow-plugin" }
serde = { version = "1", features = ["derive"] }
serde_json = "1"

[build-dependencies]
longshore-build = { path = "REPOSITORY/build-helper" }

[workspace]

[profile.dev]
debug = false
"#;

const SOURCE: &str = r##"
#![deny(warnings)]

use longshore_computation_graph::types::{GraphError, InputCache, SourceName};
use longshore_computation_graph::{serialize, GraphResult};
use longshore_macros::{computation_graph, reactor, task, workflow};
use longshore_workflow::{BackoffStrategy, Context, RetryPolicy, TaskError};
use serde::{Deserialize, Serialize};
use std::time::{Duration, Instant};

longshore_workflow_plugin::package!();

type Result<T> = std::result::Result<T, TaskError>;

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Tick {
    pub price: f64,
}

#[reactor(name = "ticker", accumulators = [ticks], criteria = when_any(ticks))]
pub struct Ticker;

#[computation_graph(trigger = reactor("ticker"), graph = { enrich(ticks) -> emit })]
pub mod stream {
    use super::*;

    pub async fn enrich(ticks: Option<&Tick>) -> Tick {
        Tick { price: ticks.map_or(0.0, |tick| tick.price * 2.0) }
    }

    pub async fn emit(input: &Tick) -> Tick {
        input.clone()
    }
}

/// A value of a cache, by the signatures that are written against.
pub fn price(cache: &InputCache) -> Option<std::result::Result<Tick, GraphError>> {
    cache.get::<Tick>("ticks")
}

pub fn policy() -> RetryPolicy {
    RetryPolicy::builder()
        .max_attempts(5)
        .backoff_strategy(BackoffStrategy::Linear { multiplier: 2.0 })
        .initial_delay(Duration::from_millis(10))
        .build()
}

#[workflow(name = "separate", description = "each crate by itself", author = "somebody")]
pub mod separate {
    use super::*;

    #[task(id = "prepare")]
    pub async fn prepare(context: &mut Context<serde_json::Value>) -> Result<()> {
        let mut cache = InputCache::new();
        cache.update(SourceName::new("ticks"), serialize(&Tick { price: 2.0 }).map_err(failed)?);
        context.insert("sources", serde_json::json!(cache.entries_raw().len()))?;
        match stream_compiled(&cache).await {
            GraphResult::Completed { outputs, .. } => {
                let tick = outputs[0].downcast_ref::<Tick>().map(|tick| tick.price);
                context.insert("price", serde_json::json!(tick))?;
            }
            GraphResult::Error(error) => return Err(failed(error)),
        }
        let read = price(&cache).transpose().map_err(failed)?;
        context.insert("read", serde_json::json!(read.map(|tick| tick.price)))?;
        context.insert("attempts", serde_json::json!(policy().max_attempts))?;
        Ok(())
    }

    fn failed(error: GraphError) -> TaskError {
        TaskError::ValidationFailed { message: error.to_string() }
    }

    #[task(id = "defer", dependencies = ["prepare"], retry_attempts = 0)]
    pub async fn defer(
        context: &mut Context<serde_json::Value>,
        handle: &mut longshore_workflow_plugin::TaskHandle,
    ) -> Result<()> {
        let deadline = Instant::now() + Duration::from_millis(60);
        handle.defer_until(|| async move { Instant::now() >= deadline }, Duration::from_millis(20)).await?;
        context.insert("cancelled", serde_json::json!(handle.is_cancelled()))?;
        Ok(())
    }
}
"##;

const BUILD: &str = "fn main() {\n    longshore_build::configure();\n}\n";

#[test]
fn a_crate_with_five_dependencies_compiles_without_a_warning_and_runs() {
    let krate = Crate::new(&[("Cargo.toml", MANIFEST), ("build.rs", BUILD), ("src/lib.rs", SOURCE)]);
    let longshore = Longshore::new();
    let ended = longshore.run(&["run", krate.path(), "--workflow", "separate", "--json"]);
    assert_eq!(ended.code, Some(0), "{}{}", ended.stdout, ended.stderr);
    assert!(!ended.stderr.contains("warning"), "{}", ended.stderr);
    let expected =
        serde_json::json!({ "attempts": 5, "cancelled": false, "price": 4.0, "read": 2.0, "sources": 1 });
    assert_eq!(ended.json()["context"], expected);
}

/// `longshore build` makes a library of any crate; cargo by itself does not, and has nothing to warn of.
#[test]
fn a_crate_without_a_cdylib_is_configured_without_a_warning_and_still_built() {
    let manifest = MANIFEST.replace("crate-type = [\"cdylib\", \"rlib\"]", "");
    let krate = Crate::new(&[("Cargo.toml", &manifest), ("build.rs", BUILD), ("src/lib.rs", SOURCE)]);
    let mut cargo = Command::new(env!("CARGO"));
    cargo
        .args(["check", "--quiet"])
        .current_dir(krate.folder.path())
        .envs(longshore_testing::throwaway_build());
    let checked = cargo.output().expect("cargo starts");
    let stderr = String::from_utf8_lossy(&checked.stderr);
    assert!(checked.status.success() && stderr.is_empty(), "{stderr}");
    let longshore = Longshore::new();
    let built = longshore.run(&["build", krate.path(), "-o", krate.path(), "--json"]);
    let file = built.json()["file"].as_str().expect("a file").to_owned();
    let inspected = longshore.run(&["inspect", &file, "--json"]);
    assert_eq!(
        inspected.json()["compatibility"]["refusals"],
        serde_json::json!(null),
        "{}",
        inspected.stdout
    );
    assert_eq!(longshore.run(&["run", &file, "--strict", "--workflow", "separate"]).code, Some(0));
}
