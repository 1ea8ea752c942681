//! `longshore packages add`, `remove`, `rollback`, `pin`, `hold`, `retry`, `release`: overrides of what the directories offer.

use super::known::{Known, find, require_known_or_refused};
use crate::error::CliError;
use crate::home::{Home, LoadOptions, now_ms};
use crate::output::{ExitStatus, Printer};
use crate::request::decision::Decision;
use longshore_package::PackageName;
use longshore_reconciler::take_in;
use longshore_store::{ArtifactRow, Override, OverrideKind, Store, VerdictRow};
use serde_json::json;
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
    let store = home.open_or_make().await?;
    let mut options = home.reconciler_options(Vec::new());
    load.apply(&mut options);
    let artifact = take_in(file, &options, &store).await?;
    let package = &artifact.manifest().package;
    let mut row = override_of(package.name.clone(), OverrideKind::Add, None, decision);
    (row.digest, row.version) = (Some(artifact.digest().clone()), package.version.clone());
    record(home, &store, &row, printer).await
}

pub(super) async fn remove(
    home: &Home,
    name: &str,
    decision: Decision,
    printer: &Printer,
) -> anyhow::Result<ExitStatus> {
    let store = home.open_read_only().await?;
    let known = Known::load(&store, &name.into()).await?;
    let row = override_of(known.name, OverrideKind::Remove, None, decision);
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
    let row = override_of(known.name.clone(), OverrideKind::Hold, known.loaded(), decision);
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
    let row = override_of(known.name.clone(), OverrideKind::Pin, Some(chosen), decision);
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
    let before = known.before(&known.package.digest);
    let before = before.ok_or_else(|| known.no_digest("earlier digest to go back to".into()))?;
    let mut row = override_of(known.name.clone(), OverrideKind::RollBack, Some(before), decision);
    row.avoid = Some(known.package.digest.clone());
    record(home, &store, &row, printer).await
}

pub(super) async fn retry(
    home: &Home,
    name: &str,
    decision: &Decision,
    printer: &Printer,
) -> anyhow::Result<ExitStatus> {
    let store = home.open_read_only().await?;
    let package = PackageName::from(name);
    require_known_or_refused(&store, &package).await?;
    VerdictRow::request_retry(&store, &package, &decision.actor, &decision.reason, now_ms()).await?;
    home.wake();
    printer.print(&json!({ "name": name, "retry": true }), || {
        format!("{name}: its host tries it again within seconds\n")
    })?;
    Ok(ExitStatus::Done)
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

fn override_of(
    name: PackageName,
    kind: OverrideKind,
    artifact: Option<&ArtifactRow>,
    decision: Decision,
) -> Override {
    let Decision { actor, reason } = decision;
    let digest = artifact.map(|artifact| artifact.digest.clone());
    let version = artifact.map(|artifact| artifact.version.clone()).unwrap_or_default();
    Override { name, kind, digest, version, avoid: None, actor, reason, updated_at: now_ms() }
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
