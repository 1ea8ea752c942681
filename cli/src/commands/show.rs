//! `longshore packages show`.

use super::decide::package;
use super::packages::{state_of, wrong};
use crate::args::Home;
use crate::output::{self, span, time};
use longshore_store::{
    ArtifactRow, ConditionRow, EntryRow, EventRow, GenerationRow, Outlook, PackageRow, RegistryRow, Store,
};
use serde_json::{Value, json};
use std::process::ExitCode;

/// Events and generations that are shown.
const NEWEST: i64 = 20;

/// Everything that is known of a package.
struct Everything {
    package: PackageRow,
    decision: Option<RegistryRow>,
    pinned_runs: i64,
    conditions: Vec<ConditionRow>,
    generations: Vec<GenerationRow>,
    artifacts: Vec<ArtifactRow>,
    entries: Vec<EntryRow>,
    events: Vec<EventRow>,
}

pub(crate) async fn run(home: &Home, name: &str, json: bool) -> anyhow::Result<ExitCode> {
    let store = home.look().await?;
    let everything = load(&store, name).await?;
    if json {
        output::json(&document(&everything))?;
    } else {
        show(&everything);
    }
    Ok(ExitCode::SUCCESS)
}

async fn load(store: &Store, name: &str) -> anyhow::Result<Everything> {
    let package = package(store, name).await?;
    let subject = format!("package/{name}");
    let outlook = Outlook::load(store).await?;
    let generations = GenerationRow::newest(store, name, NEWEST).await?;
    let pinned = generations.iter().map(|g| &g.digest).collect::<std::collections::BTreeSet<_>>();
    let pinned_runs = pinned.into_iter().filter_map(|digest| outlook.pins.get(digest)).sum();
    Ok(Everything {
        decision: outlook.registry.into_iter().find(|row| row.name == name),
        pinned_runs,
        conditions: ConditionRow::all(store).await?.into_iter().filter(|c| c.subject == subject).collect(),
        artifacts: ArtifactRow::of_package(store, name).await?,
        entries: EntryRow::of(store, &package.digest).await?,
        events: EventRow::newest(store, &subject, NEWEST).await?,
        generations,
        package,
    })
}

fn document(all: &Everything) -> Value {
    let entry = |entry: &EntryRow| {
        let detail: Value = serde_json::from_str(&entry.detail).unwrap_or_default();
        json!({ "kind": entry.kind, "name": entry.name, "detail": detail })
    };
    let digests =
        all.artifacts.iter().map(|a| json!({ "digest": a.digest, "version": a.version, "probe": a.probe }));
    json!({
        "package": all.package,
        "decision": all.decision,
        "unfinished_runs": all.pinned_runs,
        "conditions": all.conditions,
        "generations": all.generations,
        "digests": digests.collect::<Vec<_>>(),
        "entries": all.entries.iter().map(entry).collect::<Vec<_>>(),
        "events": all.events,
    })
}

fn show(all: &Everything) {
    let PackageRow { name, version, digest, source, state, actor, reason, .. } = &all.package;
    let running = match state_of(&all.generations, name) {
        "-" => "never loaded",
        state => state,
    };
    println!("Name:      {name}");
    println!("Version:   {version} ({})", short(digest));
    println!("State:     {}, {running}; {} unfinished runs", state.as_str(), all.pinned_runs);
    println!("Source:    {}", if source.is_empty() { "-" } else { source });
    println!("Wanted by: {actor}: {reason}");
    if let Some(decision) = &all.decision {
        let RegistryRow { stance, version, actor, reason, updated_at, .. } = decision;
        println!("Decision:  {} {version} by {actor} at {}: {reason}", stance.as_str(), time(*updated_at));
    }
    conditions(&all.conditions);
    generations(&all.generations);
    println!("\nEntries:");
    for entry in &all.entries {
        println!("  {:<9} {}", entry.kind, entry.name);
    }
    println!("\nEvents:");
    for event in all.events.iter().rev() {
        let mut lines = event.message.lines();
        println!("  {}  {:<10} {}", time(event.at), event.kind, lines.next().unwrap_or_default());
        lines.for_each(|line| println!("  {:>32}{line}", ""));
    }
}

fn conditions(conditions: &[ConditionRow]) {
    println!("\nConditions:");
    let now = chrono::Utc::now().timestamp_millis();
    let rows = conditions.iter().map(|c| {
        let mark = if wrong(c) { "!" } else { "" };
        let since = format!("{} ago", span(now.saturating_sub(c.since)));
        let (kind, status) = (c.kind.as_str().to_owned(), c.status.as_str().to_owned());
        vec![mark.to_owned(), kind, status, c.reason.clone(), since, c.message.clone()]
    });
    output::table(&["", "TYPE", "STATUS", "REASON", "SINCE", "MESSAGE"], rows.collect());
}

fn generations(generations: &[GenerationRow]) {
    println!("\nGenerations:");
    let row = |g: &GenerationRow| {
        let ended = g.unloaded_at.map(time).unwrap_or_default();
        let released = g.released.clone().unwrap_or_default();
        vec![
            short(&g.digest).to_owned(),
            g.version.clone(),
            g.state.as_str().to_owned(),
            time(g.loaded_at),
            ended,
            released,
        ]
    };
    let rows = generations.iter().map(row).collect();
    output::table(&["DIGEST", "VERSION", "STATE", "LOADED", "UNLOADED", "MEMORY"], rows);
}

fn short(digest: &str) -> &str {
    digest.get(..12).unwrap_or(digest)
}
