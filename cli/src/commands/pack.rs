//! `longshore pack`.

use crate::error::CliError;
use crate::output::{ExitStatus, Printer};
use crate::packaging::write;
use longshore_package::{Archive, ArchiveLimits, Build, Error, SharedFiles, join};
use std::path::{Path, PathBuf};
use std::sync::Arc;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Package files of the same package, each with a build for other targets
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// A library, and the target that it was built for
    #[arg(long = "library", value_name = "TRIPLE=PATH")]
    libraries: Vec<String>,
    /// The folder for the package file
    #[arg(short, long, default_value = ".")]
    out: PathBuf,
}

pub(crate) fn run(args: &Args, printer: &Printer) -> anyhow::Result<ExitStatus> {
    let mut builds = Vec::new();
    for file in &args.files {
        builds.extend(builds_of(file)?);
    }
    for text in &args.libraries {
        builds.push(library(text)?);
    }
    let signed = args.files.iter().filter(|file| is_signed(file)).count();
    let (manifest, digest, archive) = join(&builds)?;
    if signed > 0 {
        printer.remark("signatures are not copied: sign the new file");
    }
    let built = write(manifest.package, digest, &archive, &args.out)?;
    let mut targets: Vec<&str> = builds.iter().map(|build| build.target.as_str()).collect();
    targets.sort_unstable();
    targets.dedup();
    let mut document = built.document();
    document["targets"] = targets.clone().into();
    printer.print(&document, || built.text() + &format!("for {}\n", targets.join(", ")))?;
    Ok(ExitStatus::Done)
}

fn is_signed(file: &Path) -> bool {
    let archive = Archive::open(file, ArchiveLimits::default());
    archive.and_then(|mut archive| archive.signatures()).is_ok_and(|signatures| !signatures.is_empty())
}

/// Every build of a package file.
fn builds_of(file: &Path) -> Result<Vec<Build>, Error> {
    let mut archive = Archive::open(file, ArchiveLimits::default())?;
    let targets = archive.targets();
    let assets = archive.assets().into_iter().map(|path| Ok((path.clone(), archive.file(&path)?)));
    let assets = assets.collect::<Result<_, Error>>()?;
    let shared = Arc::new(SharedFiles { manifest: archive.manifest().clone(), assets });
    let origin = file.display().to_string();
    let build = |target: String| {
        let library = archive.library(&target)?;
        Ok(Build { origin: origin.clone(), target, library, shared: Some(Arc::clone(&shared)) })
    };
    targets.into_iter().map(build).collect()
}

fn library(text: &str) -> anyhow::Result<Build> {
    let bad = || CliError::BadParam { text: text.to_owned() };
    let (target, path) = text.split_once('=').filter(|(target, _)| !target.is_empty()).ok_or_else(bad)?;
    let path = Path::new(path);
    let bytes = std::fs::read(path).map_err(|source| Error::Read { path: path.to_owned(), source })?;
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    Ok(Build::of_library(path.display().to_string(), target.to_owned(), name, bytes))
}
