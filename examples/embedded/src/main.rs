//! Runs the weather workflow from this program's own inventory: the same source, without a package.

use longshore::embedded::{Embedded, EmbeddedOptions};
use longshore::engine::StartRequest;
use std::error::Error;
use std::time::Duration;
// A dependency that nothing names is not linked, and its entries with it.
use weather as _;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let (name, version) = (env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"));
    let mut options = EmbeddedOptions::new(name, version, "target/embedded/longshore.db");
    options.engine.triggers = false;
    let program = Embedded::open(options).await?;

    let mut request = StartRequest { workflow: "weather".into(), ..StartRequest::default() };
    request.params.insert("out".into(), "target/embedded".into());
    let run = program.start(request).await?.run;
    let report = program.wait(run).await?;

    println!("{} {}", report.workflow, report.state.as_str());
    for task in &report.tasks {
        println!("  {:10} {} after {} attempts", task.id, task.state.as_str(), task.attempts);
    }
    program.shutdown(Duration::from_secs(5)).await;
    Ok(())
}
