//! `longshore packages follow`, `unfollow`, `followed`: packages that the host takes from registries.

use crate::home::{Home, now_ms};
use crate::output::{ExitStatus, Printer, span, table};
use crate::registry::RegistryArgs;
use crate::request::decision::Decision;
use longshore_package::PackageName;
use longshore_reconciler::OWN_DATABASE;
use longshore_registry::Requirement;
use longshore_store::FollowedPackage;
use serde_json::json;

pub(super) async fn follow(
    requirement: &Requirement,
    registry: &RegistryArgs,
    home: &Home,
    decision: Decision,
    printer: &Printer,
) -> anyhow::Result<ExitStatus> {
    let opened = registry.open(home).await?;
    let address = absolute(registry.address()?, opened.address());
    // What the registry will never give is refused here and now.
    let found = match opened.index(&requirement.name).await {
        Ok(index) => Some(requirement.resolve(&index)?.version.clone()),
        Err(error) if error.is_transient() => {
            printer.remark(&format!("the host asks later: {error}"));
            None
        }
        Err(error) => return Err(error.into()),
    };
    let Decision { actor, reason } = decision;
    let row = FollowedPackage {
        name: requirement.name.clone(),
        requirement: requirement.rule().unwrap_or_default(),
        registry: address,
        actor,
        reason,
        updated_at: now_ms(),
        version: String::new(),
        digest: None,
        checked_at: None,
        code: None,
        message: None,
    };
    row.put(&home.open_or_make().await?).await?;
    home.wake();
    let document = json!({ "name": row.name, "requirement": row.requirement, "registry": row.registry, "release": found });
    printer.print(&document, || {
        let now = found.map(|version| format!(", now {version}")).unwrap_or_default();
        format!(
            "{requirement}: followed in {}{now}; its host carries that out within seconds\n",
            row.registry
        )
    })?;
    Ok(ExitStatus::Done)
}

/// An address that means the same in the folder of the host.
fn absolute(named: String, opened: &str) -> String {
    if named == OWN_DATABASE || named.contains("://") || named.starts_with("sqlite:/") {
        return named;
    }
    match named.strip_prefix("sqlite:") {
        // The database is one by its whole path once it is open.
        Some(path) => {
            std::path::absolute(path).map_or(named.clone(), |path| format!("sqlite:{}", path.display()))
        }
        None => opened.to_owned(),
    }
}

pub(super) async fn unfollow(
    home: &Home,
    name: &str,
    decision: &Decision,
    printer: &Printer,
) -> anyhow::Result<ExitStatus> {
    let (store, package) = (home.open_read_only().await?, PackageName::from(name));
    let was = FollowedPackage::delete(&store, &package, &decision.actor, &decision.reason, now_ms()).await?;
    home.wake();
    printer.print(&json!({ "name": name, "unfollowed": was }), || {
        if was {
            format!("{name}: not followed any more; what the directories offer counts again\n")
        } else {
            format!("nothing to do: {name} is not followed\n")
        }
    })?;
    Ok(ExitStatus::Done)
}

pub(super) async fn followed(home: &Home, printer: &Printer) -> anyhow::Result<ExitStatus> {
    let rows = FollowedPackage::all(&home.open_read_only().await?).await?;
    printer.print(&json!({ "followed": rows }), || {
        if rows.is_empty() {
            return "no package is followed in a registry\n".to_owned();
        }
        let head = ["PACKAGE", "REQUIREMENT", "RELEASE", "REGISTRY", "ASKED", "PROBLEM"];
        let mut text = table(&head, rows.iter().map(row).collect());
        for row in &rows {
            if let (Some(code), Some(message)) = (&row.code, &row.message) {
                text.push_str(&format!("{}: {code}: {message}\n", row.name));
            }
        }
        text
    })?;
    Ok(ExitStatus::Done)
}

fn row(row: &FollowedPackage) -> Vec<String> {
    let asked = row.checked_at.map(|at| format!("{} ago", span(now_ms().saturating_sub(at))));
    vec![
        row.name.to_string(),
        if row.requirement.is_empty() { "highest".to_owned() } else { row.requirement.clone() },
        if row.version.is_empty() { "-".to_owned() } else { row.version.clone() },
        row.registry.clone(),
        asked.unwrap_or_else(|| "not yet".to_owned()),
        row.code.clone().unwrap_or_default(),
    ]
}
