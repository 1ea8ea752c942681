//! `longshore fetch`.

use crate::home::Home;
use crate::output::{ExitStatus, Printer};
use crate::registry::{RegistryArgs, downloads, put_fetched, tidy};
use longshore_registry::{Requirement, fetch};
use serde_json::json;
use std::path::PathBuf;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Release: NAME for the highest version, NAME@1.2.0, NAME@^1, NAME@CHANNEL
    #[arg(value_name = "NAME[@WANTED]")]
    requirement: Requirement,
    /// Refuse a release without a build for this target
    #[arg(long, value_name = "TRIPLE")]
    target: Option<String>,
    /// The folder for the package file
    #[arg(short, long, default_value = ".")]
    out: PathBuf,
    #[command(flatten)]
    registry: RegistryArgs,
    #[command(flatten)]
    home: Home,
}

pub(crate) async fn run(args: Args, printer: &Printer) -> anyhow::Result<ExitStatus> {
    let (registry, downloads) = (args.registry.open(&args.home).await?, downloads(&args.home.home));
    let (release, fetched) = fetch(&*registry, &args.requirement, args.target.as_deref(), &downloads).await?;
    let name = &args.requirement.name;
    let file = args.out.join(format!("{name}-{}.longshore", release.version));
    put_fetched(&fetched.path, &file, &release)?;
    tidy(&downloads);
    if let Some(yanked) = &release.yanked {
        printer.remark(&format!("{name} {} is yanked: {}", release.version, yanked.reason));
    }
    let document = json!({
        "file": file, "name": name, "version": release.version, "digest": release.digest,
        "targets": release.targets, "signatures": release.signatures.len(), "yanked": release.yanked,
        "registry": registry.address(), "downloaded_bytes": fetched.downloaded,
    });
    printer.print(&document, || {
        let short = release.digest.short();
        format!("{name} {} ({short}) from {}\n{}\n", release.version, registry.address(), file.display())
    })?;
    Ok(ExitStatus::Done)
}
