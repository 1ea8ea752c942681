//! `longshore packages add`, `remove`, `rollback`, `pin`, `hold`, `release`: which digest counts.

use crate::args::{Decision, Home, PackagesCommand, Taking};
use crate::failure::Failure;
use crate::output;
use longshore_reconciler::preview::take_in;
use longshore_store::{Access, ArtifactRow, Outlook, PackageRow, PackageState, RegistryRow, Stance, Store};
use serde_json::json;
use std::collections::BTreeSet;
use std::path::Path;
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

pub(crate) async fn run(home: &Home, command: PackagesCommand, json: bool) -> anyhow::Result<ExitCode> {
    let (store, row) = match command {
        PackagesCommand::Add { file, taking, decision } => add(home, &file, &taking, decision).await?,
        PackagesCommand::Release { name, decision } => return release(home, &name, &decision, json).await,
        other => {
            let store = home.look().await?;
            let row = decided(&store, other).await?;
            (store, row)
        }
    };
    row.put(&store).await?;
    home.wake();
    if json {
        output::json(&row)?;
    } else {
        let version = if row.version.is_empty() { String::new() } else { format!(" {}", row.version) };
        println!("{}{version}: {}; its host does so within seconds", row.name, row.stance.as_str());
    }
    Ok(ExitCode::SUCCESS)
}

/// What a command decides about a package that is known.
async fn decided(store: &Store, command: PackagesCommand) -> anyhow::Result<RegistryRow> {
    let (name, stance, to, decision) = match command {
        PackagesCommand::Remove { name, decision } => (name, Stance::Removed, None, decision),
        PackagesCommand::Hold { name, decision } => (name, Stance::Held, None, decision),
        PackagesCommand::Pin { name, to, decision } => (name, Stance::Pinned, to, decision),
        PackagesCommand::Rollback { name, to, decision } => (name, Stance::RolledBack, to, decision),
        _ => unreachable!("these are handled by `run` and by `packages`"),
    };
    let mut row = row(name, stance, decision);
    let mut artifacts = ArtifactRow::of_package(store, &row.name).await?;
    let package = package(store, &row.name).await?;
    let current = Some(package.digest.as_str()).filter(|_| package.state == PackageState::Desired);
    // The private copies of old ones are removed: those cannot be gone back to.
    artifacts.retain(|artifact| artifact.library.is_some() || Some(artifact.digest.as_str()) == current);
    let chosen = match (stance, &to) {
        (Stance::Removed, _) => return Ok(row),
        (Stance::Held, _) => match artifacts.iter().find(|a| Some(a.digest.as_str()) == current) {
            Some(held) => held,
            None => return Ok(row),
        },
        (_, Some(text)) => named(&row.name, &artifacts, text)?,
        (Stance::RolledBack, None) => {
            row.avoid = package.digest.clone();
            let later = artifacts.iter().skip_while(|a| a.digest != row.avoid).skip(1);
            // One that never passed its probe was never good.
            let before = later.into_iter().find(|a| a.probe.as_deref() == Some("passed"));
            before.ok_or_else(|| no_digest(&row.name, "earlier digest to go back to".into(), &artifacts))?
        }
        _ => {
            let loaded = artifacts.iter().find(|a| Some(a.digest.as_str()) == current);
            loaded.ok_or_else(|| no_digest(&row.name, "digest that is loaded".into(), &artifacts))?
        }
    };
    if stance == Stance::RolledBack && to.is_some() {
        // Whoever names a digest means that one, whatever is offered.
        row.stance = Stance::Pinned;
    }
    row.digest = chosen.digest.clone();
    row.version = chosen.version.clone();
    Ok(row)
}

/// The one artifact of a version, or of the beginning of a digest.
fn named<'a>(package: &str, artifacts: &'a [ArtifactRow], text: &str) -> anyhow::Result<&'a ArtifactRow> {
    let mut found = artifacts.iter().filter(|a| a.version == text || a.digest.starts_with(text));
    match (found.next(), found.next()) {
        (Some(one), None) => Ok(one),
        (Some(_), Some(_)) => {
            Err(no_digest(package, format!("single digest that `{text}` names"), artifacts).into())
        }
        (None, _) => Err(no_digest(package, format!("digest `{text}`"), artifacts).into()),
    }
}

fn no_digest(package: &str, wanted: String, artifacts: &[ArtifactRow]) -> Failure {
    let known = |a: &ArtifactRow| format!("{} ({})", a.version, a.digest.get(..12).unwrap_or_default());
    Failure::NoDigest { name: package.to_owned(), wanted, known: artifacts.iter().map(known).collect() }
}

async fn add(
    home: &Home,
    file: &Path,
    taking: &Taking,
    decision: Decision,
) -> anyhow::Result<(Store, RegistryRow)> {
    if !file.is_file() {
        return Err(Failure::NotACrate { path: file.to_owned() }.into());
    }
    // The first package may come before the first host.
    std::fs::create_dir_all(&home.home)?;
    let store = Store::open_file(&home.database(), Access::Guest).await;
    let store = match store {
        Ok(store) => store,
        Err(_) if !home.database().is_file() => {
            Store::open_file(&home.database(), Access::Host).await?.close().await;
            Store::open_file(&home.database(), Access::Guest).await?
        }
        Err(error) => return Err(error.into()),
    };
    let mut options = home.options(Vec::new());
    taking.apply(&mut options);
    let artifact = take_in(file, &options, &store).await?;
    let package = &artifact.manifest().package;
    let mut row = row(package.name.clone(), Stance::Added, decision);
    row.digest = artifact.digest().as_str().to_owned();
    row.version = package.version.clone();
    Ok((store, row))
}

async fn release(home: &Home, name: &str, decision: &Decision, json: bool) -> anyhow::Result<ExitCode> {
    let store = home.look().await?;
    let there = RegistryRow::take_back(&store, name, &decision.actor, &decision.reason, now_ms()).await?;
    home.wake();
    if json {
        output::json(&json!({ "name": name, "released": there }))?;
    } else if there {
        println!("{name}: what the directories offer counts again");
    } else {
        package(&store, name).await?;
        println!("nothing to do: nothing was decided about {name}");
    }
    Ok(ExitCode::SUCCESS)
}

/// A package that this home knows: a host had it, or something was decided about it.
pub(super) async fn package(store: &Store, name: &str) -> anyhow::Result<PackageRow> {
    let mut all = PackageRow::all(store).await?;
    let decided = Outlook::load(store).await?.registry;
    all.extend(decided.into_iter().map(of_decision));
    let known = all.iter().map(|package| package.name.clone()).collect::<BTreeSet<_>>().into_iter().collect();
    let found = all.into_iter().find(|package| package.name == name);
    found.ok_or_else(|| Failure::NoPackage { name: name.to_owned(), known }.into())
}

/// A package that no host has loaded yet.
fn of_decision(row: RegistryRow) -> PackageRow {
    let RegistryRow { name, stance, digest, version, actor, reason, updated_at, .. } = row;
    let state = if stance == Stance::Removed { PackageState::Removed } else { PackageState::Desired };
    PackageRow { name, version, digest, source: String::new(), state, actor, reason, updated_at }
}

fn row(name: String, stance: Stance, decision: Decision) -> RegistryRow {
    let (digest, version, avoid) = (String::new(), String::new(), String::new());
    let Decision { actor, reason } = decision;
    RegistryRow { name, stance, digest, version, avoid, actor, reason, updated_at: now_ms() }
}

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
