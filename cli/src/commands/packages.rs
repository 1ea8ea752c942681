//! `longshore packages`.

use crate::args::Home;
use crate::output;
use longshore_store::{ConditionKind, ConditionRow, ConditionStatus, GenerationRow, PackageRow};
use serde_json::json;
use std::process::ExitCode;

/// Most generations that are looked through for the newest of each package.
const GENERATIONS: i64 = 10_000;

pub(crate) async fn run(home: &Home, json: bool) -> anyhow::Result<ExitCode> {
    let store = home.look().await?;
    let packages = PackageRow::all(&store).await?;
    let conditions = ConditionRow::all(&store).await?;
    let generations = GenerationRow::newest(&store, "", GENERATIONS).await?;
    if json {
        output::json(&json!({ "packages": packages, "conditions": conditions, "generations": generations }))?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut rows = Vec::new();
    for package in &packages {
        let state = generations.iter().find(|g| g.package == package.name).map_or("-", |g| g.state.as_str());
        let subject = format!("package/{}", package.name);
        rows.push(vec![
            package.name.clone(),
            package.version.clone(),
            package.digest[..12].to_owned(),
            state.to_owned(),
            output::time(package.updated_at),
            package.source.clone(),
        ]);
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

/// Whether a condition is one that an operator should see.
fn wrong(condition: &ConditionRow) -> bool {
    let holds = condition.status == ConditionStatus::True;
    match condition.kind {
        ConditionKind::Accepted => !holds,
        ConditionKind::Warned | ConditionKind::Quarantined => holds,
        ConditionKind::Loaded | ConditionKind::Ready => false,
    }
}
