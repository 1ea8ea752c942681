//! Commands of other programs to reactors.

use crate::error::Error;
use crate::handle::{EngineHandle, StartRequest};
use crate::reactors::ingress::packed;
use crate::reactors::log::log;
use crate::reactors::state::Event;
use crate::reactors::subscriptions;
use crate::reactors::supervisor::Reactors;
use longshore_store::{
    CommandClass, CommandRow, DeadLetter, DeadLetterId, PositionRow, ReactorCommand, Store, TenantId, Tx,
};
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

/// The interval at which refusals are forgotten that nobody read.
const FORGET_INTERVAL: Duration = Duration::from_secs(3600);

/// The time that a refusal is kept for whoever asked, in milliseconds.
const REFUSAL_KEPT_MS: i64 = 24 * 60 * 60 * 1000;

impl Reactors {
    /// As [`Reactors::push`], for what another program asked: a host that died after it was recorded does not do it
    /// again.
    async fn push_once(&self, store: &Store, command: &CommandRow, event: Event) -> Result<(), Error> {
        let (reactor, source) = (&command.reactor, &command.source);
        let (input, place) = self.find(reactor, source)?;
        let stream = stream_of(command);
        let is_done = |row: &PositionRow| row.stream == stream;
        let record = &input.reactor.record;
        if input.sequential.is_some() && PositionRow::of(store, record).await?.iter().any(is_done) {
            return Ok(());
        }
        let position = PositionRow { stream, position: String::new() };
        input.push_recorded(place, event, Some(position)).await
    }

    /// Sends a dead letter again: its event to its source, or its start to the workflow.
    async fn resend(&self, engine: &EngineHandle, command: &CommandRow) -> Result<(), Error> {
        let reactor = &command.reactor;
        let Some(letter) = letter_of(engine.store(), command).await? else {
            let (reactor, letter) = (reactor.clone(), command.payload.clone());
            return Err(Error::UnknownDeadLetter { reactor, letter });
        };
        if letter.resendable != 1 {
            return Err(Error::IncompleteDeadLetter { reactor: reactor.clone(), letter: letter.id });
        }
        let Some(workflow) = letter.workflow else {
            let event = packed(&letter.source, &parsed(&letter.source, &letter.payload)?)?;
            let command = CommandRow { source: letter.source, ..command.clone() };
            return self.push_once(engine.store(), &command, event).await;
        };
        let tenant = letter.tenant.map(TenantId::from).unwrap_or_default();
        let context = parsed(&letter.source, &letter.payload)?;
        let (origin, dedup_key) = (subscriptions::origin(&letter.source), letter.dedup_key);
        let request =
            StartRequest { tenant, workflow, context, origin, dedup_key, ..StartRequest::default() };
        engine.start(request).await.map(drop)
    }

    /// Does what other programs asked of a reactor, of one class.
    async fn apply_commands(
        &self,
        engine: &EngineHandle,
        reactor: &str,
        class: CommandClass,
    ) -> Result<(), Error> {
        for command in CommandRow::of(engine.store(), reactor, class, MAX_COMMANDS).await? {
            let refusal = match self.apply_command(engine, &command).await {
                Ok(()) => None,
                // The reactor is being swapped: it is done at the next look.
                Err(Error::Stopped) => return Ok(()),
                // Its package may be loading still.
                Err(Error::UnknownReactor { .. }) if !is_settled(engine, reactor) => return Ok(()),
                Err(Error::UnknownWorkflow { .. }) if !engine.packages().is_settled() => return Ok(()),
                Err(error) if error.is_transient() => return Err(error),
                Err(error) => Some(error),
            };
            let mut tx = engine.store().begin().await?;
            match refusal {
                None => self.record_done(&mut tx, &command, class).await?,
                Some(error) => {
                    tracing::warn!(reactor, code = error.code(), %error, "a command was refused");
                    CommandRow::refuse(&mut tx, &command.id, error.code(), &error.to_string()).await?;
                }
            }
            engine.store().commit(tx).await?;
        }
        Ok(())
    }

    async fn record_done(&self, tx: &mut Tx, command: &CommandRow, class: CommandClass) -> Result<(), Error> {
        CommandRow::done(tx, &command.id).await?;
        if class == CommandClass::Events {
            PositionRow::forget(tx, &self.record_of(&command.reactor), &stream_of(command)).await?;
        }
        if command.command == ReactorCommand::Resend {
            DeadLetter::forget(tx, DeadLetterId::parse(&command.payload)?).await?;
        }
        Ok(())
    }

    async fn apply_command(&self, engine: &EngineHandle, command: &CommandRow) -> Result<(), Error> {
        let (reactor, source, payload) = (&command.reactor, &command.source, &command.payload);
        match command.command {
            ReactorCommand::Push => {
                let event = packed(source, &parsed(source, payload)?)?;
                self.push_once(engine.store(), command, event).await
            }
            ReactorCommand::Resend => self.resend(engine, command).await,
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

/// The dead letter that a command is about; none when it is gone, or the command names no id.
async fn letter_of(store: &Store, command: &CommandRow) -> Result<Option<DeadLetter>, Error> {
    let Ok(id) = DeadLetterId::parse(&command.payload) else { return Ok(None) };
    Ok(DeadLetter::find(store, &command.reactor, id).await?)
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
    let mut forgetting = tokio::time::interval(FORGET_INTERVAL);
    let mut workers = JoinSet::new();
    let mut busy: HashMap<tokio::task::Id, (String, CommandClass)> = HashMap::new();
    loop {
        tokio::select! {
            Some(ended) = workers.join_next_with_id(), if !workers.is_empty() => {
                let id = match ended {
                    Ok((id, ())) => id,
                    Err(error) => error.id(),
                };
                busy.remove(&id);
            }
            _ = forgetting.tick() => log("refused commands were not forgotten", forget_refused(&engine).await),
            _ = ticks.tick() => {
                let waiting = CommandRow::waiting(engine.store()).await.unwrap_or_else(|error| {
                    log("commands were not looked for", Err(error.into()));
                    Vec::new()
                });
                for (reactor, class) in waiting {
                    if busy.values().any(|at_work| *at_work == (reactor.clone(), class)) {
                        continue;
                    }
                    let (engine, reactors, name) = (engine.clone(), Arc::clone(&reactors), reactor.clone());
                    let worker = workers.spawn(async move {
                        log("commands were not done", reactors.apply_commands(&engine, &name, class).await);
                    });
                    busy.insert(worker.id(), (reactor, class));
                }
            }
        }
    }
}

/// Refusals that nobody read in a day are forgotten.
async fn forget_refused(engine: &EngineHandle) -> Result<(), Error> {
    let mut tx = engine.store().begin().await?;
    CommandRow::forget_refused(&mut tx, engine.now_ms().saturating_sub(REFUSAL_KEPT_MS)).await?;
    Ok(engine.store().commit(tx).await?)
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
