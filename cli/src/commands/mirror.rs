//! `longshore mirror`.

use crate::home::Home;
use crate::output::{ExitStatus, Printer};
use crate::registry::{downloads, open_at, tidy};
use anyhow::Context;
use longshore_package::PackageName;
use longshore_registry::{Downloads, Error, Registry, Release, Requirement, Want, copy, write_bundle};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// The ending of a bundle's name.
const BUNDLE: &str = "bundle";

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The registry to copy from
    from: String,
    /// The registry to copy to, or a new file NAME.bundle: one file that is a registry to read from
    to: String,
    /// Packages with all their releases (NAME), or one release of them (NAME@WANTED); all packages by default
    #[arg(value_name = "NAME[@WANTED]")]
    requirements: Vec<Requirement>,
    #[command(flatten)]
    home: Home,
}

/// A package, and the releases of it that are there now.
type Copied = (PackageName, Vec<Release>);

pub(crate) async fn run(args: Args, printer: &Printer) -> anyhow::Result<ExitStatus> {
    let (from, downloads) = (open_at(&args.from, &args.home).await?, downloads(&args.home.home));
    let mut requirements = args.requirements;
    let lists_all = requirements.is_empty();
    if lists_all {
        requirements =
            from.names().await?.into_iter().map(|name| Requirement { name, want: Want::Latest }).collect();
    }
    let path = PathBuf::from(args.to.strip_prefix("file:").unwrap_or(&args.to));
    let is_bundle = !args.to.contains("://") && path.extension().is_some_and(|extension| extension == BUNDLE);
    let (copied, bytes) = match is_bundle.then_some(path) {
        Some(file) => into_bundle(&*from, file, (&requirements, lists_all), &downloads).await?,
        None => {
            all(&*from, &*open_at(&args.to, &args.home).await?, (&requirements, lists_all), &downloads)
                .await?
        }
    };
    tidy(&downloads);
    let documents: Vec<Value> = copied
        .iter()
        .map(|(name, releases)| {
            let versions: Vec<_> = releases.iter().map(|release| &release.version).collect();
            json!({ "name": name, "versions": versions })
        })
        .collect();
    let document =
        json!({ "from": from.address(), "to": args.to, "packages": documents, "downloaded_bytes": bytes });
    printer.print(&document, || {
        let releases: usize = copied.iter().map(|(_, releases)| releases.len()).sum();
        let (releases, packages) = (count(releases, "release"), count(copied.len(), "package"));
        format!("{releases} of {packages}; {bytes} bytes were downloaded\n{}\n", args.to)
    })?;
    Ok(ExitStatus::Done)
}

/// A number of things.
fn count(n: usize, thing: &str) -> String {
    if n == 1 { format!("1 {thing}") } else { format!("{n} {thing}s") }
}

async fn all(
    from: &dyn Registry,
    to: &dyn Registry,
    (requirements, lists_all): (&[Requirement], bool),
    downloads: &Downloads,
) -> anyhow::Result<(Vec<Copied>, u64)> {
    let (mut copied, mut bytes) = (Vec::new(), 0);
    for requirement in requirements {
        let (releases, downloaded) = match copy(from, to, requirement, downloads).await {
            // Other things than packages share registries of containers.
            Err(Error::NoPackage { .. }) if lists_all => continue,
            copied => copied?,
        };
        bytes += downloaded;
        copied.push((requirement.name.clone(), releases));
    }
    Ok((copied, bytes))
}

/// Copies into a folder beside the file, and makes one file of that.
async fn into_bundle(
    from: &dyn Registry,
    file: PathBuf,
    (requirements, lists_all): (&[Requirement], bool),
    downloads: &Downloads,
) -> anyhow::Result<(Vec<Copied>, u64)> {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let staged = tempfile::Builder::new().prefix(".").tempdir_in(folder);
    let staged = staged.with_context(|| format!("cannot make a folder in {}", folder.display()))?;
    let to = longshore_registry::open(&staged.path().display().to_string()).await?;
    let done = all(from, &*to, (requirements, lists_all), downloads).await?;
    let path = staged.path().to_owned();
    tokio::task::spawn_blocking(move || write_bundle(&path, &file)).await??;
    Ok(done)
}
