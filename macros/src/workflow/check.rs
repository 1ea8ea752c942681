//! Checks: arguments that parse and cannot work.

use super::model::{TaskRef, WorkflowModel};
use crate::diag::{Diagnostics, did_you_mean};
use std::collections::HashMap;
use syn::ext::IdentExt;

pub(super) fn check(model: &WorkflowModel, diag: &mut Diagnostics) {
    name(model, diag);
    inputs(model, diag);
    duplicates(&model.tasks, diag);
    unknown_dependencies(model, diag);
    cycles(&model.tasks, diag);
}

fn name(model: &WorkflowModel, diag: &mut Diagnostics) {
    match &model.name {
        None => diag.error(model.at, "a workflow has a name: write `#[workflow(name = \"..\")]`"),
        Some(name) => {
            if let Err(message) = crate::args::check_name("workflow", &name.value()) {
                diag.error(name.span(), message);
            }
        }
    }
    match &model.tenant {
        Some(tenant) if tenant.value().is_empty() => {
            diag.error(tenant.span(), "the tenant is empty; leave it out for `public`")
        }
        Some(tenant) if tenant.value().contains('/') => {
            diag.error(tenant.span(), "a tenant has no `/`: hosts put it before a `/` and a name")
        }
        _ => {}
    }
    if model.tasks.is_empty() && model.maybe_tasks.is_empty() && !model.has_macros {
        diag.error(model.at, "this workflow has no task: put `#[task]` on its functions");
    }
}

fn inputs(model: &WorkflowModel, diag: &mut Diagnostics) {
    for (i, param) in model.params.iter().enumerate() {
        if model.params[..i].iter().any(|earlier| earlier.key() == param.key()) {
            diag.error(param.name.span(), format!("param `{}` is declared twice", param.key()));
        }
    }
    for (i, secret) in model.secrets.iter().enumerate() {
        if model.params.iter().any(|param| secret.unraw() == param.key()) {
            diag.error(
                secret.span(),
                format!("secret `{secret}` has the name of a param; rename one of them"),
            );
        }
        if model.secrets[..i].contains(secret) {
            diag.error(secret.span(), format!("secret `{secret}` is declared twice"));
        }
    }
}

fn duplicates(tasks: &[TaskRef], diag: &mut Diagnostics) {
    let mut seen: HashMap<&str, &TaskRef> = HashMap::new();
    for task in tasks {
        if let Some(first) = seen.insert(&task.id.text, task)
            && !(first.conditional && task.conditional)
        {
            diag.error(task.id.span, format!("two tasks of this workflow are called `{}`", task.id.text));
        }
    }
}

fn unknown_dependencies(model: &WorkflowModel, diag: &mut Diagnostics) {
    if model.has_macros {
        return;
    }
    let ids = || model.tasks.iter().map(|t| t.id.text.as_str());
    for task in &model.tasks {
        for dependency in &task.dependencies {
            let text = &dependency.text;
            // A function under an attribute we do not know may be `#[task]` imported under another name:
            // the host checks those when it takes the package in.
            if ids().any(|id| id == text) || model.maybe_tasks.contains(text) {
                continue;
            }
            let near = did_you_mean(text, ids());
            diag.error(
                dependency.span,
                format!("`{}` depends on `{text}`, which this workflow does not have{near}", task.id.text),
            );
        }
    }
}

fn cycles(tasks: &[TaskRef], diag: &mut Diagnostics) {
    let by_id: HashMap<&str, usize> =
        tasks.iter().enumerate().map(|(i, t)| (t.id.text.as_str(), i)).collect();
    let mut state = vec![Mark::New; tasks.len()];
    for start in 0..tasks.len() {
        let mut path = Vec::new();
        visit(start, tasks, &by_id, &mut state, &mut path, diag);
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Mark {
    New,
    OnPath,
    Done,
}

fn visit(
    at: usize,
    tasks: &[TaskRef],
    by_id: &HashMap<&str, usize>,
    state: &mut [Mark],
    path: &mut Vec<usize>,
    diag: &mut Diagnostics,
) {
    if state[at] != Mark::New {
        return;
    }
    state[at] = Mark::OnPath;
    path.push(at);
    for dependency in &tasks[at].dependencies {
        // A task that names itself is `#[task]`'s own error.
        let Some(&next) = by_id.get(dependency.text.as_str()).filter(|next| **next != at) else { continue };
        if state[next] == Mark::OnPath {
            let from = path.iter().position(|i| *i == next).unwrap_or(0);
            let mut names: Vec<&str> = path[from..].iter().map(|i| tasks[*i].id.text.as_str()).collect();
            names.push(&tasks[next].id.text);
            diag.error(dependency.span, format!("these tasks wait for each other: {}", names.join(" -> ")));
        }
        visit(next, tasks, by_id, state, path, diag);
    }
    path.pop();
    state[at] = Mark::Done;
}
