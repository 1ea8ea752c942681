//! From a changed line to the result of `longshore run`.

use crate::package::{command_line, crate_folder, packages_target};
use crate::row::{Row, median};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

/// The source of a workflow whose answer is another one in each round.
pub(crate) fn source(name: &str, answer: usize) -> String {
    format!(
        "longshore::package!();\n\n#[longshore::workflow(name = \"{name}\")]\npub mod {name} {{\n    \
         use longshore::{{Context, TaskError, task}};\n    use serde_json::Value;\n\n    #[task]\n    \
         pub async fn only(context: &mut Context<Value>) -> Result<(), TaskError> {{\n        \
         context.insert_as(\"answer\", {answer}_u64)\n    }}\n}}\n"
    )
}

pub(crate) fn run(smoke: bool) -> anyhow::Result<Vec<Row>> {
    let rounds = if smoke { 1 } else { 10 };
    let longshore = command_line()?;
    let folder = crate_folder("edited", &source("edited", 0))?;
    let home = tempfile::tempdir()?;
    run_once(&longshore, &folder, home.path(), 0)?;
    let (mut runs, mut builds) = (Vec::new(), Vec::new());
    for round in 1..=rounds {
        std::fs::write(folder.join("src/lib.rs"), source("edited", round))?;
        runs.push(run_once(&longshore, &folder, home.path(), round)?);
        // What cargo alone takes for such a change.
        std::fs::write(folder.join("src/lib.rs"), source("edited", round + 1_000_000))?;
        builds.push(build_once(&folder)?);
    }
    Ok(vec![Row::new("edit_run", "s", median(runs)).floor(median(builds), "cargo build of the same change")])
}

fn run_once(longshore: &Path, folder: &Path, home: &Path, answer: usize) -> anyhow::Result<f64> {
    let began = Instant::now();
    let output = Command::new(longshore)
        .args(["run", "--json", "--home"])
        .arg(home)
        .arg(folder)
        .env("CARGO_TARGET_DIR", packages_target())
        .stderr(Stdio::null())
        .output()?;
    let taken = began.elapsed().as_secs_f64();
    let report: serde_json::Value = serde_json::from_slice(&output.stdout)?;
    anyhow::ensure!(report["context"]["answer"] == answer, "{report}");
    Ok(taken)
}

/// The same library as `longshore run` lets cargo build.
fn build_once(folder: &Path) -> anyhow::Result<f64> {
    let began = Instant::now();
    let mut cargo = Command::new("cargo");
    cargo.args(["rustc", "--quiet", "--lib", "--crate-type", "cdylib", "--features", "longshore/packaged"]);
    let status = cargo.current_dir(folder).env("CARGO_TARGET_DIR", packages_target()).status()?;
    anyhow::ensure!(status.success(), "cargo: {status}");
    Ok(began.elapsed().as_secs_f64())
}
