//! `longshore packages`.

use super::{decide, show};
use crate::args::{Home, Packages, PackagesCommand};
use crate::output;
use longshore_reconciler::health::{Complaint, Wellness};
use longshore_store::{
    ConditionKind, ConditionRow, ConditionStatus, GenerationRow, GenerationState, Outlook, PackageRow,
    RegistryRow,
};
use serde_json::json;
use std::process::ExitCode;

pub(crate) async fn run(args: Packages, json: bool) -> anyhow::Result<ExitCode> {
    let home = &args.home;
    match args.command {
        None | Some(PackagesCommand::List) => list(home, json).await,
        Some(PackagesCommand::Check) => check(home, json).await,
        Some(PackagesCommand::Show { name }) => show::run(home, &name, json).await,
        Some(command) => decide::run(home, command, json).await,
    }
}

async fn list(home: &Home, json: bool) -> anyhow::Result<ExitCode> {
    let store = home.look().await?;
    let packages = PackageRow::all(&store).await?;
    let conditions = ConditionRow::all(&store).await?;
    let generations = GenerationRow::newest(&store, "", GenerationRow::MANY).await?;
    let decisions = Outlook::load(&store).await?.registry;
    if json {
        output::json(&json!({
            "packages": packages,
            "conditions": conditions,
            "generations": generations,
            "decisions": decisions,
        }))?;
        return Ok(ExitCode::SUCCESS);
    }
    let rows = rows(&packages, &conditions, &generations, &decisions);
    if rows.is_empty() {
        println!("no packages");
    } else {
        output::table(&["PACKAGE", "VERSION", "DIGEST", "STATE", "SINCE", "SOURCE"], rows);
    }
    let named = |c: &&ConditionRow| packages.iter().any(|p| c.subject == format!("package/{}", p.name));
    for condition in conditions.iter().filter(|c| wrong(c) && !named(c)) {
        let subject = condition.subject.split_once('/').map_or(condition.subject.as_str(), |(_, name)| name);
        println!("\nrefused: {subject}\n  {} {}", condition.reason, condition.message);
    }
    Ok(ExitCode::SUCCESS)
}

async fn check(home: &Home, json: bool) -> anyhow::Result<ExitCode> {
    let store = home.look().await?;
    let wellness = Wellness::of(&ConditionRow::all(&store).await?);
    if json {
        output::json(&json!({ "ready": wellness.is_ready(), "wellness": wellness }))?;
    } else {
        println!("{}", if wellness.is_ready() { "ready" } else { "not ready" });
        for (word, complaints) in [("missing", &wellness.missing), ("warning", &wellness.warnings)] {
            for Complaint { subject, code, message } in complaints {
                println!("{word}: {subject}\n  {code} {message}");
            }
        }
    }
    Ok(if wellness.is_ready() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// A line for each package, and below it what was decided about it and what is wrong with it.
fn rows(
    packages: &[PackageRow],
    conditions: &[ConditionRow],
    generations: &[GenerationRow],
    decisions: &[RegistryRow],
) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    for package in packages {
        let state = state_of(generations, &package.name);
        let subject = format!("package/{}", package.name);
        rows.push(vec![
            package.name.clone(),
            package.version.clone(),
            package.digest[..12].to_owned(),
            state.to_owned(),
            output::time(package.updated_at),
            package.source.clone(),
        ]);
        for decision in decisions.iter().filter(|d| d.name == package.name) {
            rows.push(vec![
                String::new(),
                decision.version.clone(),
                String::new(),
                decision.stance.as_str().to_owned(),
                output::time(decision.updated_at),
                format!("by {}: {}", decision.actor, decision.reason),
            ]);
        }
        for condition in conditions.iter().filter(|c| c.subject == subject && wrong(c)) {
            rows.push(vec![
                String::new(),
                String::new(),
                String::new(),
                condition.reason.clone(),
                String::new(),
                condition.message.clone(),
            ]);
        }
    }
    // What was decided for and no host has loaded yet.
    for decision in decisions.iter().filter(|d| packages.iter().all(|p| p.name != d.name)) {
        rows.push(vec![
            decision.name.clone(),
            decision.version.clone(),
            decision.digest.get(..12).unwrap_or_default().to_owned(),
            decision.stance.as_str().to_owned(),
            output::time(decision.updated_at),
            format!("by {}: {}", decision.actor, decision.reason),
        ]);
    }
    rows
}

/// Where a package is: active as long as one of its generations is, else as the newest.
pub(super) fn state_of(generations: &[GenerationRow], package: &str) -> &'static str {
    let mut own = generations.iter().filter(|g| g.package == package);
    let newest = own.clone().next().map_or("-", |g| g.state.as_str());
    let active = own.find(|g| g.state == GenerationState::Active);
    active.map_or(newest, |g| g.state.as_str())
}

/// Whether a condition is one that an operator should see.
pub(super) fn wrong(condition: &ConditionRow) -> bool {
    let holds = condition.status == ConditionStatus::True;
    match condition.kind {
        ConditionKind::Accepted => !holds,
        ConditionKind::Warned | ConditionKind::Quarantined => holds,
        ConditionKind::Loaded | ConditionKind::Ready => false,
    }
}
