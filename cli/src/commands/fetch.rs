//! `longshore fetch`.

use crate::home::Home;
use crate::output::{ExitStatus, Printer};
use crate::registry::{RegistryArgs, downloads, tidy};
use crate::replace::replace;
use longshore_package::trust::Signature;
use longshore_package::{Archive, ArchiveLimits, Error as PackageError};
use longshore_reconciler::artifact::signature_file;
use longshore_registry::{Release, Requirement, fetch};
use serde_json::json;
use std::path::{Path, PathBuf};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Which release: NAME for the highest version, NAME@1.2.0, NAME@^1, NAME@CHANNEL
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
    let (registry, downloads) = (args.registry.open(&args.home).await?, downloads());
    let (release, fetched) = fetch(&*registry, &args.requirement, args.target.as_deref(), &downloads).await?;
    let name = &args.requirement.name;
    let file = args.out.join(format!("{name}-{}.longshore", release.version));
    put(&fetched.path, &file, &release)?;
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

/// Puts the archive in place, and beside it the signatures that are not inside it.
fn put(fetched: &Path, file: &Path, release: &Release) -> anyhow::Result<()> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| PackageError::Write { path, source }
    };
    let folder = file.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder).map_err(failed(folder))?;
    // The signatures first: whoever watches the folder finds the package with them.
    let inside = Archive::open(fetched, ArchiveLimits::default())?.signatures()?;
    let mut beside = release.parsed_signatures()?;
    beside.retain(|signature| inside.iter().all(|other| !other.is_of_same_key(signature)));
    if !beside.is_empty() {
        replace(&signature_file(file), Signature::armored_all(&beside).as_bytes())?;
    }
    let new = tempfile::Builder::new().prefix(".").tempfile_in(folder).map_err(failed(file))?;
    std::fs::copy(fetched, new.path()).map_err(failed(file))?;
    new.as_file().sync_all().map_err(failed(file))?;
    new.persist(file).map_err(|error| failed(file)(error.error))?;
    Ok(())
}
