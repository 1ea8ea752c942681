//! [`Reactors`]: all reactors of a host, kept as the catalog says.

use crate::error::Error;
use crate::handle::EngineHandle;
use crate::model::catalog::Catalog;
use crate::model::reactor_def::{InputStrategy, ReactorDef};
use crate::port::graph_calls::GraphRunner;
use crate::reactors::bindings::{Bindings, bindings, signature};
use crate::reactors::feeds::{self, Feed, Feeds, StreamPlace};
use crate::reactors::ingress::{InputBatch, ReactorInput, packed};
use crate::reactors::log::log;
use crate::reactors::persist;
use crate::reactors::reactor::{Fired, MAX_FIRED, Reactor};
use crate::reactors::replay;
use crate::reactors::sequential::{QUEUE, Sequential};
use crate::reactors::state::ReactorState;
use crate::reactors::status::ReactorStatus;
use crate::sync::lock;
use longshore_store::{PositionRow, ReactorRow, StatusRow};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// The time that the events of a reactor get that stops: after it, what they change is not recorded, and they are read again.
const STOP_GRACE: Duration = Duration::from_secs(2);

/// All reactors of a host.
pub struct Reactors {
    running: Mutex<BTreeMap<String, Running>>,
    place: StreamPlace,
    replay: bool,
    deadline: Duration,
    fired: mpsc::Sender<Fired>,
    /// True when the engine stops: nothing is started any more.
    closed: AtomicBool,
    /// Held from the look at a state until it is recorded: an older one must not be recorded after a newer one, and no dead
    /// letter twice.
    recording: tokio::sync::Mutex<()>,
}

struct Running {
    input: ReactorInput,
    /// The graphs and subscriptions it was connected with.
    signature: String,
    /// The connections that it is handed once nothing feeds it any more.
    next: Option<Arc<Bindings>>,
    /// True when it has not taken up its connections yet: nothing feeds it meanwhile.
    waits: bool,
    feeds: Feeds,
    /// Feeds that were told to end.
    ending: Vec<JoinHandle<()>>,
    worker: Option<Feed>,
}

impl Running {
    /// Hands the reactor its next connections once what fed it has ended: its places of sources may be others.
    fn hand_over(&mut self) {
        if self.next.is_none() {
            return;
        }
        self.ending.extend(lock(&self.feeds).drain(..).filter_map(Feed::end));
        self.ending.retain(|feed| !feed.is_finished());
        // One that ended a moment ago may have started others.
        if self.ending.is_empty() && lock(&self.feeds).is_empty() {
            self.input.reactor.hand_over(self.next.take());
            self.waits = true;
        }
    }
}

impl Reactors {
    /// Reactors of nothing yet. Relative paths of streams are looked for in `roots`.
    pub(crate) fn new(
        roots: Vec<PathBuf>,
        replay: bool,
        deadline: Duration,
    ) -> (Arc<Self>, mpsc::Receiver<Fired>) {
        let (fired, firings) = mpsc::channel(MAX_FIRED);
        let place = StreamPlace { roots, ends: replay, ..StreamPlace::default() };
        (
            Arc::new(Self {
                running: Mutex::default(),
                place,
                replay,
                deadline,
                fired,
                closed: AtomicBool::new(false),
                recording: tokio::sync::Mutex::default(),
            }),
            firings,
        )
    }

    /// The status of every reactor, by name.
    pub fn list(&self) -> Vec<ReactorStatus> {
        lock(&self.running).values().map(|running| running.input.reactor.status()).collect()
    }

    /// True when every stream was read to its end, and nothing waits.
    pub fn is_drained(&self) -> bool {
        let settled = |running: &Running| running.input.reactor.status().pending == 0;
        self.place.reading.load(Ordering::SeqCst) == 0 && lock(&self.running).values().all(settled)
    }

    /// Gives a source an event. With `sequential` it is on disk when this returns.
    ///
    /// # Errors
    /// [`Error::UnknownReactor`], [`Error::UnknownSource`], [`Error::BadEvent`].
    pub async fn push(&self, reactor: &str, source: &str, event: &Value) -> Result<(), Error> {
        let (input, place) = self.find(reactor, source)?;
        input.push_recorded(place, packed(source, event)?, None).await
    }

    /// As [`Reactors::push`], for a value that is MessagePack already, and without waiting for a record: with
    /// `latest` the graphs have been fired when this returns, if the reactor was idle and its package is this
    /// program.
    ///
    /// # Errors
    /// [`Error::UnknownReactor`], [`Error::UnknownSource`].
    pub async fn push_bytes(&self, reactor: &str, source: &str, event: Arc<[u8]>) -> Result<(), Error> {
        let (input, place) = self.find(reactor, source)?;
        input.push(vec![(place, event)]).await;
        Ok(())
    }

    /// Fires with the values there are, and with these on top. Only for `latest`.
    ///
    /// # Errors
    /// [`Error::UnknownReactor`], [`Error::UnknownSource`], [`Error::BadEvent`], [`Error::Sequential`].
    pub fn fire(&self, reactor: &str, values: &[(String, Value)]) -> Result<(), Error> {
        let running = self.input(reactor)?;
        if running.sequential.is_some() {
            return Err(Error::Sequential { reactor: reactor.to_owned() });
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
        self.input(reactor)?.reactor.pause(paused);
        Ok(())
    }

    /// Closes the circuits of a reactor's graphs that failed too often in a row: the next firing calls them.
    ///
    /// # Errors
    /// [`Error::UnknownReactor`].
    pub fn reset(&self, reactor: &str) -> Result<(), Error> {
        self.input(reactor)?.reactor.reset();
        Ok(())
    }

    /// The number of reactors that run.
    pub(super) fn count(&self) -> usize {
        lock(&self.running).len()
    }

    fn input(&self, reactor: &str) -> Result<ReactorInput, Error> {
        let running = lock(&self.running);
        running.get(reactor).map(|running| running.input.clone()).ok_or_else(|| Error::UnknownReactor {
            reactor: reactor.to_owned(),
            known: running.keys().cloned().collect(),
        })
    }

    /// The name under which a reactor is recorded.
    pub(super) fn record_of(&self, reactor: &str) -> String {
        let running = lock(&self.running);
        running
            .get(reactor)
            .map_or_else(|| reactor.to_owned(), |running| running.input.reactor.record.clone())
    }

    pub(super) fn find(&self, reactor: &str, source: &str) -> Result<(ReactorInput, usize), Error> {
        let input = self.input(reactor)?;
        let bindings = input.reactor.bindings();
        let place = bindings.def.source(source).ok_or_else(|| Error::UnknownSource {
            reactor: reactor.to_owned(),
            source_name: source.to_owned(),
            known: bindings.def.sources.iter().map(|source| source.name.clone()).collect(),
        })?;
        Ok((input, place))
    }

    /// Makes the running reactors those of the catalog.
    pub(super) async fn reconcile(&self, engine: &EngineHandle, catalog: &Catalog) -> Result<(), Error> {
        if self.closed.load(Ordering::SeqCst) {
            return Ok(());
        }
        let wanted: BTreeMap<&str, &Arc<ReactorDef>> =
            catalog.reactors.iter().map(|def| (def.name.as_str(), def)).collect();
        let gone: Vec<(String, Running)> = {
            let mut running = lock(&self.running);
            // One whose strategy changed is another reactor.
            let stays = |name: &str, running: &Running| {
                let strategy = running.input.reactor.bindings().def.strategy;
                wanted.get(name).is_some_and(|def| def.strategy == strategy)
            };
            let leaving = running.iter().filter(|(name, running)| !stays(name, running));
            let names: Vec<String> = leaving.map(|(name, _)| name.clone()).collect();
            names.into_iter().filter_map(|name| running.remove_entry(&name)).collect()
        };
        for (name, running) in gone {
            lock(&running.feeds).clear();
            self.stop(engine, &running).await;
            self.forget_replay(engine, running).await;
            let mut tx = engine.store().begin().await?;
            StatusRow::forget(&mut tx, &name).await?;
            engine.store().commit(tx).await?;
        }
        for (name, def) in wanted {
            let Some(runner) = engine.packages().graphs(&def.digest) else { continue };
            let signature = signature(catalog, def);
            let known = lock(&self.running).get(name).map(|running| running.signature.clone());
            match known {
                Some(same) if same == signature => {}
                Some(_) => {
                    let bindings = bindings(engine, catalog, def, runner, self.deadline);
                    self.rebind(def, bindings, signature);
                }
                None => self.start(engine, catalog, def, runner, signature).await?,
            }
        }
        Ok(())
    }

    /// Connects a running reactor to another generation: values and waiting events stay. It takes that up between two
    /// calls, see [`Reactors::look_after`].
    fn rebind(&self, def: &ReactorDef, bindings: Bindings, signature: String) {
        if let Some(running) = lock(&self.running).get_mut(&def.name) {
            running.signature = signature;
            running.next = Some(Arc::new(bindings));
        }
    }

    /// Looks after the reactors that wait. Returns true when some still do.
    pub(super) fn look_after(&self) -> bool {
        let mut some_wait = false;
        for running in lock(&self.running).values_mut() {
            running.hand_over();
            let reactor = &running.input.reactor;
            if running.waits && reactor.take_up() {
                running.waits = false;
                feeds::restart(&running.input, &self.place, &running.feeds);
                // Where the package is this program, the author's code runs on whatever thread asks.
                let reactor = Arc::clone(reactor);
                tokio::task::spawn_blocking(move || reactor.pump_if_needed());
            }
            if reactor.may_make_up() {
                let reactor = Arc::clone(reactor);
                tokio::task::spawn_blocking(move || reactor.make_up());
            }
            some_wait |= running.next.is_some() || running.waits || reactor.has_missed();
        }
        some_wait
    }

    async fn start(
        &self,
        engine: &EngineHandle,
        catalog: &Catalog,
        def: &Arc<ReactorDef>,
        runner: Arc<dyn GraphRunner>,
        signature: String,
    ) -> Result<(), Error> {
        let record = if self.replay { replay::begin(engine, &def.name).await? } else { def.name.clone() };
        let row = ReactorRow::find(engine.store(), &record).await?;
        let state = match &row {
            Some(row) => ReactorState::restored(Arc::clone(def), &row.state),
            None => ReactorState::new(Arc::clone(def)),
        };
        let (cursor, paused) = row.map_or((0, false), |row| (row.cursor, row.paused != 0));
        let bindings = bindings(engine, catalog, def, runner, self.deadline);
        let positions: BTreeMap<String, String> = PositionRow::of(engine.store(), &record)
            .await?
            .into_iter()
            .map(|row| (row.stream, row.position))
            .collect();
        let reactor = Arc::new(Reactor::new(record, bindings, state, paused, self.fired.clone()));
        let kept = Arc::new(Mutex::new(positions.clone()));
        let (sequential, worker) = match def.strategy {
            InputStrategy::Latest => (None, None),
            InputStrategy::Sequential => {
                let (sender, ingress) = mpsc::channel::<InputBatch>(QUEUE);
                let (engine, reactor, def) = (engine.clone(), Arc::clone(&reactor), Arc::clone(def));
                let positions = Arc::clone(&kept);
                let backlog_bytes = 0;
                let work = Sequential { engine, reactor, cursor, ingress, backlog_bytes, positions, def };
                (Some(sender), Some(Feed::of(tokio::spawn(work.run()))))
            }
        };
        let input = ReactorInput { reactor, sequential, positions: kept };
        let feeds = Arc::new(Mutex::new(feeds::start(&input, &positions, &self.place)));
        let (next, waits, ending) = (None, false, Vec::new());
        let running = Running { input, signature, next, waits, feeds, ending, worker };
        let mut all = lock(&self.running);
        if !self.closed.load(Ordering::SeqCst) {
            all.insert(def.name.clone(), running);
        }
        Ok(())
    }

    /// Ends a reactor: what it gathered in memory is flushed, what it knows is recorded.
    async fn stop(&self, engine: &EngineHandle, running: &Running) {
        let reactor = &running.input.reactor;
        for source in 0..reactor.bindings().def.sources.len() {
            // What waits or is being looked at may be for a batch.
            if running.worker.is_none() && (reactor.is_busy() || reactor.has_buffered(source)) {
                reactor.flush(source);
            }
        }
        if let Err(error) = self.record(engine, std::slice::from_ref(&running.input), STOP_GRACE).await {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(reactor = reactor.name, error, "its state was not recorded");
        }
    }

    /// Records what changed since the last time.
    pub(super) async fn record_changes(&self, engine: &EngineHandle) -> Result<(), Error> {
        let changed: Vec<ReactorInput> = lock(&self.running)
            .values()
            .filter(|running| running.input.reactor.take_touched())
            .map(|running| running.input.clone())
            .collect();
        if changed.is_empty() {
            return Ok(());
        }
        let recorded = self.record(engine, &changed, Duration::ZERO).await;
        if recorded.is_err() {
            // The database may be back with the next tick.
            changed.iter().for_each(|input| input.reactor.touch());
        }
        recorded
    }

    async fn record(
        &self,
        engine: &EngineHandle,
        inputs: &[ReactorInput],
        grace: Duration,
    ) -> Result<(), Error> {
        let _one_at_a_time = self.recording.lock().await;
        persist::record(engine, inputs, grace).await
    }

    /// Ends all reactors.
    pub(crate) async fn shutdown(&self, engine: &EngineHandle) {
        self.closed.store(true, Ordering::SeqCst);
        let running = std::mem::take(&mut *lock(&self.running));
        for running in running.into_values() {
            lock(&running.feeds).clear();
            self.stop(engine, &running).await;
            self.forget_replay(engine, running).await;
        }
    }

    /// Forgets the records of a replay, once nobody writes them any more.
    async fn forget_replay(&self, engine: &EngineHandle, mut running: Running) {
        if !self.replay {
            return;
        }
        if let Some(worker) = running.worker.take().and_then(Feed::end) {
            // It was aborted: there is nothing to say.
            let _ = worker.await;
        }
        log("a replay was not forgotten", replay::end(engine, &running.input.reactor.record).await);
    }
}
