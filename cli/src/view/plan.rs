//! The preview of a pass.

use crate::output::time;
use crate::view::changes;
use longshore_package::Digest;
use longshore_reconciler::plan::model::{Action, Deferred, Desired, Origin};
use longshore_reconciler::{Preview, Step};
use longshore_store::{Override, iso};
use serde_json::{Value, json};
use std::fmt::Write;

pub(crate) fn document(preview: &Preview) -> Value {
    let step = |step: &Step| {
        let refused =
            step.refused.as_ref().map(|e| json!({ "code": e.code(), "message": e.full(), "fix": e.fix() }));
        let mut document = action(&step.action);
        document["changes"] = json!(step.changes);
        document["pinned_runs"] = step.pinned_runs.into();
        document["refused"] = json!(refused);
        document
    };
    let broken = preview.broken.iter().map(|(path, error)| {
        json!({ "file": path, "code": error.code(), "message": error.full(), "fix": error.fix() })
    });
    json!({
        "steps": preview.steps.iter().map(step).collect::<Vec<_>>(),
        "deferred": preview.deferred.iter().map(deferred).collect::<Vec<_>>(),
        "broken": broken.collect::<Vec<_>>(),
    })
}

fn origin(origin: &Origin) -> Value {
    match origin {
        Origin::File(path) => json!({ "kind": "file", "path": path }),
        Origin::Cache => json!({ "kind": "cache" }),
        Origin::Registry(address) => json!({ "kind": "registry", "address": address }),
    }
}

fn desired(package: &Desired) -> Value {
    json!({
        "name": package.name,
        "version": package.version,
        "digest": package.digest,
        "origin": origin(&package.origin),
        "override": package.overridden_by.as_deref(),
    })
}

fn action(action: &Action) -> Value {
    match action {
        Action::Load { package, replaces } => {
            json!({ "action": "load", "package": desired(package), "replaces": replaces })
        }
        Action::Restore { digest, .. } => json!({ "action": "restore", "digest": digest }),
        Action::Retire { name, digest, overridden_by } => {
            let by: Option<&Override> = overridden_by.as_deref();
            json!({ "action": "retire", "name": name, "digest": digest, "override": by })
        }
        Action::Cancel { name, digest, .. } => {
            json!({ "action": "cancel", "name": name, "digest": digest })
        }
        Action::ForceUnload { name, digest } => {
            json!({ "action": "force_unload", "name": name, "digest": digest })
        }
        Action::Unload { name, digest } => json!({ "action": "unload", "name": name, "digest": digest }),
    }
}

fn deferred(deferred: &Deferred) -> Value {
    match deferred {
        Deferred::BackingOff { name, digest, retry_at } => {
            json!({ "reason": "backing_off", "name": name, "digest": digest, "retry_at": iso::text(*retry_at) })
        }
        Deferred::Draining { name, digest, pinned_runs } => {
            json!({ "reason": "draining", "name": name, "digest": digest, "pinned_runs": pinned_runs })
        }
        Deferred::Superseded { package, winner } => {
            json!({ "reason": "superseded", "package": desired(package), "winner": origin(winner) })
        }
        Deferred::Overridden { package, by } => {
            let by: &Override = by;
            json!({ "reason": "overridden", "package": desired(package), "override": by })
        }
    }
}

/// Writing to a String does not fail.
pub(crate) fn text(preview: &Preview) -> String {
    let mut out = String::new();
    if preview.steps.is_empty() {
        let _ = writeln!(out, "nothing to do: {} generations are open, as desired", preview.open.len());
    }
    for step in &preview.steps {
        let _ = writeln!(out, "{}", action_line(&step.action));
        if let Some(error) = &step.refused {
            let _ = writeln!(out, "  refused: {} {}\n  fix: {}", error.code(), error.full(), error.fix());
            continue;
        }
        let swaps = matches!(step.action, Action::Load { replaces: Some(_), .. });
        match &step.changes {
            Some(changes) => out.push_str(&changes::text(changes)),
            None if swaps => {
                out.push_str(
                    "  the replaced digest is not in the artifact cache: the changes are not known\n",
                );
            }
            None => {}
        }
        if step.pinned_runs > 0 && (swaps || matches!(step.action, Action::Retire { .. })) {
            let _ = writeln!(out, "  {} runs are pinned to the old digest; they end on it", step.pinned_runs);
        }
    }
    for deferred in &preview.deferred {
        let _ = writeln!(out, "deferred: {}", deferred_line(deferred));
    }
    for (path, error) in &preview.broken {
        let (path, code) = (path.display(), error.code());
        let _ = writeln!(out, "not a package: {path}\n  {code} {}\n  fix: {}", error.full(), error.fix());
    }
    out
}

fn action_line(action: &Action) -> String {
    match action {
        Action::Load { package, replaces } => {
            let verb = if replaces.is_some() { "swap to" } else { "load" };
            let Desired { name, version, origin, .. } = &**package;
            format!("{verb} {name} {version} from {origin}: {}", package.reason())
        }
        Action::Restore { digest, pinned_runs } => {
            format!("open digest {} again: {pinned_runs} runs are pinned to it", digest.short())
        }
        Action::Retire { name, overridden_by: Some(row), .. } => {
            format!("retire {name}: {} by {}: {}", row.kind.participle(), row.actor, row.reason)
        }
        Action::Retire { name, .. } => format!("retire {name}: its file is gone"),
        Action::Cancel { name, pinned_runs, .. } => {
            format!("cancel {pinned_runs} runs of {name}: its drain deadline has passed")
        }
        Action::ForceUnload { name, .. } => format!("close {name} over attempts that do not stop"),
        Action::Unload { name, digest } => format!("unload {name} ({}): it has drained", digest.short()),
    }
}

fn deferred_line(deferred: &Deferred) -> String {
    match deferred {
        Deferred::BackingOff { name, digest, retry_at } => {
            let name = name.as_ref().map_or_else(|| digest.short(), |name| name.as_str());
            format!("{name} failed and is tried again at {}", time(*retry_at))
        }
        Deferred::Draining { name, digest, pinned_runs } => {
            format!("{name} ({}) finishes {pinned_runs} runs", digest.short())
        }
        Deferred::Superseded { package, winner } => {
            format!("{} {} in {}: {winner} is newer", package.name, package.version, package.origin)
        }
        Deferred::Overridden { package, by } => {
            let Desired { name, version, origin, .. } = &**package;
            let (state, actor, reason) = (by.kind.participle(), &by.actor, &by.reason);
            format!("{name} {version} in {origin}: the package is {state} by {actor}: {reason}")
        }
    }
}

/// The first digits of a digest, for a column.
pub(crate) fn short(digest: Option<&Digest>) -> String {
    digest.map(|digest| digest.short().to_owned()).unwrap_or_default()
}
