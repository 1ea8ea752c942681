//! Everything that has to pass, in the order in which it fails fastest.

use crate::dist::dist;
use crate::features::combinations;
use crate::shell::{output, run};
use crate::tidy;
use anyhow::{Context, ensure};
use serde_json::Value;
use std::path::Path;
use std::time::Instant;

/// A check of the repository in a folder.
type Check = fn(&Path) -> anyhow::Result<()>;

/// The checks by name. `.ci/setup` installs what they need.
const CHECKS: [(&str, Check); 13] = [
    ("format", |root| run(root, "cargo fmt --all --check", &[])),
    ("tidy", tidy::check),
    // Advisories need GitHub, which not every machine that runs this reaches.
    ("dependencies", |root| {
        run(root, "cargo deny --workspace --all-features check bans licenses sources", &[])
    }),
    ("clippy", |root| run(root, "cargo clippy --workspace --all-targets -- -D warnings", &[])),
    ("features", features),
    ("examples", examples),
    ("embedded-host", embedded_host),
    ("tests", tests),
    ("tests-isolated", |root| {
        let line = "cargo test -q -p longshore-cli --test packages --test reactors";
        run(root, line, &[("LONGSHORE_TEST_ISOLATED", "1")])
    }),
    // Ten seconds a target; run it for minutes after a change to a parser.
    ("fuzz", |root| run(root, "cargo run -q -p longshore-fuzz -- --seconds 10", &[])),
    ("benchmarks", benchmarks),
    // What is built already: a release takes minutes.
    ("distribution", |root| dist(root, "dev")),
    ("documentation", |root| {
        run(root, "cargo doc -q --workspace --no-deps", &[("RUSTDOCFLAGS", "-D warnings")])
    }),
];

/// Benchmarks that run in small: what they measure works. `chaos` takes minutes to say anything: it is run before a release.
const BENCHMARKS: [&str; 16] = [
    "dispatch",
    "waiting",
    "steps",
    "latency",
    "load",
    "graphs",
    "swap",
    "isolate",
    "backlog",
    "wide",
    "history",
    "hostile-archive",
    "package",
    "registry",
    "source",
    "edit-run",
];

/// The names of the checks.
pub fn names() -> Vec<&'static str> {
    CHECKS.iter().map(|(name, _)| *name).collect()
}

/// Runs all checks, or those that are named.
///
/// # Errors
/// The first check that fails.
pub fn check(root: &Path, only: &[String]) -> anyhow::Result<()> {
    for (name, check) in CHECKS.iter().filter(|(name, _)| only.is_empty() || only.iter().any(|n| n == name)) {
        println!("\n== {name}");
        let start = Instant::now();
        check(root).with_context(|| format!("the check `{name}` failed"))?;
        println!("== {name}: {} s", start.elapsed().as_secs());
    }
    Ok(())
}

/// Each crate with features builds with every combination of them.
fn features(root: &Path) -> anyhow::Result<()> {
    for (krate, features) in combinations(root)? {
        let line =
            format!("cargo clippy -q -p {krate} --no-default-features --features {features} -- -D warnings");
        let line = if features.is_empty() { line.replace("--features ", "") } else { line };
        run(root, &line, &[])?;
    }
    Ok(())
}

/// The examples end as they say.
fn examples(root: &Path) -> anyhow::Result<()> {
    // What an earlier run left may be of another version.
    for folder in ["target/weather", "target/embedded", "target/examples-home"] {
        let _ = std::fs::remove_dir_all(root.join(folder));
    }
    for example in ["hello", "weather", "market-maker"] {
        let home = "--home target/examples-home";
        let line = format!("cargo run -q -p longshore-cli -- run examples/{example} {home} --json");
        let printed = output(root, &line)?;
        let document: Value =
            serde_json::from_str(&printed).with_context(|| format!("{example}: {printed}"))?;
        let fired = document["firings"].as_object().is_some_and(|firings| !firings.is_empty());
        ensure!(document["state"] == "succeeded" || fired, "{example}: {document:#}");
    }
    for written in ["target/weather/report.json", "target/weather/plot.svg"] {
        let bytes = std::fs::metadata(root.join(written)).map(|file| file.len()).unwrap_or_default();
        ensure!(bytes > 0, "the example `weather` did not write {written}");
    }
    run(root, "cargo run -q -p embedded", &[])
}

/// A program of 30 lines loads a package, runs it, and gets the memory back.
fn embedded_host(root: &Path) -> anyhow::Result<()> {
    let _ = std::fs::remove_dir_all(root.join("target/embedded-host"));
    let built = output(
        root,
        "cargo run -q -p longshore-cli -- build examples/hello -o target/embedded-package --json",
    )?;
    let built: Value = serde_json::from_str(&built)?;
    let file = built["file"].as_str().context("`build` names the file")?;
    let printed = output(root, &format!("cargo run -q -p embedded-host -- {file} hello"))?;
    print!("{printed}");
    ensure!(printed.lines().any(|line| line == "unloaded: unmapped"), "the memory was not given back");
    Ok(())
}

/// The README's test command, with the servers that some tests need.
fn tests(root: &Path) -> anyhow::Result<()> {
    let readme = std::fs::read_to_string(root.join("README.md")).context("README.md")?;
    let line =
        readme.lines().find_map(|line| line.strip_prefix("$ ").filter(|line| line.contains("cargo test")));
    let line = line.context("README.md has no test command")?;
    let (line, _) = line.split_once('#').unwrap_or((line, ""));
    ensure!(line.contains("--workspace"), "README.md's test command does not test all: {line}");
    run(
        root,
        line,
        &[
            ("LONGSHORE_REQUIRE_POSTGRES", "1"),
            ("LONGSHORE_REQUIRE_NATS", "1"),
            ("LONGSHORE_REQUIRE_REGISTRIES", "1"),
            ("LONGSHORE_REQUIRE_BUILD_SYSTEMS", "1"),
        ],
    )
}

fn benchmarks(root: &Path) -> anyhow::Result<()> {
    for benchmark in BENCHMARKS {
        let printed =
            output(root, &format!("cargo run -q -p longshore-bench -- {benchmark} --smoke --json"))?;
        let document: Value =
            serde_json::from_str(&printed).with_context(|| format!("{benchmark}: {printed}"))?;
        let empty = document.as_array().is_some_and(Vec::is_empty)
            || document.as_object().is_some_and(|o| o.is_empty());
        ensure!(!empty && !document.is_null(), "{benchmark} measured nothing");
    }
    Ok(())
}
