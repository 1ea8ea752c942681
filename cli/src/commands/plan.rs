//! `longshore plan`.

use crate::commands::serve;
use crate::home::{Home, LoadOptions};
use crate::output::{ExitStatus, Printer};
use crate::view;
use longshore_reconciler::preview;
use std::path::PathBuf;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Directories to take packages from; LONGSHORE_PATH, then HOME/packages, by default
    directories: Vec<PathBuf>,
    #[command(flatten)]
    load: LoadOptions,
    #[command(flatten)]
    home: Home,
}

pub(crate) async fn run(args: Args, printer: &Printer) -> anyhow::Result<ExitStatus> {
    let store = args.home.open_read_only().await?;
    let directories = serve::directories(&args.directories, &args.home)?;
    let mut options = args.home.reconciler_options(directories);
    args.load.apply(&mut options);
    let preview = preview(&options, &store).await?;
    printer.print(&view::plan::document(&preview), || view::plan::text(&preview))?;
    Ok(ExitStatus::Done)
}
