//! The recorded status of reactors.

use longshore_store::{StatusRow, Store};
use serde_json::Value;

/// The status document of a row.
pub(super) fn document(row: &StatusRow) -> Value {
    serde_json::from_str(&row.status).unwrap_or_default()
}

/// The row of a reactor.
pub(super) async fn find(store: &Store, reactor: &str) -> anyhow::Result<StatusRow> {
    let rows = StatusRow::all(store).await?;
    let known = rows.iter().map(|row| row.name.clone()).collect();
    let found = rows.into_iter().find(|row| row.name == reactor);
    let unknown = longshore_engine::Error::UnknownReactor { reactor: reactor.to_owned(), known };
    found.ok_or_else(|| unknown.into())
}

/// A text of a status document.
pub(super) fn text<'v>(value: &'v Value, key: &str) -> &'v str {
    value[key].as_str().unwrap_or_default()
}
