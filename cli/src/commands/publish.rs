//! `longshore publish`.

use crate::home::{Home, now_ms};
use crate::output::{ExitStatus, Printer};
use crate::registry::{RegistryArgs, channel};
use longshore_reconciler::artifact::detached_signatures;
use longshore_registry::{Edit, Published, publish};
use serde_json::{Value, json};
use std::path::PathBuf;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Package files; signatures inside them and beside them (FILE.sig) are published as well
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Move this channel to each published release; may be repeated
    #[arg(long, value_name = "CHANNEL", value_parser = channel)]
    channel: Vec<String>,
    #[command(flatten)]
    registry: RegistryArgs,
    #[command(flatten)]
    home: Home,
}

pub(crate) async fn run(args: Args, printer: &Printer) -> anyhow::Result<ExitStatus> {
    let registry = args.registry.open(&args.home).await?;
    let mut published = Vec::new();
    for file in &args.files {
        if !file.is_file() {
            let source = std::io::ErrorKind::NotFound.into();
            return Err(longshore_package::Error::Read { path: file.clone(), source }.into());
        }
        let done = publish(&*registry, file, &detached_signatures(file)?, now_ms()).await?;
        for channel in &args.channel {
            let version = done.release.version.clone();
            registry.edit(&done.index.name, Edit::Promote { channel: channel.clone(), version }).await?;
        }
        published.push(done);
    }
    let documents: Vec<Value> = published.iter().map(|done| document(done, &args.channel)).collect();
    let document = json!({ "registry": registry.address(), "published": documents });
    printer.print(&document, || published.iter().map(|done| text(done, registry.address())).collect())?;
    Ok(ExitStatus::Done)
}

fn document(Published { index, release, uploaded }: &Published, channels: &[String]) -> Value {
    json!({
        "name": index.name, "version": release.version, "digest": release.digest, "targets": release.targets,
        "signatures": release.signatures.len(), "channels": channels, "uploaded": uploaded,
    })
}

fn text(Published { index, release, uploaded }: &Published, registry: &str) -> String {
    let (short, targets) = (release.digest.short(), release.targets.join(", "));
    let was_there = if *uploaded { "" } else { " (its archive was there)" };
    let signatures = match release.signatures.len() {
        0 => "unsigned".to_owned(),
        1 => "1 signature".to_owned(),
        n => format!("{n} signatures"),
    };
    format!(
        "{} {} ({short}) published{was_there}: {targets}; {signatures}\n{registry}\n",
        index.name, release.version
    )
}
