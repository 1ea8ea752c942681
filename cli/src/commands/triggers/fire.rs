//! `longshore triggers fire`.

use crate::home::Home;
use crate::output::{ExitStatus, Printer};
use crate::request::decision::Decision;
use crate::request::input::ContextOptions;
use crate::request::{answer_timeout, ask, print_started};
use longshore_store::{RequestKind, TenantId};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The trigger; `tenant/name` for tenants other than public
    trigger: String,
    #[command(flatten)]
    context: ContextOptions,
    #[command(flatten)]
    decision: Decision,
}

pub(super) async fn run(home: &Home, args: &Args, printer: &Printer) -> anyhow::Result<ExitStatus> {
    let given = args.context.read()?;
    let store = home.open_read_only().await?;
    let timeout = answer_timeout(&store).await?;
    let target = (RequestKind::Fire, TenantId::default(), args.trigger.as_str());
    let outcome = ask(&store, target, &given, &args.decision, Some(timeout)).await?;
    print_started(outcome, timeout, printer)
}
