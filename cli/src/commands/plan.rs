//! `longshore plan`.

use super::{diff, serve};
use crate::args::Plan;
use crate::output;
use longshore_reconciler::plan::{Action, Kept};
use longshore_reconciler::preview::{Preview, Step, preview};
use serde_json::{Value, json};
use std::process::ExitCode;

pub(crate) async fn run(args: Plan, json: bool) -> anyhow::Result<ExitCode> {
    let store = args.home.look().await?;
    let directories = serve::directories(&args.directories, &args.home)?;
    let mut options = args.home.options(directories);
    args.taking.apply(&mut options);
    let preview = preview(&options, &store).await?;
    if json {
        output::json(&document(&preview))?;
    } else {
        show(&preview);
    }
    Ok(ExitCode::SUCCESS)
}

fn document(preview: &Preview) -> Value {
    let step = |step: &Step| {
        let refused =
            step.refused.as_ref().map(|e| json!({ "code": e.code(), "message": e.full(), "fix": e.fix() }));
        json!({
            "action": line(&step.action),
            "changes": step.changes,
            "pinned_runs": step.pinned_runs,
            "refused": refused,
        })
    };
    let broken = preview
        .broken
        .iter()
        .map(|(path, error)| json!({ "file": path, "code": error.code(), "message": error.full() }));
    json!({
        "steps": preview.steps.iter().map(step).collect::<Vec<_>>(),
        "kept": preview.kept.iter().map(reason).collect::<Vec<_>>(),
        "broken": broken.collect::<Vec<_>>(),
    })
}

fn show(preview: &Preview) {
    if preview.steps.is_empty() {
        println!("nothing to do: {} generations are open, as they should be", preview.open.len());
    }
    for step in &preview.steps {
        println!("{}", line(&step.action));
        if let Some(error) = &step.refused {
            println!("  refused: {} {}\n  fix: {}", error.code(), error.full(), error.fix());
            continue;
        }
        let goes = matches!(step.action, Action::Load { replaces: Some(_), .. } | Action::Retire { .. });
        match &step.changes {
            Some(changes) => diff::show(changes),
            None if matches!(step.action, Action::Load { replaces: Some(_), .. }) => {
                println!("  the copy of the digest that is replaced is gone: what differs is not known");
            }
            None => {}
        }
        if goes && step.pinned_runs > 0 {
            println!("  {} runs are pinned to the digest that goes; they end on it", step.pinned_runs);
        }
    }
    for kept in &preview.kept {
        println!("left alone: {}", reason(kept));
    }
    for (path, error) in &preview.broken {
        println!(
            "no package: {}\n  {} {}\n  fix: {}",
            path.display(),
            error.code(),
            error.full(),
            error.fix()
        );
    }
}

fn line(action: &Action) -> String {
    match action {
        Action::Load { package, replaces } => {
            let what = if replaces.is_some() { "swap to" } else { "load" };
            format!("{what} {} {} from {}: {}", package.name, package.version, package.origin, package.why())
        }
        Action::Restore { digest, pinned_runs } => {
            format!("open digest {} again: {pinned_runs} runs are pinned to it", digest.short())
        }
        Action::Retire { name, decision: Some(row), .. } => {
            format!("retire {name}: {} by {}: {}", row.stance.as_str(), row.actor, row.reason)
        }
        Action::Retire { name, .. } => format!("retire {name}: its file is gone"),
        Action::Cancel { name, pinned_runs, .. } => {
            format!("cancel {pinned_runs} runs of {name}: its drain deadline has passed")
        }
        Action::Orphan { name, .. } => format!("close {name} over attempts that do not stop"),
        Action::Unload { name, digest } => format!("unload {name} ({}): nothing needs it", digest.short()),
    }
}

fn reason(kept: &Kept) -> String {
    match kept {
        Kept::BackingOff { name, retry_at } => {
            format!("{name} failed and is tried again at {}", output::time(*retry_at))
        }
        Kept::Draining { name, digest, pinned_runs } => {
            format!("{name} ({}) finishes {pinned_runs} runs", digest.short())
        }
        Kept::Superseded { package, winner } => {
            format!("{} {} in {}: {winner} is newer", package.name, package.version, package.origin)
        }
        Kept::Overruled { package, decision } => {
            format!(
                "{} {} in {}: the package is {} by {}: {}",
                package.name,
                package.version,
                package.origin,
                decision.stance.as_str(),
                decision.actor,
                decision.reason
            )
        }
    }
}
