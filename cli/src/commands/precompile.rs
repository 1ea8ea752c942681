//! `longshore precompile`.

use crate::build_error::BuildError;
use crate::home::{Home, now_ms};
use crate::keys::sign;
use crate::output::{ExitStatus, Printer};
use crate::packaging::{BuildOptions, build, prebuilt_of};
use crate::registry::open_at;
use anyhow::Context;
use longshore_package::trust::Role;
use longshore_package::{Archive, ArchiveLimits, Digest};
use longshore_registry::{Registry, Release, release_of};
use serde_json::{Value, json};
use std::path::PathBuf;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Folder of the crate
    #[arg(default_value = ".")]
    path: PathBuf,
    /// The key that signs, as the builder: one of those that longshore.toml names
    #[arg(long)]
    key: PathBuf,
    /// Optimise, as those do who call `longshore build --release`
    #[arg(long)]
    release: bool,
    /// Target triples, one build for each; cargo's own choice by default
    #[arg(long = "target", value_name = "TRIPLE")]
    targets: Vec<String>,
    /// The registry, when it is another than the one that longshore.toml names for whoever builds
    #[arg(long, value_name = "ADDRESS")]
    registry: Option<String>,
    #[command(flatten)]
    home: Home,
}

pub(crate) async fn run(args: Args, printer: &Printer) -> anyhow::Result<ExitStatus> {
    let named = match &args.registry {
        Some(address) => Some(address.clone()),
        None => prebuilt_of(&args.path)?.map(|prebuilt| prebuilt.url),
    };
    let address = named.ok_or_else(|| BuildError::NoPrebuilt { path: args.path.join("longshore.toml") })?;
    let registry = open_at(&address, &args.home).await?;
    let mut targets: Vec<Vec<String>> = args.targets.iter().map(|target| vec![target.clone()]).collect();
    if targets.is_empty() {
        targets.push(Vec::new());
    }
    let mut done = Vec::new();
    for targets in targets {
        let built = precompile(&args, targets, &*registry).await?;
        done.push(built);
    }
    let documents: Vec<Value> = done.iter().map(|(release, content)| document(release, content)).collect();
    let document = json!({ "registry": registry.address(), "prebuilt": documents });
    printer.print(&document, || done.iter().map(|(release, content)| text(release, content)).collect())?;
    Ok(ExitStatus::Done)
}

/// Builds for one target, signs, and publishes for the content hash.
async fn precompile(
    args: &Args,
    targets: Vec<String>,
    registry: &dyn Registry,
) -> anyhow::Result<(Release, Digest)> {
    let folder = tempfile::tempdir()?;
    let out = Some(folder.path().to_owned());
    let options =
        BuildOptions { release: args.release, targets, out, with_content: true, ..BuildOptions::default() };
    let built = build(&args.path, &options)?;
    let signature = sign(&args.key, Role::Builder, &built.digest)?;
    let (name, release) = release_of(&built.file, &[signature], now_ms())?;
    // As it was when the sources were built, and so under the signature.
    let archive = Archive::open(&built.file, ArchiveLimits::default())?;
    let content = archive.manifest().package.content.clone().context("the build has no content hash")?;
    registry.upload(&name, &release, &built.file).await?;
    registry.put_prebuilt(&name, &content, &release).await?;
    Ok((release, content))
}

fn document(release: &Release, content: &Digest) -> Value {
    json!({
        "version": release.version, "digest": release.digest, "content_hash": content, "targets": release.targets,
    })
}

fn text(release: &Release, content: &Digest) -> String {
    let (version, short, targets) = (&release.version, release.digest.short(), release.targets.join(", "));
    format!("{version} ({short}) for {targets}: published as the build of {content}\n")
}
