//! Runs the weather workflow from this program's own inventory: the same source, without a package.

use longshore::engine::{Engine, Options, StartRequest, embedded::EmbeddedPackage};
use longshore_store::{Access, Store};
use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
// A dependency that nothing names is not linked, and its entries with it.
use weather as _;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let store = Store::open_file(Path::new("target/embedded/longshore.db"), Access::Owner).await?;
    let packages = EmbeddedPackage::from_inventory(env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"))?;
    let engine =
        Engine::open(store, Arc::new(packages), Options { triggers: false, ..Options::default() }).await?;

    let mut request = StartRequest { workflow: "weather".into(), ..StartRequest::default() };
    request.params.insert("out".into(), "target/embedded".into());
    let run = engine.start(request).await?.run;
    let report = engine.wait(run).await?;

    println!("{} {}", report.workflow, report.state.as_str());
    for task in &report.tasks {
        println!("  {:10} {} after {} attempts", task.id, task.state.as_str(), task.attempts);
    }
    engine.shutdown(Duration::from_secs(5)).await;
    Ok(())
}
