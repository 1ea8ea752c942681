//! `longshore status`: an overview of a home for its operator.

use crate::commands::hosts;
use crate::commands::packages::{check, list};
use crate::home::Home;
use crate::output::{ExitStatus, Printer};
use longshore_reconciler::readiness::ReadyState;
use longshore_store::{HostRow, PassInputs};
use serde_json::json;

/// Hosts that are shown.
const HOSTS: i64 = 5;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    home: Home,
}

pub(crate) async fn run(args: Args, printer: &Printer) -> anyhow::Result<ExitStatus> {
    let store = args.home.open_read_only().await?;
    let readiness = check::readiness(&store).await?;
    let hosts = HostRow::newest(&store, HOSTS).await?;
    let packages = list::PackageList::load(&store).await?;
    let unfinished: u64 = PassInputs::load(&store).await?.pins.values().sum();
    let count = packages.served();
    let document = json!({
        "ready": readiness.is_ready(),
        "state": readiness.state(),
        "readiness": readiness,
        "hosts": hosts.iter().map(hosts::document).collect::<Vec<_>>(),
        "packages": packages,
        "unfinished_runs": unfinished,
    });
    printer.print(&document, || {
        let (check, hosts, packages) =
            (check::text(&readiness), hosts::text(&hosts), list::text(&packages, false));
        format!("{check}\n{hosts}\n{packages}\n{count} packages, {unfinished} unfinished runs\n")
    })?;
    Ok(if readiness.state() == ReadyState::Ready { ExitStatus::Done } else { ExitStatus::Failed })
}
