//! The tasks that keep the reactors of a host.

use crate::handle::EngineHandle;
use crate::reactors::log::log;
use crate::reactors::reactor::Fired;
use crate::reactors::supervisor::Reactors;
use crate::reactors::{commands, subscriptions};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

/// The interval at which changes are recorded.
const TICK: Duration = Duration::from_secs(1);

/// The interval at which reactors are looked at that wait: for a call to return, for the end of a graph's pause.
const SOON: Duration = Duration::from_millis(20);

/// Keeps the reactors as the catalog says, until it is aborted. Nothing in here waits for an author's code: commands and
/// firings have tasks of their own.
pub(crate) async fn run(engine: EngineHandle, reactors: Arc<Reactors>, firings: mpsc::Receiver<Fired>) {
    let mut tasks = JoinSet::new();
    tasks.spawn(subscriptions::serve(engine.clone(), firings));
    tasks.spawn(commands::run(engine.clone(), Arc::clone(&reactors)));
    let mut changed = engine.packages().changed();
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let reconciled = reactors.reconcile(&engine, &engine.packages().catalog()).await;
        log("reactors were not brought up to date", reconciled);
        loop {
            let some_wait = reactors.look_after();
            tokio::select! {
                _ = ticks.tick() => {
                    // A binding that failed is tried again with the next tick.
                    log("reactors were not recorded", reactors.record_changes(&engine).await);
                    if engine.packages().catalog().reactors.len() != reactors.count() {
                        break;
                    }
                }
                () = tokio::time::sleep(SOON), if some_wait => {}
                result = changed.changed() => {
                    if result.is_err() {
                        return;
                    }
                    break;
                }
            }
        }
    }
}
