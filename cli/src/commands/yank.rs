//! `longshore yank`.

use crate::home::Home;
use crate::output::{ExitStatus, Printer};
use crate::registry::{RegistryArgs, release};
use longshore_registry::{Edit, Yanked};
use serde_json::json;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The release, as NAME@VERSION; hosts that run it stay at it until something newer comes
    #[arg(value_name = "NAME@VERSION")]
    release: String,
    /// Reason, shown when the release is asked for
    #[arg(long, required_unless_present = "undo")]
    reason: Option<String>,
    /// Let it be taken again
    #[arg(long, conflicts_with = "reason")]
    undo: bool,
    #[command(flatten)]
    registry: RegistryArgs,
    #[command(flatten)]
    home: Home,
}

pub(crate) async fn run(args: Args, printer: &Printer) -> anyhow::Result<ExitStatus> {
    let (name, version) = release(&args.release)?;
    let registry = args.registry.open(&args.home).await?;
    let yanked = args.reason.map(|reason| Yanked { reason });
    let edit = Edit::Yank { version: version.clone(), yanked: yanked.clone() };
    let index = registry.edit(&name, edit).await?;
    let channels: Vec<&str> = index.channels_at(&version).collect();
    let document = json!({
        "registry": registry.address(), "name": name, "version": version, "yanked": yanked, "channels": channels,
    });
    printer.print(&document, || match &yanked {
        None => format!("{name} {version} can be taken again\n"),
        Some(_) if channels.is_empty() => format!("{name} {version} is yanked\n"),
        Some(_) => format!(
            "{name} {version} is yanked; {} gives no release until `longshore promote` moves it\n",
            channels.join(", ")
        ),
    })?;
    Ok(ExitStatus::Done)
}
