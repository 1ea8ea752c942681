//! The entries of the packages that are desired.

use longshore_store::{EntryKind, EntryRow, PackageName, Store};
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
    let rows = EntryRow::desired(store, kind).await?.into_iter();
    rows.map(|(package, row)| {
        Ok(Entry { package, name: row.name, detail: serde_json::from_str(&row.detail)? })
    })
    .collect()
}

/// The name of a workflow as it is given on the command line. `tenant::name` is recorded.
pub(crate) fn workflow_name(recorded: &str) -> String {
    let (tenant, name) = recorded.split_once("::").unwrap_or(("public", recorded));
    if tenant == "public" { name.to_owned() } else { format!("{tenant}/{name}") }
}
