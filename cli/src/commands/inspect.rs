//! `longshore inspect`.

use crate::output::{ExitStatus, Printer};
use crate::view::trigger::When;
use longshore_package::{
    Compatibility, Drift, Policy, StaticRecord, TaskRecord, TriggerRecord, check_compatibility, host_target,
};
use longshore_reconciler::artifact::{BuildChoice, ReadPackage, VerifyOptions, identify, read};
use serde_json::{Value, json};
use std::fmt::Write;
use std::path::PathBuf;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A `.longshore` file or a library
    file: PathBuf,
    /// The build to show; that for this machine by default, or else the first
    #[arg(long, value_name = "TRIPLE")]
    target: Option<String>,
    /// Print the digest and nothing else
    #[arg(long)]
    digest: bool,
}

pub(crate) fn run(args: &Args, printer: &Printer) -> anyhow::Result<ExitStatus> {
    if args.digest {
        let (digest, _) = identify(&args.file, &VerifyOptions::default())?;
        printer.print(&json!({ "digest": digest }), || format!("{digest}\n"))?;
        return Ok(ExitStatus::Done);
    }
    let build = args.target.clone().map_or(BuildChoice::Any, BuildChoice::Of);
    let package = read(&args.file, &build, &VerifyOptions::default())?;
    let mut compatibility = check_compatibility(&package.record.package, Policy::Strict);
    if package.target != host_target() {
        // It is looked at here, and loaded elsewhere.
        compatibility.refusals.retain(|drift| !matches!(drift, Drift::Platform { .. }));
    }
    printer.print(&document(&package, &compatibility), || text(&package, &compatibility))?;
    Ok(ExitStatus::Done)
}

fn document(package: &ReadPackage, compatibility: &Compatibility) -> Value {
    let record = &package.record;
    let parse = |text: &str| serde_json::from_str::<Value>(text).unwrap_or(Value::Null);
    json!({
        "manifest": package.manifest,
        "digest": package.digest,
        "target": package.target,
        "targets": package.targets,
        "assets": package.assets(),
        "signatures": package.signatures.iter().map(|signature| json!({
            "key": signature.fingerprint(), "role": signature.role(),
        })).collect::<Vec<_>>(),
        "built": {
            "sdk": record.package.sdk,
            "interface": record.package.interface_version,
            "compiler": record.package.compiler,
            "target": record.package.target,
            "profile": record.package.profile,
            "features": record.package.features,
            "panic": record.package.panic,
        },
        "findings": compatibility.refusals.iter().map(|d| json!({
            "code": d.code(), "message": d.to_string(), "fix": d.fix(),
        })).collect::<Vec<_>>(),
        "workflows": workflows(record),
        "triggers": record.triggers.iter().map(|t| json!({
            "name": t.name,
            "workflow": t.workflow,
            "cron": t.cron,
            "timezone": t.timezone,
            "poll_interval_ms": t.poll_interval_ms,
            "reactor": t.reactor,
            "when": parse(&t.when),
            "allow_concurrent": t.allow_concurrent == "true",
        })).collect::<Vec<_>>(),
        "reactors": record.reactors.iter().map(|r| json!({
            "name": r.name,
            "sources": r.sources,
            "criteria": r.criteria,
            "criteria_sources": r.criteria_sources,
            "input_strategy": r.input_strategy,
        })).collect::<Vec<_>>(),
        "accumulators": record.accumulators.iter().map(|a| json!({
            "name": a.name,
            "kind": a.kind,
            "config": parse(&a.config),
        })).collect::<Vec<_>>(),
        "graphs": record.graphs.iter().map(|g| json!({
            "name": g.name,
            "reactor": g.reactor,
            "nodes": g.nodes,
            "edges": g.edges.iter().map(|(from, to, variant)| json!({
                "from": from, "to": to, "variant": variant,
            })).collect::<Vec<_>>(),
            "terminals": g.terminals,
        })).collect::<Vec<_>>(),
    })
}

fn workflows(record: &StaticRecord) -> Vec<Value> {
    let parse = |text: &str| serde_json::from_str::<Value>(text).unwrap_or(Value::Null);
    record.workflows.iter().map(|w| json!({
            "tenant": w.tenant,
            "name": w.name,
            "description": w.description,
            "author": w.author,
            "triggers": w.triggers,
            "secrets": w.secrets,
            "params": w.params.iter().map(|(name, ty, default)| json!({
                "name": name, "type": ty, "default": default,
            })).collect::<Vec<_>>(),
            "tasks": record.tasks.iter().filter(|t| t.workflow == w.name && t.tenant == w.tenant).map(|t| json!({
                "id": t.id,
                "dependencies": t.dependencies,
                "rule": parse(&t.rule),
                "retry": parse(&t.retry),
                "what": t.what,
                "why": t.why,
                "fingerprint": t.fingerprint,
                "invokes": t.invokes,
            })).collect::<Vec<_>>(),
        })).collect()
}

fn text(read: &ReadPackage, compatibility: &Compatibility) -> String {
    let mut out = String::new();
    let StaticRecord { package, workflows, tasks, triggers, .. } = &read.record;
    // Writing to a String does not fail.
    let _ = writeln!(out, "{} {}", package.name, package.version);
    if !package.description.is_empty() {
        let _ = writeln!(out, "  {}", package.description);
    }
    let _ = writeln!(out, "  digest     {}", read.digest);
    let _ = writeln!(out, "  target     {}", read.target);
    let others = read.targets.iter().filter(|target| **target != read.target);
    let others: Vec<&str> = others.map(String::as_str).collect();
    if !others.is_empty() {
        let _ = writeln!(out, "  also for   {}", others.join(", "));
    }
    for signature in &read.signatures {
        let role = signature.role().map_or_else(|| signature.namespace().to_owned(), |role| role.to_string());
        let _ = writeln!(
            out,
            "  signature  as {role}, {} (not verified: `longshore verify`)",
            signature.fingerprint()
        );
    }
    let assets = read.assets();
    if !assets.is_empty() {
        let _ = writeln!(out, "  assets     {} ({})", assets.len(), shortened(&assets));
    }
    let _ =
        writeln!(out, "  built with longshore {}, {}, {}", package.sdk, package.compiler, package.profile);
    for finding in &compatibility.refusals {
        let _ = writeln!(out, "  note {}: {finding}; {}", finding.code(), finding.fix());
    }
    for workflow in workflows {
        let _ = writeln!(out, "\nworkflow {} (tenant {})", workflow.name, workflow.tenant);
        if !workflow.description.is_empty() {
            let _ = writeln!(out, "  {}", workflow.description);
        }
        for (name, ty, default) in &workflow.params {
            let default = default.as_ref().map_or(" (required)".to_owned(), |d| format!(" = {d}"));
            let _ = writeln!(out, "  param {name}: {ty}{default}");
        }
        for (word, names) in [("secret", &workflow.secrets), ("subscribes to trigger", &workflow.triggers)] {
            for name in names {
                let _ = writeln!(out, "  {word} {name}");
            }
        }
        for task in tasks.iter().filter(|t| t.workflow == workflow.name && t.tenant == workflow.tenant) {
            task_text(task, &mut out);
        }
    }
    triggers_text(triggers, &mut out);
    graphs_text(&read.record, &mut out);
    out
}

/// Most assets that are named.
const NAMED_ASSETS: usize = 5;

fn shortened(assets: &[String]) -> String {
    let named: Vec<&str> = assets.iter().take(NAMED_ASSETS).map(String::as_str).collect();
    named.join(", ") + if assets.len() > NAMED_ASSETS { ", .." } else { "" }
}

/// The retry policy of a task that says nothing of it.
const DEFAULT_RETRY: &str = r#"{"attempts":3,"backoff":"exponential","condition":"all","delay_ms":1000,"jitter":true,"max_delay_ms":30000}"#;

/// Writing to a String does not fail.
fn task_text(task: &TaskRecord, out: &mut String) {
    let after = if task.dependencies.is_empty() {
        String::new()
    } else {
        format!(" after {}", task.dependencies.join(", "))
    };
    let _ = writeln!(out, "  task {}{after}", task.id);
    if let Some(what) = task.what.lines().next() {
        let _ = writeln!(out, "       {what}");
    }
    let parsed = |text: &str| serde_json::from_str::<Value>(text).ok();
    if parsed(&task.retry) != parsed(DEFAULT_RETRY) {
        let _ = writeln!(out, "       retry {}", task.retry);
    }
    if !task.rule.is_empty() {
        let _ = writeln!(out, "       runs when {}", task.rule);
    }
    if !task.invokes.is_empty() {
        let _ = writeln!(out, "       calls graph {}", task.invokes);
    }
}

/// Writing to a String does not fail.
fn triggers_text(triggers: &[TriggerRecord], out: &mut String) {
    for trigger in triggers {
        let when = When {
            cron: &trigger.cron,
            timezone: &trigger.timezone,
            reactor: &trigger.reactor,
            rule: &trigger.when,
            poll_interval_ms: trigger.poll_interval_ms.parse().unwrap_or_default(),
        };
        let _ = writeln!(out, "\ntrigger {} starts {} {when}", trigger.name, trigger.workflow);
        if trigger.allow_concurrent == "true" {
            let _ = writeln!(out, "  while another run of it goes on, too");
        }
    }
}

/// Writing to a String does not fail.
fn graphs_text(record: &StaticRecord, out: &mut String) {
    for reactor in &record.reactors {
        let criteria = format!("{}({})", reactor.criteria, reactor.criteria_sources.join(", "));
        let _ =
            writeln!(out, "\nreactor {} fires {criteria}, inputs {}", reactor.name, reactor.input_strategy);
        for source in &reactor.sources {
            let accumulator = record.accumulators.iter().find(|a| a.name == *source);
            let _ = writeln!(
                out,
                "  source {source}: {}",
                accumulator.map_or("passthrough", |a| a.kind.as_str())
            );
        }
    }
    for graph in &record.graphs {
        let bound = if graph.reactor.is_empty() {
            "called by tasks".to_owned()
        } else {
            format!("fired by reactor {}", graph.reactor)
        };
        let _ = writeln!(out, "\ngraph {}, {bound}", graph.name);
        for (from, to, variant) in &graph.edges {
            let variant = if variant.is_empty() { String::new() } else { format!(" ({variant})") };
            let _ = writeln!(out, "  {from} -> {to}{variant}");
        }
    }
}
