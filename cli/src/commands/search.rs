//! `longshore search`.

use crate::home::Home;
use crate::output::{ExitStatus, Printer, table, time};
use crate::registry::RegistryArgs;
use futures_util::StreamExt;
use longshore_package::PackageName;
use longshore_registry::{Error, Index, Registry, Release, Requirement};
use serde_json::{Value, json};

/// Indexes that are read at once.
const AT_ONCE: usize = 8;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A part of the names to list; every package by default
    text: Option<String>,
    /// List every release of the package of this very name
    #[arg(long, requires = "text")]
    releases: bool,
    /// Most packages to list
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    limit: u64,
    #[command(flatten)]
    registry: RegistryArgs,
    #[command(flatten)]
    home: Home,
}

pub(crate) async fn run(args: Args, printer: &Printer) -> anyhow::Result<ExitStatus> {
    let registry = args.registry.open(&args.home).await?;
    if let Some(name) = args.text.as_deref().filter(|_| args.releases) {
        return releases(&*registry, name, printer).await;
    }
    let (wanted, names) = (args.text.unwrap_or_default(), registry.names().await?);
    let mut names: Vec<PackageName> =
        names.into_iter().filter(|name| name.as_str().contains(&wanted)).collect();
    let found = names.len();
    names.truncate(usize::try_from(args.limit).unwrap_or(usize::MAX));
    let indexes = futures_util::stream::iter(&names).map(|name| registry.index(name)).buffered(AT_ONCE);
    let indexes: Vec<Result<Index, Error>> = indexes.collect().await;
    let indexes = readable(&names, indexes, printer);
    let document = json!({
        "registry": registry.address(), "found": found,
        "packages": indexes.iter().map(summary).collect::<Vec<_>>(),
    });
    printer.print(&document, || {
        if indexes.is_empty() {
            let named =
                if wanted.is_empty() { "yet".to_owned() } else { format!("with `{wanted}` in its name") };
            return format!("{} has no package {named}\n", registry.address());
        }
        let rows = indexes.iter().map(row).collect();
        let more = found - names.len();
        let rest = if more > 0 { format!("and {more} more; --limit N lists them\n") } else { String::new() };
        table(&["PACKAGE", "HIGHEST", "CHANNELS", "RELEASES", "TARGETS"], rows) + &rest
    })?;
    Ok(ExitStatus::Done)
}

/// The indexes that read; of others it is said why they do not. Other things than packages share registries of containers.
fn readable(names: &[PackageName], indexes: Vec<Result<Index, Error>>, printer: &Printer) -> Vec<Index> {
    let mut readable = Vec::with_capacity(indexes.len());
    for (name, index) in names.iter().zip(indexes) {
        match index {
            Ok(index) => readable.push(index),
            Err(Error::NoPackage { .. }) => {}
            Err(error) => printer.remark(&format!("{name}: {}: {error}", error.code())),
        }
    }
    readable
}

/// The highest version that may be taken.
fn highest(index: &Index) -> Option<&Release> {
    index.highest(|version| version.pre.is_empty()).or_else(|| index.highest(|_| true))
}

fn summary(index: &Index) -> Value {
    let highest = highest(index);
    json!({
        "name": index.name, "highest": highest.map(|release| &release.version), "channels": index.channels,
        "releases": index.releases.len(), "targets": highest.map(|release| &release.targets),
    })
}

fn row(index: &Index) -> Vec<String> {
    let highest = highest(index);
    let channels: Vec<String> =
        index.channels.iter().map(|(name, version)| format!("{name} {version}")).collect();
    vec![
        index.name.to_string(),
        highest.map_or_else(|| "all yanked".to_owned(), |release| release.version.to_string()),
        channels.join(", "),
        index.releases.len().to_string(),
        highest.map(|release| release.targets.join(", ")).unwrap_or_default(),
    ]
}

async fn releases(registry: &dyn Registry, name: &str, printer: &Printer) -> anyhow::Result<ExitStatus> {
    let Requirement { name, .. } = name.parse::<Requirement>()?;
    let index = registry.index(&name).await?;
    let documents =
        index.releases.iter().map(|release| release_document(&index, release)).collect::<Result<Vec<_>, _>>();
    let document = json!({ "registry": registry.address(), "name": name, "releases": documents? });
    printer.print(&document, || {
        let rows = index.releases.iter().map(|release| release_row(&index, release)).collect();
        table(&["VERSION", "DIGEST", "CHANNELS", "TARGETS", "SIGNED", "PUBLISHED", "YANKED"], rows)
    })?;
    Ok(ExitStatus::Done)
}

fn release_document(index: &Index, release: &Release) -> Result<Value, Error> {
    let signatures = release.parsed_signatures()?;
    let signatures: Vec<Value> = signatures
        .iter()
        .map(|signature| json!({ "key": signature.fingerprint(), "role": signature.role() }))
        .collect();
    Ok(json!({
        "version": release.version, "digest": release.digest, "bytes": release.bytes, "targets": release.targets,
        "channels": index.channels_at(&release.version).collect::<Vec<_>>(), "signatures": signatures,
        "published_at": longshore_store::iso::text(release.published_at), "yanked": release.yanked,
    }))
}

fn release_row(index: &Index, release: &Release) -> Vec<String> {
    vec![
        release.version.to_string(),
        release.digest.short().to_owned(),
        index.channels_at(&release.version).collect::<Vec<_>>().join(", "),
        release.targets.join(", "),
        release.signatures.len().to_string(),
        time(release.published_at),
        release.yanked.as_ref().map(|yanked| yanked.reason.clone()).unwrap_or_default(),
    ]
}
