//! Loads a package file, runs a workflow of it and unloads it again: `embedded-host FILE WORKFLOW`.

use longshore::host::{Host, HostOptions, StartRequest, run_child_if_requested};
use std::error::Error;
use std::time::Duration;

fn main() -> Result<(), Box<dyn Error>> {
    // Probes and isolated packages are children of this program.
    run_child_if_requested();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(embed())
}

async fn embed() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let (Some(file), Some(workflow)) = (args.next(), args.next()) else {
        return Err("usage: embedded-host FILE WORKFLOW".into());
    };
    let host = Host::open(HostOptions::new("target/embedded-host")).await?;
    let package = host.load(file).await?;
    println!("loaded {} {}", package.name, package.version);

    let started = host.start(StartRequest { workflow, ..StartRequest::default() }).await?;
    let report = host.wait(started.run).await?;
    println!("{} {}", report.workflow, report.state.as_str());

    println!("unloaded: {}", host.unload(&package.name).await?);
    host.shutdown(Duration::from_secs(5)).await;
    Ok(())
}
