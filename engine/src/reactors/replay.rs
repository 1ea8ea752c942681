//! Replays: a reactor from the beginning of its streams, beside what is recorded of it.

use crate::error::Error;
use crate::handle::EngineHandle;
use longshore_store::ReactorRow;

/// Stands between a reactor's name and the host that replays it; no reactor has it in its name.
const MARK: char = '@';

/// Begins the replay of a reactor. Returns the name under which it is recorded: until it ends, and no longer. What a replay
/// that died left is forgotten.
pub(super) async fn begin(engine: &EngineHandle, reactor: &str) -> Result<String, Error> {
    let store = engine.store();
    for left in ReactorRow::names(store, &format!("{reactor}{MARK}")).await? {
        end(engine, &left).await?;
    }
    let record = format!("{reactor}{MARK}{}", engine.host());
    let mut tx = store.begin().await?;
    // Whatever else is recorded of it can be found by this row.
    ReactorRow::set_paused(&mut tx, &record, false, engine.now_ms()).await?;
    store.commit(tx).await?;
    Ok(record)
}

/// Forgets a replay.
pub(super) async fn end(engine: &EngineHandle, record: &str) -> Result<(), Error> {
    let mut tx = engine.store().begin().await?;
    ReactorRow::forget(&mut tx, record).await?;
    Ok(engine.store().commit(tx).await?)
}
