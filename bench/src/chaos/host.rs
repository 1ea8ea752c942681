//! The host that it happens to, in a process of its own, and the world around it.

use super::source;
use crate::package::{build_crate, put, target, versions};
use anyhow::Context;
use clap::ValueEnum;
use longshore_engine::clock::{Clock, System};
use longshore_engine::{BoxFuture, EngineHandle, Error as EngineError, StartRequest};
use longshore_reconciler::{Host, HostOptions};
use longshore_store::{Access, RunRow, RunState, Store};
use longshore_testing::Postgres;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// The environment of the host's process: the folder of its world, and its database.
const FOLDER: &str = "LONGSHORE_CHAOS_FOLDER";
const DATABASE: &str = "LONGSHORE_CHAOS_DATABASE";
const FROM: &str = "LONGSHORE_CHAOS_FROM";

/// Starts that are on their way at any time.
const AT_ONCE: usize = 16;

/// The time that everything gets to end once nothing happens any more.
const SETTLE: Duration = Duration::from_secs(180);

/// The size of the disk that holds the host's home.
const DISK: &str = "size=768m";

/// Events that are written to the stream altogether: as many as the record of a reactor's outputs holds.
const MAX_EVENTS: u64 = 90_000;

/// The database of the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Database {
    /// A file
    Sqlite,
    /// A server that is started for it
    Postgres,
}

/// The acknowledged starts: the run of each number, and acknowledgements that contradict each other.
#[derive(Debug, Default)]
pub(super) struct Acknowledged {
    pub(super) runs: BTreeMap<u64, String>,
    pub(super) contradictions: Vec<String>,
}

/// The world around a host.
pub(super) struct World {
    folder: tempfile::TempDir,
    /// True when the home is a disk of its own.
    pub(super) has_disk: bool,
    pub(super) server: Option<Postgres>,
    pub(super) database: String,
    versions: [Vec<u8>; 2],
    pub(super) child: Option<Child>,
    /// Reads what the host says.
    reading: Option<std::thread::JoinHandle<()>>,
    pub(super) acknowledged: Arc<Mutex<Acknowledged>>,
    /// Events that were written to the stream.
    pub(super) events: Arc<Mutex<u64>>,
    /// Host processes so far.
    pub(super) hosts: u64,
    swaps: usize,
}

impl World {
    pub(super) fn new(database: Database, smoke: bool) -> anyhow::Result<Self> {
        let versions = versions(&build_crate("chaos", source::SOURCE)?)?;
        let folder = tempfile::tempdir_in(target())?;
        for name in ["home", "packages"] {
            std::fs::create_dir_all(folder.path().join(name))?;
        }
        let home = folder.path().join("home");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", DISK, "tmpfs"]).arg(&home).status();
        let has_disk = mounted.is_ok_and(|status| status.success());
        if !has_disk {
            eprintln!("this machine lets nobody mount a disk: no disk is filled");
        }
        let server = (database == Database::Postgres).then(Postgres::start);
        let database = match &server {
            Some(server) => server.database("chaos"),
            None => Store::file_url(&home.join("longshore.db")),
        };
        let (acknowledged, events) = (Arc::default(), Arc::default());
        let mut world = Self {
            folder,
            has_disk,
            server,
            database,
            versions,
            child: None,
            reading: None,
            acknowledged,
            events,
            hosts: 0,
            swaps: 0,
        };
        world.set_clock(0)?;
        std::fs::write(world.path("events.jsonl"), "")?;
        world.swap()?;
        world.write_events(if smoke { 20 } else { 50 });
        Ok(world)
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Puts the other version of the package in the place of the one that is there.
    pub(super) fn swap(&mut self) -> anyhow::Result<()> {
        self.swaps += 1;
        put(&self.path("packages"), &self.versions[self.swaps % 2])
    }

    /// Moves the host's clock to so many milliseconds from the system's.
    pub(super) fn set_clock(&self, offset_ms: i64) -> anyhow::Result<()> {
        std::fs::write(self.path("clock.new"), offset_ms.to_string())?;
        Ok(std::fs::rename(self.path("clock.new"), self.path("clock"))?)
    }

    /// Appends events to the stream.
    pub(super) fn flood(&self, count: u64) -> anyhow::Result<()> {
        append(&self.path("events.jsonl"), &self.events, count)
    }

    /// Writes so many events a second from now on.
    fn write_events(&self, per_second: u64) {
        let (path, events) = (self.path("events.jsonl"), Arc::downgrade(&self.events));
        std::thread::spawn(move || {
            while let Some(events) = events.upgrade() {
                if path.with_file_name("quiet").exists() || append(&path, &events, per_second / 10).is_err() {
                    return;
                }
                std::thread::sleep(Duration::from_millis(100));
            }
        });
    }

    /// Starts the host unless it runs.
    pub(super) fn keep_running(&mut self) -> anyhow::Result<()> {
        if let Some(child) = &mut self.child
            && child.try_wait()?.is_none()
        {
            return Ok(());
        }
        let from = first_gap(&self.acknowledged.lock().expect("sound").runs);
        let mut child = Command::new(std::env::current_exe()?)
            .env(FOLDER, self.folder.path())
            .env(DATABASE, &self.database)
            .env(FROM, from.to_string())
            .env("CHAOS_LOG", self.path("executions"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(std::fs::OpenOptions::new().append(true).create(true).open(self.path("log"))?)
            .spawn()?;
        let lines = BufReader::new(child.stdout.take().context("its output")?).lines();
        let acknowledged = Arc::clone(&self.acknowledged);
        let read = move || lines.map_while(Result::ok).for_each(|line| note(&acknowledged, &line));
        self.reading = Some(std::thread::spawn(read));
        self.child = Some(child);
        self.hosts += 1;
        Ok(())
    }

    /// Sends the host a signal.
    pub(super) fn signal(&self, signal: &str) -> anyhow::Result<()> {
        let Some(child) = &self.child else { return Ok(()) };
        let sent = Command::new("kill").args(["-s", signal, &child.id().to_string()]).status()?;
        anyhow::ensure!(sent.success(), "the host was not there to be sent {signal}");
        Ok(())
    }

    /// Waits for the end of the host's process.
    pub(super) fn wait(&mut self) -> anyhow::Result<Option<ExitStatus>> {
        let status = self.child.take().map(|mut child| child.wait()).transpose()?;
        // Everything that it acknowledged is known then.
        let _ = self.reading.take().map(std::thread::JoinHandle::join);
        Ok(status)
    }

    /// Starts the host if it ended, and stops what makes work: starts and events.
    pub(super) fn quiesce(&mut self) -> anyhow::Result<()> {
        self.keep_running()?;
        std::fs::write(self.path("quiet"), "")?;
        Ok(())
    }

    /// Waits until nothing is open any more, then stops the host. Returns what is left, as sentences.
    pub(super) async fn settle(&mut self) -> Vec<String> {
        let began = Instant::now();
        let mut left = loop {
            let left = self.open_work().await.unwrap_or_else(|error| vec![format!("{error:#}")]);
            if left.is_empty() || began.elapsed() > SETTLE {
                break left;
            }
            if let Err(error) = self.keep_running() {
                break vec![format!("{error:#}")];
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        };
        let stopped = self.signal("TERM").and_then(|()| self.wait());
        match stopped {
            Ok(Some(status)) if status.success() => {}
            other => left.push(format!("the host did not stop well: {other:?}")),
        }
        left
    }

    async fn open_work(&self) -> anyhow::Result<Vec<String>> {
        let store = Store::open(&self.database, Access::Client).await?;
        let mut left = Vec::new();
        for state in [RunState::Running, RunState::Cancelling] {
            let runs = RunRow::newest(&store, Some(state), 10_000).await?;
            // A schedule goes on.
            let open: Vec<_> = runs.iter().filter(|run| !run.origin.starts_with("cron:")).collect();
            if let Some(first) = open.first() {
                left.push(format!(
                    "{} runs are {}, {} of {} among them",
                    open.len(),
                    state.as_str(),
                    first.id,
                    first.workflow
                ));
            }
        }
        let events = *self.events.lock().expect("sound");
        let mut tx = store.begin().await?;
        let cursor: Option<i64> = sqlx::query_scalar("SELECT cursor FROM reactors WHERE name = 'tally'")
            .fetch_optional(&mut *tx)
            .await?;
        store.roll_back(tx).await?;
        store.close().await;
        if cursor.unwrap_or(0) as u64 != events {
            left.push(format!("{cursor:?} of {events} events were processed"));
        }
        Ok(left)
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
        if self.has_disk {
            let _ = Command::new("umount").arg(self.path("home")).status();
        }
    }
}

/// The first number that was not acknowledged: the next host asks again from there.
fn first_gap(runs: &BTreeMap<u64, String>) -> u64 {
    runs.keys()
        .zip(0..)
        .find(|(known, expected)| *known != expected)
        .map_or(runs.len() as u64, |(_, gap)| gap)
}

fn append(path: &Path, events: &Mutex<u64>, count: u64) -> anyhow::Result<()> {
    let mut events = events.lock().expect("sound");
    let count = count.min(MAX_EVENTS - *events);
    let lines: String = (*events + 1..=*events + count)
        .map(|n| format!("{{\"source\":\"numbers\",\"event\":{n}}}\n"))
        .collect();
    std::fs::OpenOptions::new().append(true).open(path)?.write_all(lines.as_bytes())?;
    *events += count;
    Ok(())
}

/// A line of the host: a number, and the run that was acknowledged for it.
fn note(acknowledged: &Mutex<Acknowledged>, line: &str) {
    let Some((n, run)) = line.split_once(' ') else { return };
    let Ok(n) = n.parse() else { return };
    let mut acknowledged = acknowledged.lock().expect("sound");
    let before = acknowledged.runs.insert(n, run.to_owned());
    if let Some(before) = before.filter(|before| before != run) {
        acknowledged
            .contradictions
            .push(format!("start {n} was acknowledged as run {before}, then as {run}"));
    }
}

/// A clock that the world moves.
#[derive(Debug)]
struct MovedClock {
    file: PathBuf,
}

impl Clock for MovedClock {
    fn now_ms(&self) -> i64 {
        let offset =
            std::fs::read_to_string(&self.file).ok().and_then(|text| text.trim().parse::<i64>().ok());
        System.now_ms() + offset.unwrap_or(0)
    }

    fn uptime(&self) -> Duration {
        System.uptime()
    }

    fn sleep_until(&self, at: Duration) -> BoxFuture<'static, ()> {
        System.sleep_until(at)
    }
}

/// Is the host when the environment says so, and ends this process with it.
pub(crate) fn run_host_if_requested() -> anyhow::Result<()> {
    let Some(folder) = std::env::var_os(FOLDER) else { return Ok(()) };
    let (database, from) = (std::env::var(DATABASE)?, std::env::var(FROM)?.parse()?);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(serve(Path::new(&folder), database, from))?;
    std::process::exit(0);
}

async fn serve(folder: &Path, database: String, from: u64) -> anyhow::Result<()> {
    let mut terminated = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    let mut options = HostOptions::new(folder.join("home"));
    let clock = Arc::new(MovedClock { file: folder.join("clock") });
    options.database = database;
    options.engine.clock = clock.clone();
    options.engine.stream_roots = vec![folder.to_owned()];
    options.engine.retention = None;
    options.engine.slots = 64;
    options.reconciler.clock = clock;
    options.reconciler.directories = vec![folder.join("packages")];
    let host = Host::open(options).await?;
    let starter = tokio::spawn(start_runs(host.engine().clone(), folder.join("quiet"), from));
    tokio::select! {
        _ = terminated.recv() => {}
        () = host.engine().stopped() => anyhow::bail!("the engine stopped by itself"),
    }
    starter.abort();
    host.shutdown(Duration::from_secs(10)).await;
    Ok(())
}

/// Starts runs from a number on, until the world is quiet, and says of each when it is acknowledged.
async fn start_runs(engine: EngineHandle, quiet: PathBuf, from: u64) {
    let mut on_their_way = tokio::task::JoinSet::new();
    for n in from.. {
        if quiet.exists() {
            break;
        }
        if on_their_way.len() >= AT_ONCE {
            let _ = on_their_way.join_next().await;
        }
        on_their_way.spawn(start_one(engine.clone(), n));
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    while on_their_way.join_next().await.is_some() {}
    std::future::pending::<()>().await;
}

async fn start_one(engine: EngineHandle, n: u64) {
    loop {
        let mut request = StartRequest {
            workflow: "work".into(),
            dedup_key: Some(format!("chaos-{n}")),
            ..StartRequest::default()
        };
        request.params.insert("n".to_owned(), n.into());
        match engine.start(request).await {
            Ok(started) => return println!("{n} {}", started.run),
            Err(EngineError::Stopped) => return,
            Err(error) => {
                eprintln!("start {n}: {} {error}", error.code());
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}
