//! Commands of other programs to reactors.

use crate::error::Error;
use crate::handle::EngineHandle;
use crate::reactors::ingress::packed;
use crate::reactors::log::log;
use crate::reactors::supervisor::Reactors;
use longshore_store::{CommandRow, PositionRow, ReactorCommand, Store};
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

/// Commands of a reactor that are done in one tick.
const MAX_COMMANDS: i64 = 1000;

/// The interval at which commands are looked for.
const TICK: Duration = Duration::from_millis(500);

/// The time that a refusal is kept for whoever asked, in milliseconds.
const REFUSAL_KEPT_MS: i64 = 24 * 60 * 60 * 1000;

impl Reactors {
    /// As [`Reactors::push`], for what another program asked: a host that died after it was recorded does not do it
    /// again.
    async fn push_once(&self, store: &Store, command: &CommandRow) -> Result<(), Error> {
        let (reactor, source) = (&command.reactor, &command.source);
        let event: Value = parsed(source, &command.payload)?;
        let (input, place) = self.find(reactor, source)?;
        let event = packed(source, &event)?;
        let stream = stream_of(command);
        let is_done = |row: &PositionRow| row.stream == stream;
        if input.sequential.is_some() && PositionRow::of(store, reactor).await?.iter().any(is_done) {
            return Ok(());
        }
        let position = PositionRow { stream, position: String::new() };
        input.push_recorded(place, event, Some(position)).await
    }

    /// Does what other programs asked of a reactor: events, or what is no event.
    async fn apply_commands(&self, engine: &EngineHandle, reactor: &str, pushes: bool) -> Result<(), Error> {
        for command in CommandRow::of(engine.store(), reactor, pushes, MAX_COMMANDS).await? {
            let refusal = match self.apply_command(engine.store(), &command).await {
                Ok(()) => None,
                // The reactor is being swapped: it is done at the next look.
                Err(Error::Stopped) => return Ok(()),
                // Its package may be loading still.
                Err(Error::UnknownReactor { .. }) if !is_settled(engine, reactor) => return Ok(()),
                Err(error @ (Error::Store(_) | Error::NotRecorded { .. })) => return Err(error),
                Err(error) => Some(error),
            };
            let mut tx = engine.store().begin().await?;
            match refusal {
                None => {
                    CommandRow::done(&mut tx, &command.id).await?;
                    if pushes {
                        PositionRow::forget(&mut tx, reactor, &stream_of(&command)).await?;
                    }
                }
                Some(error) => {
                    tracing::warn!(reactor, code = error.code(), %error, "a command was refused");
                    CommandRow::refuse(&mut tx, &command.id, error.code(), &error.to_string()).await?;
                }
            }
            engine.store().commit(tx).await?;
        }
        Ok(())
    }

    async fn apply_command(&self, store: &Store, command: &CommandRow) -> Result<(), Error> {
        let (reactor, payload) = (&command.reactor, &command.payload);
        match command.command {
            ReactorCommand::Push => self.push_once(store, command).await,
            ReactorCommand::Fire => {
                let values: BTreeMap<String, Value> = parsed(reactor, payload)?;
                self.fire(reactor, &values.into_iter().collect::<Vec<_>>())
            }
            ReactorCommand::Pause => self.pause(reactor, true),
            ReactorCommand::Resume => self.pause(reactor, false),
            ReactorCommand::Reset => self.reset(reactor),
        }
    }
}

/// True when a reactor that does not run is none of this host: everything was loaded, and no package has it.
fn is_settled(engine: &EngineHandle, reactor: &str) -> bool {
    let packages = engine.packages();
    packages.is_settled() && packages.catalog().reactors.iter().all(|def| def.name != reactor)
}

/// Does what other programs ask for, until it is aborted. Each reactor has a worker of its own for events, which may
/// wait where a reactor is full, and one for everything else.
pub(super) async fn run(engine: EngineHandle, reactors: Arc<Reactors>) {
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut workers = JoinSet::new();
    let mut busy: HashMap<tokio::task::Id, (String, bool)> = HashMap::new();
    loop {
        tokio::select! {
            Some(ended) = workers.join_next_with_id(), if !workers.is_empty() => {
                let id = match ended {
                    Ok((id, ())) => id,
                    Err(error) => error.id(),
                };
                busy.remove(&id);
            }
            _ = ticks.tick() => {
                let waiting = waiting(&engine).await.unwrap_or_else(|error| {
                    log("commands were not looked for", Err(error));
                    Vec::new()
                });
                for (reactor, pushes) in waiting {
                    if busy.values().any(|at_work| *at_work == (reactor.clone(), pushes)) {
                        continue;
                    }
                    let (engine, reactors, name) = (engine.clone(), Arc::clone(&reactors), reactor.clone());
                    let worker = workers.spawn(async move {
                        log("commands were not done", reactors.apply_commands(&engine, &name, pushes).await);
                    });
                    busy.insert(worker.id(), (reactor, pushes));
                }
            }
        }
    }
}

/// The reactors that commands wait for. Refusals that nobody read in a day are forgotten.
async fn waiting(engine: &EngineHandle) -> Result<Vec<(String, bool)>, Error> {
    let waiting = CommandRow::waiting(engine.store()).await?;
    if !waiting.is_empty() {
        let mut tx = engine.store().begin().await?;
        CommandRow::forget_refused(&mut tx, engine.now_ms().saturating_sub(REFUSAL_KEPT_MS)).await?;
        engine.store().commit(tx).await?;
    }
    Ok(waiting)
}

/// Stands for a command among the streams of a reactor, from the moment when its event is recorded until the command is
/// deleted.
fn stream_of(command: &CommandRow) -> String {
    format!("command/{}", command.id)
}

/// JSON that another program wrote for a source, or for a reactor.
fn parsed<T: DeserializeOwned>(source: &str, json: &str) -> Result<T, Error> {
    serde_json::from_str(json)
        .map_err(|error| Error::BadEvent { source_name: source.to_owned(), message: error.to_string() })
}
