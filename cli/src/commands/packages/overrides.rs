//! `longshore packages add`, `remove`, `rollback`, `pin`, `hold`, `release`: overrides of what the directories offer.

use super::Decision;
use crate::error::CliError;
use crate::home::{Home, LoadOptions, now_ms};
use crate::output::{ExitStatus, Printer};
use longshore_package::{Digest, PackageName};
use longshore_reconciler::take_in;
use longshore_store::{
    Access, ArtifactRow, Override, OverrideKind, PackageRow, PackageState, PassInputs, Store, Verdict,
};
use serde_json::json;
use std::collections::BTreeSet;
use std::path::Path;

pub(super) async fn add(
    home: &Home,
    file: &Path,
    load: &LoadOptions,
    decision: Decision,
    printer: &Printer,
) -> anyhow::Result<ExitStatus> {
    if !file.is_file() {
        return Err(CliError::NotACrate { path: file.to_owned() }.into());
    }
    let store = open_or_make(home).await?;
    let mut options = home.reconciler_options(Vec::new());
    load.apply(&mut options);
    let artifact = take_in(file, &options, &store).await?;
    let package = &artifact.manifest().package;
    let mut row = override_of(package.name.clone(), OverrideKind::Add, decision);
    (row.digest, row.version) = (Some(artifact.digest().clone()), package.version.clone());
    record(home, &store, &row, printer).await
}

/// The database of a home; the first package may come before the first host.
async fn open_or_make(home: &Home) -> anyhow::Result<Store> {
    std::fs::create_dir_all(&home.home)?;
    let database = home.database();
    if !database.is_file() {
        Store::open_file(&database, Access::Owner).await?.close().await;
    }
    Ok(Store::open_file(&database, Access::Client).await?)
}

pub(super) async fn remove(
    home: &Home,
    name: &str,
    decision: Decision,
    printer: &Printer,
) -> anyhow::Result<ExitStatus> {
    let store = home.open_read_only().await?;
    let known = Known::load(&store, &name.into()).await?;
    let row = override_of(known.name, OverrideKind::Remove, decision);
    record(home, &store, &row, printer).await
}

pub(super) async fn hold(
    home: &Home,
    name: &str,
    decision: Decision,
    printer: &Printer,
) -> anyhow::Result<ExitStatus> {
    let store = home.open_read_only().await?;
    let known = Known::load(&store, &name.into()).await?;
    let mut row = override_of(known.name.clone(), OverrideKind::Hold, decision);
    if let Some(held) = known.loaded() {
        (row.digest, row.version) = (Some(held.digest.clone()), held.version.clone());
    }
    record(home, &store, &row, printer).await
}

pub(super) async fn pin(
    home: &Home,
    name: &str,
    to: Option<&str>,
    decision: Decision,
    printer: &Printer,
) -> anyhow::Result<ExitStatus> {
    let store = home.open_read_only().await?;
    let known = Known::load(&store, &name.into()).await?;
    let chosen = match to {
        Some(text) => known.named(text)?,
        None => known.loaded().ok_or_else(|| known.no_digest("digest that is loaded".into()))?,
    };
    let mut row = override_of(known.name.clone(), OverrideKind::Pin, decision);
    (row.digest, row.version) = (Some(chosen.digest.clone()), chosen.version.clone());
    record(home, &store, &row, printer).await
}

pub(super) async fn roll_back(
    home: &Home,
    name: &str,
    to: Option<&str>,
    decision: Decision,
    printer: &Printer,
) -> anyhow::Result<ExitStatus> {
    if to.is_some() {
        // Whoever names a digest means that one, whatever is offered.
        return pin(home, name, to, decision, printer).await;
    }
    let store = home.open_read_only().await?;
    let known = Known::load(&store, &name.into()).await?;
    let mut row = override_of(known.name.clone(), OverrideKind::RollBack, decision);
    let before = known.before(&known.package.digest);
    let before = before.ok_or_else(|| known.no_digest("earlier digest to go back to".into()))?;
    (row.digest, row.version) = (Some(before.digest.clone()), before.version.clone());
    row.avoid = Some(known.package.digest.clone());
    record(home, &store, &row, printer).await
}

pub(super) async fn release(
    home: &Home,
    name: &str,
    decision: &Decision,
    printer: &Printer,
) -> anyhow::Result<ExitStatus> {
    let store = home.open_read_only().await?;
    let package = PackageName::from(name);
    let released = Override::release(&store, &package, &decision.actor, &decision.reason, now_ms()).await?;
    home.wake();
    if !released {
        find(&store, &package).await?;
    }
    printer.print(&json!({ "name": name, "released": released }), || {
        if released {
            format!("{name}: what the directories offer counts again\n")
        } else {
            format!("nothing to do: {name} has no override\n")
        }
    })?;
    Ok(ExitStatus::Done)
}

fn override_of(name: PackageName, kind: OverrideKind, decision: Decision) -> Override {
    let Decision { actor, reason } = decision;
    let (version, updated_at) = (String::new(), now_ms());
    Override { name, kind, digest: None, version, avoid: None, actor, reason, updated_at }
}

/// Records an override, and wakes the host.
async fn record(home: &Home, store: &Store, row: &Override, printer: &Printer) -> anyhow::Result<ExitStatus> {
    row.put(store).await?;
    home.wake();
    printer.print(row, || {
        let version = if row.version.is_empty() { String::new() } else { format!(" {}", row.version) };
        let state = row.kind.participle();
        format!("{}{version}: {state}; its host carries that out within seconds\n", row.name)
    })?;
    Ok(ExitStatus::Done)
}

/// A package that this home knows, with its digests.
struct Known {
    name: PackageName,
    package: PackageRow,
    /// Digests in the artifact cache, the newest first, and the loaded one.
    artifacts: Vec<ArtifactRow>,
}

impl Known {
    async fn load(store: &Store, name: &PackageName) -> anyhow::Result<Self> {
        let package = find(store, name).await?;
        let mut artifacts = ArtifactRow::of_package(store, name).await?;
        // Evicted digests cannot be gone back to.
        artifacts.retain(|artifact| artifact.library.is_some() || artifact.digest == package.digest);
        Ok(Self { name: name.clone(), package, artifacts })
    }

    /// The artifact that is desired now.
    fn loaded(&self) -> Option<&ArtifactRow> {
        let is_desired = self.package.state == PackageState::Desired;
        self.artifacts.iter().find(|a| is_desired && a.digest == self.package.digest)
    }

    /// The newest artifact before a digest that passed its probe.
    fn before(&self, digest: &Digest) -> Option<&ArtifactRow> {
        let earlier = self.artifacts.iter().skip_while(|a| a.digest != *digest).skip(1);
        earlier.into_iter().find(|a| a.verdict.verdict == Some(Verdict::Sound))
    }

    /// The one artifact of a version, or of the beginning of a digest.
    fn named(&self, text: &str) -> anyhow::Result<&ArtifactRow> {
        let matches = |a: &&ArtifactRow| a.version == text || a.digest.as_str().starts_with(text);
        let mut found = self.artifacts.iter().filter(matches);
        match (found.next(), found.next()) {
            (Some(one), None) => Ok(one),
            (Some(_), Some(_)) => Err(self.no_digest(format!("single digest that `{text}` names")).into()),
            (None, _) => Err(self.no_digest(format!("digest `{text}`")).into()),
        }
    }

    fn no_digest(&self, wanted: String) -> CliError {
        let known = |a: &ArtifactRow| format!("{} ({})", a.version, a.digest.short());
        let known = self.artifacts.iter().map(known).collect();
        CliError::NoDigest { name: self.name.to_string(), wanted, known }
    }
}

/// A package that this home knows: a host loaded it, or an override asks for it.
pub(super) async fn find(store: &Store, name: &PackageName) -> anyhow::Result<PackageRow> {
    let mut all = PackageRow::all(store).await?;
    let overrides = PassInputs::load(store).await?.overrides;
    all.extend(overrides.into_iter().filter_map(of_override));
    let known: BTreeSet<String> = all.iter().map(|package| package.name.to_string()).collect();
    let found = all.into_iter().find(|package| package.name == *name);
    found.ok_or_else(|| {
        CliError::NoPackage { name: name.to_string(), known: known.into_iter().collect() }.into()
    })
}

/// A package that no host has loaded yet.
fn of_override(row: Override) -> Option<PackageRow> {
    let Override { name, kind, digest, version, actor, reason, updated_at, .. } = row;
    let state = if kind == OverrideKind::Remove { PackageState::Removed } else { PackageState::Desired };
    Some(PackageRow {
        name,
        version,
        digest: digest?,
        source: String::new(),
        state,
        actor,
        reason,
        updated_at,
    })
}
