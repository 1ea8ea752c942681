//! Commands of other programs to reactors.

use crate::error::Error;
use crate::handle::EngineHandle;
use crate::reactors::ingress::packed;
use crate::reactors::supervisor::Reactors;
use longshore_store::{CommandRow, PositionRow, ReactorCommand, Store};
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::collections::BTreeMap;

/// Commands that are done in one tick.
const MAX_COMMANDS: i64 = 1000;

impl Reactors {
    /// As [`Reactors::push`], for what another program asked: a host that died after it was recorded does not do it
    /// again.
    async fn push_once(&self, store: &Store, command: &CommandRow) -> Result<(), Error> {
        let (reactor, source) = (&command.reactor, &command.source);
        let event: Value = parsed(source, &command.payload)?;
        let (input, place) = self.find(reactor, source)?;
        let event = packed(source, &event)?;
        // Ids are in the order of their time, and commands are done in that order.
        let done = |row: &PositionRow| row.stream == COMMANDS && row.position >= command.id;
        if input.sequential.is_some() && PositionRow::of(store, reactor).await?.iter().any(done) {
            return Ok(());
        }
        let position = PositionRow { stream: COMMANDS.to_owned(), position: command.id.clone() };
        input.push_recorded(place, event, Some(position)).await
    }

    /// Does what other programs asked for.
    pub(super) async fn apply_commands(&self, engine: &EngineHandle) -> Result<(), Error> {
        for command in CommandRow::pending(engine.store(), MAX_COMMANDS).await? {
            let done = self.apply_command(engine.store(), &command).await;
            if let Err(Error::Stopped) = done {
                // The reactor is being swapped: it is done at the next look.
                return Ok(());
            }
            if let Err(error) = done {
                tracing::warn!(
                    reactor = command.reactor,
                    command = command.command.as_str(),
                    code = error.code(),
                    error = &error as &dyn std::error::Error,
                    "a command was refused"
                );
            }
            let mut tx = engine.store().begin().await?;
            CommandRow::done(&mut tx, &command.id).await?;
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
        }
    }
}

/// Stands for the commands of other programs among the streams of a reactor.
const COMMANDS: &str = "commands";

/// Another program's event for a source.
fn parsed<T: DeserializeOwned>(source: &str, json: &str) -> Result<T, Error> {
    serde_json::from_str(json)
        .map_err(|error| Error::BadEvent { source_name: source.to_owned(), message: error.to_string() })
}
