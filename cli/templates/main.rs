//! Runs the workflow from this program's own inventory: the same source, without a package.

use longshore::embedded::{Embedded, EmbeddedOptions};
use longshore::engine::StartRequest;
use std::error::Error;
use std::time::Duration;
// Its entries are in this program's inventory when it is named.
use TEMPLATE_IDENT as _;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let (name, version) = (env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"));
    let program = Embedded::open(EmbeddedOptions::new(name, version, ".longshore/longshore.db")).await?;

    let request = StartRequest { workflow: "TEMPLATE_NAME".into(), ..StartRequest::default() };
    let run = program.start(request).await?.run;
    let report = program.wait(run).await?;

    println!("{} {}: {}", report.workflow, report.state.as_str(), report.context);
    program.shutdown(Duration::from_secs(5)).await;
    Ok(())
}
