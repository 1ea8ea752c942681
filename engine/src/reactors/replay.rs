//! Replays: a reactor from the beginning of its streams, with records of its own beside the host's.

use crate::error::Error;
use crate::handle::EngineHandle;
use longshore_store::ReactorRow;

/// Separates a reactor's name from the host that replays it; the macros refuse it in names.
const MARK: char = '@';

/// Begins the replay of a reactor: deletes what replays left that died, and returns the name of this one's rows. There is one
/// host, so that no other replay is alive.
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
