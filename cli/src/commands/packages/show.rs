//! `longshore packages show`.

use super::known::find;
use crate::home::{Home, now_ms};
use crate::output::{ExitStatus, Printer, path, span, table, time};
use crate::view::packages::state_of;
use longshore_package::Digest;
use longshore_reconciler::artifact::recorded_signatures;
use longshore_reconciler::readiness::is_problem;
use longshore_store::{
    ArtifactRow, ConditionRow, EntryRow, EventRow, GenerationRow, GenerationState, Override, PackageRow,
    PassInputs, Store, Subject, VerdictRow,
};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fmt::Write;

/// Events and generations that are shown.
const NEWEST: i64 = 20;

/// Everything that is known of a package.
struct PackageDetails {
    package: PackageRow,
    overridden_by: Option<Override>,
    pinned_runs: u64,
    conditions: Vec<ConditionRow>,
    generations: Vec<GenerationRow>,
    artifacts: Vec<ArtifactRow>,
    verdicts: Vec<VerdictRow>,
    entries: Vec<EntryRow>,
    events: Vec<EventRow>,
}

pub(super) async fn run(home: &Home, name: &str, printer: &Printer) -> anyhow::Result<ExitStatus> {
    let store = home.open_read_only().await?;
    let details = PackageDetails::load(&store, name).await?;
    printer.print(&details.document(), || details.text())?;
    Ok(ExitStatus::Done)
}

impl PackageDetails {
    async fn load(store: &Store, name: &str) -> anyhow::Result<Self> {
        let package = find(store, &name.into()).await?;
        let subject = Subject::Package(&package.name);
        let text = subject.to_string();
        let inputs = PassInputs::load(store).await?;
        let generations = GenerationRow::newest(store, Some(&package.name), NEWEST).await?;
        let digests: BTreeSet<&Digest> = generations.iter().map(|g| &g.digest).collect();
        Ok(Self {
            overridden_by: inputs.overrides.into_iter().find(|row| row.name == package.name),
            pinned_runs: digests.into_iter().filter_map(|digest| inputs.pins.get(digest)).sum(),
            conditions: ConditionRow::all(store).await?.into_iter().filter(|c| c.subject == text).collect(),
            artifacts: ArtifactRow::of_package(store, &package.name).await?,
            verdicts: VerdictRow::of_package(store, &package.name).await?,
            entries: EntryRow::of(store, &package.digest).await?,
            events: EventRow::newest(store, subject, NEWEST).await?,
            generations,
            package,
        })
    }

    /// The verdicts about a digest, one an environment.
    fn probes_of(&self, digest: &Digest) -> Vec<&VerdictRow> {
        self.verdicts.iter().filter(|row| row.digest == *digest).collect()
    }

    fn document(&self) -> Value {
        let entry = |entry: &EntryRow| {
            let detail: Value = serde_json::from_str(&entry.detail).unwrap_or_default();
            json!({ "kind": entry.kind, "name": entry.name, "detail": detail })
        };
        let digests = self.artifacts.iter().map(|a| {
            json!({
                "digest": a.digest, "version": a.version, "probes": self.probes_of(&a.digest),
                "signatures": signatures(a),
            })
        });
        json!({
            "package": self.package,
            "override": self.overridden_by,
            "unfinished_runs": self.pinned_runs,
            "conditions": self.conditions,
            "generations": self.generations,
            "digests": digests.collect::<Vec<_>>(),
            "entries": self.entries.iter().map(entry).collect::<Vec<_>>(),
            "events": self.events,
        })
    }

    /// Writing to a String does not fail.
    fn text(&self) -> String {
        let mut out = String::new();
        let PackageRow { name, version, digest, source, state, actor, reason, .. } = &self.package;
        let loaded = state_of(&self.generations, name).map_or("never loaded", GenerationState::as_str);
        let source = if source.is_empty() { "artifact cache".to_owned() } else { path(source) };
        let _ = writeln!(out, "Name:       {name}");
        let _ = writeln!(out, "Version:    {version} ({})", digest.short());
        let _ =
            writeln!(out, "State:      {}, {loaded}; {} unfinished runs", state.as_str(), self.pinned_runs);
        let _ = writeln!(out, "Source:     {source}");
        let _ = writeln!(out, "Desired by: {actor}: {reason}");
        if let Some(Override { kind, version, actor, reason, updated_at, .. }) = &self.overridden_by {
            let (state, at) = (kind.participle(), time(*updated_at));
            let _ = writeln!(out, "Override:   {state} {version} by {actor} at {at}: {reason}");
        }
        let _ = write!(out, "\nConditions:\n{}", conditions(&self.conditions));
        let _ = write!(out, "\nGenerations:\n{}", generations(&self.generations));
        out.push_str("\nEntries:\n");
        for entry in &self.entries {
            let _ = writeln!(out, "  {:<9} {}", entry.kind.as_str(), entry.name);
        }
        out.push_str("\nEvents:\n");
        for event in self.events.iter().rev() {
            let mut lines = event.message.lines();
            let (at, kind) = (time(event.at), event.kind.as_str());
            let _ = writeln!(out, "  {at}  {kind:<10} {}", lines.next().unwrap_or_default());
            for line in lines {
                let _ = writeln!(out, "  {:>32}{line}", "");
            }
        }
        out
    }
}

/// The signatures of a digest as they are recorded, unverified.
fn signatures(artifact: &ArtifactRow) -> Vec<Value> {
    let read = recorded_signatures(artifact).unwrap_or_default();
    read.iter().map(|s| json!({ "key": s.fingerprint(), "role": s.role() })).collect()
}

fn conditions(conditions: &[ConditionRow]) -> String {
    let now = now_ms();
    let rows = conditions.iter().map(|c| {
        let mark = if is_problem(c) { "!" } else { "" };
        let since = format!("{} ago", span(now.saturating_sub(c.since)));
        let (kind, status) = (c.kind.as_str().to_owned(), c.status.as_str().to_owned());
        vec![mark.to_owned(), kind, status, c.reason.clone(), since, c.message.clone()]
    });
    table(&["", "TYPE", "STATUS", "REASON", "SINCE", "MESSAGE"], rows.collect())
}

fn generations(generations: &[GenerationRow]) -> String {
    let row = |g: &GenerationRow| {
        vec![
            g.digest.short().to_owned(),
            g.version.clone(),
            g.state.as_str().to_owned(),
            time(g.loaded_at),
            g.unloaded_at.map(time).unwrap_or_default(),
            g.unload_result.clone().unwrap_or_default(),
        ]
    };
    let rows = generations.iter().map(row).collect();
    table(&["DIGEST", "VERSION", "STATE", "LOADED", "UNLOADED", "MEMORY"], rows)
}
