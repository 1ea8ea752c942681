//! Runs by what an operator types.

use crate::error::CliError;
use longshore_store::{RunId, RunRow, Store};

/// Shortest beginning of an id.
const MIN_PREFIX: usize = 4;

/// Runs that are named when several begin with a text.
const MAX_NAMED: usize = 5;

/// The run with this id, or the only one whose id begins with it.
pub(super) async fn find(store: &Store, text: &str) -> anyhow::Result<RunId> {
    let whole = match RunId::parse(text) {
        Ok(id) => return Ok(id),
        Err(error) => error,
    };
    let is_prefix = text.len() >= MIN_PREFIX && text.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-');
    if !is_prefix {
        return Err(whole.into());
    }
    let prefix = text.to_ascii_lowercase();
    let mut found = RunRow::by_prefix(store, &prefix, MAX_NAMED as i64 + 1).await?;
    match found.len() {
        1 => Ok(found.remove(0)),
        0 => Err(CliError::NoRun { prefix }.into()),
        _ => Err(CliError::SeveralRuns { prefix, runs: found }.into()),
    }
}
