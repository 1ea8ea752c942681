//! `longshore inspect`.

use crate::args::Inspect;
use crate::output;
use longshore_package::{Compatibility, Policy, StaticRecord, check_compatibility};
use longshore_reconciler::artifact::{Accepted, Checks, accept};
use serde_json::{Value, json};
use std::process::ExitCode;

pub(crate) fn run(args: &Inspect, json: bool) -> anyhow::Result<ExitCode> {
    let accepted = accept(&args.file, &Checks::default())?;
    let compatibility = check_compatibility(&accepted.record.package, Policy::Strict);
    if json {
        output::json(&document(&accepted, &compatibility))?;
    } else {
        print(&accepted, &compatibility);
    }
    Ok(ExitCode::SUCCESS)
}

fn document(accepted: &Accepted, compatibility: &Compatibility) -> Value {
    let record = &accepted.record;
    let parse = |text: &str| serde_json::from_str::<Value>(text).unwrap_or(Value::Null);
    json!({
        "manifest": accepted.manifest,
        "digest": accepted.digest,
        "target": accepted.target,
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
        "workflows": record.workflows.iter().map(|w| json!({
            "tenant": w.tenant,
            "name": w.name,
            "description": w.description,
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
            })).collect::<Vec<_>>(),
        })).collect::<Vec<_>>(),
        "triggers": record.triggers.iter().map(|t| json!({
            "name": t.name,
            "workflow": t.workflow,
            "cron": t.cron,
            "timezone": t.timezone,
            "poll_interval_ms": t.poll_interval_ms,
        })).collect::<Vec<_>>(),
    })
}

fn print(accepted: &Accepted, compatibility: &Compatibility) {
    let StaticRecord { package, workflows, tasks, triggers } = &accepted.record;
    println!("{} {}", package.name, package.version);
    if !package.description.is_empty() {
        println!("  {}", package.description);
    }
    println!("  digest     {}", accepted.digest);
    println!("  target     {}", accepted.target);
    println!("  built with longshore {}, {}, {}", package.sdk, package.compiler, package.profile);
    for finding in &compatibility.refusals {
        println!("  note {}: {finding}; {}", finding.code(), finding.fix());
    }
    for workflow in workflows {
        println!("\nworkflow {} (tenant {})", workflow.name, workflow.tenant);
        if !workflow.description.is_empty() {
            println!("  {}", workflow.description);
        }
        for (name, ty, default) in &workflow.params {
            let default = default.as_ref().map_or(" (required)".to_owned(), |d| format!(" = {d}"));
            println!("  param {name}: {ty}{default}");
        }
        for task in tasks.iter().filter(|t| t.workflow == workflow.name && t.tenant == workflow.tenant) {
            let after = if task.dependencies.is_empty() {
                String::new()
            } else {
                format!(" after {}", task.dependencies.join(", "))
            };
            println!("  task {}{after}", task.id);
            if let Some(what) = task.what.lines().next() {
                println!("       {what}");
            }
        }
    }
    for trigger in triggers {
        let when = if trigger.cron.is_empty() {
            format!("every {} ms", trigger.poll_interval_ms)
        } else {
            format!("{} {}", trigger.cron, trigger.timezone)
        };
        println!("\ntrigger {} starts {} at {when}", trigger.name, trigger.workflow);
    }
}
