//! [`Reactors`]: all reactors of a host, kept as the catalog says.

use super::calls::GraphRunner;
use super::core::{Core, Event};
use super::def::{InputStrategy, ReactorDef};
use super::feeds::{self, Feed, StreamPlace};
use super::reactor::{Fired, MAX_FIRED, Reactor};
use super::sequential::{Ingress, QUEUE, Sequential};
use super::status::ReactorStatus;
use super::wiring::{Wired, Wiring, lock};
use super::{Inlet, pack, subscriptions};
use crate::engine::{Engine, now_ms};
use crate::error::Error;
use crate::packages::Catalog;
use longshore_store::{CommandRow, PositionRow, ReactorCommand, ReactorRow, RejectRow, StatusRow, Store};
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;

/// How often what changed is recorded, and commands of other programs are looked for.
const TICK: Duration = Duration::from_secs(1);

/// How long a reactor that is to be connected anew is waited for while a graph is being called.
const BUSY: Duration = Duration::from_secs(5);

/// Commands that are done in one tick.
const MAX_COMMANDS: i64 = 1000;

/// All reactors of a host.
pub struct Reactors {
    running: Mutex<BTreeMap<String, Running>>,
    place: StreamPlace,
    replay: bool,
    deadline: Duration,
    fired: mpsc::Sender<Fired>,
    /// Whether the engine stops: nothing is started any more.
    closed: AtomicBool,
}

struct Running {
    inlet: Inlet,
    /// The graphs and subscriptions it was connected with.
    signature: String,
    feeds: Vec<Feed>,
    worker: Option<Feed>,
}

impl Reactors {
    /// Reactors of nothing yet. Relative paths of streams are looked for in `roots`.
    pub(crate) fn new(
        roots: Vec<PathBuf>,
        replay: bool,
        deadline: Duration,
    ) -> (Arc<Self>, mpsc::Receiver<Fired>) {
        let (fired, firings) = mpsc::channel(MAX_FIRED);
        let place = StreamPlace { roots, ..StreamPlace::default() };
        (
            Arc::new(Self {
                running: Mutex::default(),
                place,
                replay,
                deadline,
                fired,
                closed: AtomicBool::new(false),
            }),
            firings,
        )
    }

    /// What is so of every reactor, by name.
    pub fn list(&self) -> Vec<ReactorStatus> {
        lock(&self.running).values().map(|running| running.inlet.reactor.status()).collect()
    }

    /// Whether every stream was read to its end, and nothing waits.
    pub fn is_drained(&self) -> bool {
        let settled = |running: &Running| running.inlet.reactor.status().pending == 0;
        self.place.reading.load(Ordering::SeqCst) == 0 && lock(&self.running).values().all(settled)
    }

    /// Gives a source an event. With `sequential` it is on disk when this returns.
    ///
    /// # Errors
    /// [`Error::UnknownReactor`], [`Error::UnknownSource`], [`Error::BadEvent`].
    pub async fn push(&self, reactor: &str, source: &str, event: &Value) -> Result<(), Error> {
        let (inlet, place) = self.find(reactor, source)?;
        inlet.push_recorded(place, packed(source, event)?, None).await
    }

    /// As [`Reactors::push`], for what another program asked: a host that died after it was recorded does not do it
    /// again.
    async fn push_once(&self, store: &Store, command: &CommandRow) -> Result<(), Error> {
        let (reactor, source) = (&command.reactor, &command.source);
        let event: Value = parsed(source, &command.payload)?;
        let (inlet, place) = self.find(reactor, source)?;
        let event = packed(source, &event)?;
        // Ids are in the order of their time, and commands are done in that order.
        let done = |row: &PositionRow| row.stream == COMMANDS && row.position >= command.id;
        if inlet.sequential.is_some() && PositionRow::of(store, reactor).await?.iter().any(done) {
            return Ok(());
        }
        let position = PositionRow { stream: COMMANDS.to_owned(), position: command.id.clone() };
        inlet.push_recorded(place, event, Some(position)).await
    }

    /// As [`Reactors::push`], for a value that is MessagePack already, and without waiting for a record: with
    /// `latest` the graphs have been fired when this returns, if the reactor was idle and its package is this
    /// program.
    ///
    /// # Errors
    /// [`Error::UnknownReactor`], [`Error::UnknownSource`].
    pub async fn push_bytes(&self, reactor: &str, source: &str, event: Arc<[u8]>) -> Result<(), Error> {
        let (inlet, place) = self.find(reactor, source)?;
        inlet.push(vec![(place, event)]).await;
        Ok(())
    }

    /// Fires with the values there are, and with these on top. Only for `latest`.
    ///
    /// # Errors
    /// [`Error::UnknownReactor`], [`Error::UnknownSource`], [`Error::BadEvent`] for a reactor whose inputs are
    /// recorded: push an event instead.
    pub fn fire(&self, reactor: &str, values: &[(String, Value)]) -> Result<(), Error> {
        let running = self.inlet(reactor)?;
        if running.sequential.is_some() {
            let message = "a sequential reactor fires for its inputs: push one".to_owned();
            return Err(Error::BadEvent { source_name: reactor.to_owned(), message });
        }
        let mut events = Vec::with_capacity(values.len());
        for (source, value) in values {
            let (_, place) = self.find(reactor, source)?;
            events.push((place, packed(source, value)?));
        }
        running.reactor.fire_now(events);
        Ok(())
    }

    /// Stops firing, or goes on. It stays so over a restart.
    ///
    /// # Errors
    /// [`Error::UnknownReactor`].
    pub fn pause(&self, reactor: &str, paused: bool) -> Result<(), Error> {
        self.inlet(reactor)?.reactor.pause(paused);
        Ok(())
    }

    fn inlet(&self, reactor: &str) -> Result<Inlet, Error> {
        let running = lock(&self.running);
        running.get(reactor).map(|running| running.inlet.clone()).ok_or_else(|| Error::UnknownReactor {
            reactor: reactor.to_owned(),
            known: running.keys().cloned().collect(),
        })
    }

    fn find(&self, reactor: &str, source: &str) -> Result<(Inlet, usize), Error> {
        let inlet = self.inlet(reactor)?;
        let wiring = inlet.reactor.wiring();
        let place = wiring.def.source(source).ok_or_else(|| Error::UnknownSource {
            reactor: reactor.to_owned(),
            source_name: source.to_owned(),
            known: wiring.def.sources.iter().map(|source| source.name.clone()).collect(),
        })?;
        Ok((inlet, place))
    }

    /// Makes the running reactors those of the catalog.
    async fn follow(&self, engine: &Engine, catalog: &Catalog) -> Result<(), Error> {
        if self.closed.load(Ordering::SeqCst) {
            return Ok(());
        }
        let wanted: BTreeMap<&str, &Arc<ReactorDef>> =
            catalog.reactors.iter().map(|def| (def.name.as_str(), def)).collect();
        let gone: Vec<(String, Running)> = {
            let mut running = lock(&self.running);
            let names: Vec<String> =
                running.keys().filter(|name| !wanted.contains_key(name.as_str())).cloned().collect();
            names.into_iter().filter_map(|name| running.remove_entry(&name)).collect()
        };
        for (name, running) in gone {
            self.stop(engine, &running).await;
            let mut tx = engine.store().begin().await?;
            StatusRow::forget(&mut tx, &name).await?;
            engine.store().commit(tx).await?;
        }
        for (name, def) in wanted {
            let Some(runner) = engine.packages().graphs(&def.digest) else { continue };
            let signature = signature(catalog, def);
            let known = lock(&self.running).get(name).map(|r| (r.signature.clone(), r.inlet.clone()));
            match known {
                Some((same, _)) if same == signature => {}
                Some((_, inlet)) => self.rewire(engine, catalog, def, runner, inlet, signature).await,
                None => self.start(engine, catalog, def, runner, signature).await?,
            }
        }
        Ok(())
    }

    /// Connects a running reactor to another generation: values and waiting events stay.
    async fn rewire(
        &self,
        engine: &Engine,
        catalog: &Catalog,
        def: &Arc<ReactorDef>,
        runner: Arc<dyn GraphRunner>,
        inlet: Inlet,
        signature: String,
    ) {
        let wiring = Arc::new(wiring(engine, catalog, def, runner, self.deadline));
        // What fed the version before ends first: its places of sources may be others.
        if let Some(running) = lock(&self.running).get_mut(&def.name) {
            running.feeds.clear();
        }
        let began = Instant::now();
        while !inlet.reactor.rewire(&wiring) {
            if began.elapsed() > BUSY {
                tracing::error!(
                    reactor = def.name,
                    "a graph does not return; the reactor stays with the old version"
                );
                break;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        if let Some(running) = lock(&self.running).get_mut(&def.name) {
            running.signature = signature;
            let positions = lock(&inlet.positions).clone();
            running.feeds = feeds::start(&inlet, &positions, &self.place);
        }
    }

    async fn start(
        &self,
        engine: &Engine,
        catalog: &Catalog,
        def: &Arc<ReactorDef>,
        runner: Arc<dyn GraphRunner>,
        signature: String,
    ) -> Result<(), Error> {
        if self.replay {
            let mut tx = engine.store().begin().await?;
            ReactorRow::forget(&mut tx, &def.name).await?;
            engine.store().commit(tx).await?;
        }
        let row = ReactorRow::find(engine.store(), &def.name).await?;
        let core = match &row {
            Some(row) => Core::restored(Arc::clone(def), &row.state),
            None => Core::new(Arc::clone(def)),
        };
        let (cursor, paused) = row.map_or((0, false), |row| (row.cursor, row.paused != 0));
        let wiring = wiring(engine, catalog, def, runner, self.deadline);
        let reactor = Arc::new(Reactor::new(wiring, core, paused, self.fired.clone()));
        let positions: BTreeMap<String, String> = PositionRow::of(engine.store(), &def.name)
            .await?
            .into_iter()
            .map(|row| (row.stream, row.position))
            .collect();
        let (sequential, worker) = match def.strategy {
            InputStrategy::Latest => (None, None),
            InputStrategy::Sequential => {
                let (sender, ingress) = mpsc::channel::<Ingress>(QUEUE);
                let (engine, reactor, def) = (engine.clone(), Arc::clone(&reactor), Arc::clone(def));
                let work = Sequential { engine, reactor, cursor, ingress, def };
                (Some(sender), Some(Feed::of(tokio::spawn(work.run()))))
            }
        };
        let positions_kept = Arc::new(Mutex::new(positions.clone()));
        let inlet = Inlet { reactor, sequential, positions: positions_kept };
        let feeds = feeds::start(&inlet, &positions, &self.place);
        let running = Running { inlet, signature, feeds, worker };
        let mut all = lock(&self.running);
        if !self.closed.load(Ordering::SeqCst) {
            all.insert(def.name.clone(), running);
        }
        Ok(())
    }

    /// Ends a reactor: what it gathered in memory is flushed, what it knows is recorded.
    async fn stop(&self, engine: &Engine, running: &Running) {
        let reactor = &running.inlet.reactor;
        for source in 0..reactor.wiring().def.sources.len() {
            if running.worker.is_none() && reactor.has_buffered(source) {
                reactor.flush(source);
            }
        }
        if let Err(error) = record(engine, std::slice::from_ref(&running.inlet)).await {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(reactor = reactor.name, error, "its state was not recorded");
        }
    }

    /// Records what changed since the last time.
    async fn record_changes(&self, engine: &Engine) -> Result<(), Error> {
        let changed: Vec<Inlet> = lock(&self.running)
            .values()
            .filter(|running| running.inlet.reactor.take_touched())
            .map(|running| running.inlet.clone())
            .collect();
        if changed.is_empty() {
            return Ok(());
        }
        let recorded = record(engine, &changed).await;
        if recorded.is_err() {
            // The database may be back with the next tick.
            changed.iter().for_each(|inlet| inlet.reactor.touch());
        }
        recorded
    }

    /// Does what other programs asked for.
    async fn obey(&self, engine: &Engine) -> Result<(), Error> {
        for command in CommandRow::pending(engine.store(), MAX_COMMANDS).await? {
            let done = self.obey_one(engine.store(), &command).await;
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

    async fn obey_one(&self, store: &Store, command: &CommandRow) -> Result<(), Error> {
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

    /// Ends all reactors.
    pub(crate) async fn shutdown(&self, engine: &Engine) {
        self.closed.store(true, Ordering::SeqCst);
        let running = std::mem::take(&mut *lock(&self.running));
        for mut running in running.into_values() {
            running.feeds.clear();
            self.stop(engine, &running).await;
        }
    }
}

/// Stands for the commands of other programs among the streams of a reactor.
const COMMANDS: &str = "commands";

/// A value as it travels to a source.
fn packed(source: &str, value: &Value) -> Result<Event, Error> {
    pack(value).map_err(|message| Error::BadEvent { source_name: source.to_owned(), message })
}

/// What another program wrote for a source.
fn parsed<T: DeserializeOwned>(source: &str, json: &str) -> Result<T, Error> {
    serde_json::from_str(json)
        .map_err(|error| Error::BadEvent { source_name: source.to_owned(), message: error.to_string() })
}

/// What a reactor is connected with: when this text is the same, nothing is to be done.
fn signature(catalog: &Catalog, def: &ReactorDef) -> String {
    let graphs = catalog.graphs.iter().filter(|graph| graph.reactor == def.name);
    let graphs: Vec<String> = graphs.map(|graph| format!("{}/{}", graph.digest, graph.name)).collect();
    let subscriptions = catalog.subscriptions.iter().filter(|s| s.reactor == def.name);
    let subscriptions: Vec<&str> = subscriptions.map(|s| s.trigger.as_str()).collect();
    format!("{} {} {}", def.digest, graphs.join(","), subscriptions.join(","))
}

fn wiring(
    engine: &Engine,
    catalog: &Catalog,
    def: &Arc<ReactorDef>,
    runner: Arc<dyn GraphRunner>,
    deadline: Duration,
) -> Wiring {
    let bound = catalog.graphs.iter().filter(|graph| graph.reactor == def.name);
    let graphs = bound.filter_map(|graph| {
        let own = graph.digest == def.digest;
        let foreign = if own { None } else { Some(engine.packages().graphs(&graph.digest)?) };
        Some(Arc::new(Wired::new(Arc::clone(graph), foreign, deadline)))
    });
    Wiring {
        def: Arc::clone(def),
        runner,
        graphs: graphs.collect(),
        subscriptions: catalog.subscriptions.iter().filter(|s| s.reactor == def.name).cloned().collect(),
        deadline,
    }
}

/// Records state (of those whose inputs are not recorded), rejected events and status.
async fn record(engine: &Engine, inlets: &[Inlet]) -> Result<(), Error> {
    let now = now_ms();
    let in_memory = inlets.iter().filter(|inlet| inlet.sequential.is_none());
    let row = |inlet: &Inlet| {
        let Some(state) = inlet.reactor.state() else {
            // In the middle of a call: the next time will do.
            inlet.reactor.touch();
            return None;
        };
        Some(ReactorRow {
            name: inlet.reactor.name.clone(),
            cursor: 0,
            paused: i64::from(inlet.reactor.is_paused()),
            state,
        })
    };
    let rows: Vec<ReactorRow> = in_memory.filter_map(row).collect();
    let mut tx = engine.store().begin().await?;
    ReactorRow::put(&mut tx, &rows, now).await?;
    let mut statuses = Vec::with_capacity(inlets.len());
    let mut recorded = Vec::with_capacity(inlets.len());
    for inlet in inlets {
        let name = &inlet.reactor.name;
        let rejects: Vec<RejectRow> =
            inlet.reactor.rejects().iter().map(|r| reject_row(name, r, now)).collect();
        if !rejects.is_empty() {
            RejectRow::insert(&mut tx, name, &rejects).await?;
        }
        recorded.push(rejects.len());
        if inlet.sequential.is_some() {
            ReactorRow::set_paused(&mut tx, name, inlet.reactor.is_paused(), now).await?;
        } else {
            let positions = lock(&inlet.positions).clone();
            let rows = positions.into_iter().map(|(stream, position)| PositionRow { stream, position });
            PositionRow::put(&mut tx, name, &rows.collect::<Vec<_>>()).await?;
        }
        let status = inlet.reactor.status();
        statuses.push(StatusRow {
            name: name.clone(),
            package: status.package.clone(),
            digest: status.digest.clone(),
            status: serde_json::to_string(&status).unwrap_or_default(),
            updated_at: now,
        });
    }
    StatusRow::put(&mut tx, &statuses).await?;
    engine.store().commit(tx).await?;
    for (inlet, count) in inlets.iter().zip(recorded) {
        inlet.reactor.rejects_recorded(count);
    }
    Ok(())
}

fn reject_row(reactor: &str, rejected: &super::core::Rejected, now: i64) -> RejectRow {
    let payload: Value = longshore_workflow::deserialize(&rejected.event).unwrap_or_default();
    RejectRow {
        reactor: reactor.to_owned(),
        source: rejected.source.clone(),
        position: rejected.position.clone(),
        field: rejected.failure.field.clone(),
        message: rejected.failure.message.clone(),
        payload: payload.to_string(),
        at: now,
    }
}

/// Keeps the reactors as the catalog says, until it is aborted.
pub(crate) async fn run(engine: Engine, reactors: Arc<Reactors>, mut firings: mpsc::Receiver<Fired>) {
    let mut changed = engine.packages().changed();
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let host = engine.host();
    loop {
        let followed = reactors.follow(&engine, &engine.packages().catalog()).await;
        log("reactors were not brought up to date", followed);
        loop {
            tokio::select! {
                fired = firings.recv() => {
                    let Some(Fired { reactor, number, outputs }) = fired else { return };
                    let subscribed: Vec<_> = engine
                        .packages()
                        .catalog()
                        .subscriptions
                        .iter()
                        .filter(|subscription| subscription.reactor == reactor)
                        .cloned()
                        .collect();
                    // Firings in memory are counted anew by each host.
                    let key = format!("{reactor}:{host}:{number}");
                    log("a subscription was not served", subscriptions::start(&engine, &subscribed, &key, &outputs).await);
                }
                _ = ticks.tick() => {
                    // A wiring that failed is tried again with the next tick.
                    log("commands were not looked for", reactors.obey(&engine).await);
                    log("reactors were not recorded", reactors.record_changes(&engine).await);
                    if engine.packages().catalog().reactors.len() != lock(&reactors.running).len() {
                        break;
                    }
                }
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

fn log(what: &str, result: Result<(), Error>) {
    if let Err(error) = result {
        tracing::warn!(error = &error as &dyn std::error::Error, code = error.code(), "{what}");
    }
}
