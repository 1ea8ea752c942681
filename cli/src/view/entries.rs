//! The entries of the packages that are desired.

use longshore_store::{EntryKind, EntryRow, PackageName, PackageRow, PackageState, Store};
use serde_json::Value;

/// An entry with its package.
pub(crate) struct Entry {
    pub(crate) package: PackageName,
    pub(crate) name: String,
    /// Everything else.
    pub(crate) detail: Value,
}

/// All entries of a kind, by package and name.
pub(crate) async fn entries(store: &Store, kind: EntryKind) -> anyhow::Result<Vec<Entry>> {
    let mut found = Vec::new();
    for package in PackageRow::all(store).await?.into_iter().filter(|p| p.state == PackageState::Desired) {
        for entry in EntryRow::of(store, &package.digest).await?.into_iter().filter(|e| e.kind == kind) {
            let detail = serde_json::from_str(&entry.detail)?;
            found.push(Entry { package: package.name.clone(), name: entry.name, detail });
        }
    }
    Ok(found)
}

/// The name of a workflow as it is given on the command line. `tenant::name` is recorded.
pub(crate) fn workflow_name(recorded: &str) -> String {
    let (tenant, name) = recorded.split_once("::").unwrap_or(("public", recorded));
    if tenant == "public" { name.to_owned() } else { format!("{tenant}/{name}") }
}
