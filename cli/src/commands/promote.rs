//! `longshore promote`.

use crate::home::Home;
use crate::output::{ExitStatus, Printer};
use crate::registry::{RegistryArgs, channel, release};
use longshore_registry::Edit;
use serde_json::json;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The release, as NAME@VERSION
    #[arg(value_name = "NAME@VERSION")]
    release: String,
    /// The channel, such as `stable`: hosts that follow it get this release
    #[arg(value_parser = channel)]
    channel: String,
    #[command(flatten)]
    registry: RegistryArgs,
    #[command(flatten)]
    home: Home,
}

pub(crate) async fn run(args: Args, printer: &Printer) -> anyhow::Result<ExitStatus> {
    let (name, version) = release(&args.release)?;
    let channel = args.channel;
    let registry = args.registry.open(&args.home).await?;
    let edit = Edit::Promote { channel: channel.clone(), version: version.clone() };
    registry.edit(&name, edit).await?;
    let document =
        json!({ "registry": registry.address(), "name": name, "version": version, "channel": channel });
    printer.print(&document, || format!("{name}@{channel} is {version}\n"))?;
    Ok(ExitStatus::Done)
}
