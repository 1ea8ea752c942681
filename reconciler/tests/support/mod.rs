//! Broken packages, and hosts to give them to.
#![allow(dead_code, unreachable_pub, reason = "each test file uses a part of it")]

use longshore_engine::{Engine, Options as EngineOptions, RunReport, StartRequest};
use longshore_reconciler::generation::IsolationPolicy;
use longshore_reconciler::probe::ProbeOptions;
use longshore_reconciler::{Error, Options, Outcome, Reconciler, Report};
use longshore_store::{Access, Store};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// The program of probes and of isolated packages.
pub const CHILD: &str = env!("CARGO_BIN_EXE_longshore-test-child");

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(name)
}

fn target() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/throwaway")
}

/// The library of `tests/corpus`, built once for a test program.
pub fn corpus() -> &'static [u8] {
    static BUILT: OnceLock<Vec<u8>> = OnceLock::new();
    BUILT.get_or_init(|| {
        let manifest = folder("corpus/Cargo.toml");
        let built = Command::new(env!("CARGO"))
            .args(["build", "--quiet", "--manifest-path"])
            .arg(&manifest)
            .env("CARGO_TARGET_DIR", target())
            .output()
            .expect("cargo starts");
        assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
        std::fs::read(target().join("debug/libcorpus.so")).expect("a library")
    })
}

/// A copy of the corpus that does what `mode` says, under a name of its own.
pub fn variant(mode: &str, number: u32) -> Vec<u8> {
    let mut bytes = corpus().to_vec();
    let word = format!("LONGSHORE-CORPUS-MODE:{mode:.<26}");
    replace(&mut bytes, b"LONGSHORE-CORPUS-MODE:well......................", word.as_bytes());
    replace(&mut bytes, b"corpus-000", format!("corpus-{number:03}").as_bytes());
    bytes
}

/// A copy whose static record names a task that the library does not have.
pub fn other_entries(number: u32, folder: &Path) -> Vec<u8> {
    let (record, whole) = record_of(number, folder);
    let mut bytes = std::fs::read(&record).expect("reads");
    replace(&mut bytes, b"only", b"onlx");
    std::fs::write(&record, bytes).expect("writes");
    let out = folder.join("other.so");
    let update = format!("--update-section=.longshore={}", record.display());
    run(Command::new("objcopy").arg(update).arg(&whole).arg(&out));
    std::fs::read(&out).expect("reads")
}

/// The static record of a good copy, in a file, and that copy.
fn record_of(number: u32, folder: &Path) -> (PathBuf, PathBuf) {
    let (record, whole) = (folder.join("record"), folder.join("whole.so"));
    std::fs::write(&whole, variant("well", number)).expect("writes");
    let dump = format!("--dump-section=.longshore={}", record.display());
    run(Command::new("objcopy").arg(dump).arg(&whole).arg("/dev/null"));
    (record, whole)
}

fn replace(bytes: &mut [u8], from: &[u8], to: &[u8]) {
    assert_eq!(from.len(), to.len());
    let places: Vec<usize> =
        bytes.windows(from.len()).enumerate().filter(|(_, w)| *w == from).map(|(at, _)| at).collect();
    assert!(!places.is_empty(), "{} is not in the library", String::from_utf8_lossy(from));
    for at in places {
        bytes[at..at + to.len()].copy_from_slice(to);
    }
}

/// A library written in C with the corpus's static record in it.
pub fn in_c(define: &str, number: u32, folder: &Path) -> Vec<u8> {
    let (record, _) = record_of(number, folder);
    let (bare, out) = (folder.join("bare.so"), folder.join("broken.so"));
    run(Command::new("cc")
        .args(["-shared", "-fPIC", &format!("-D{define}"), "-o"])
        .arg(&bare)
        .arg(self::folder("support/broken.c")));
    let add = format!("--add-section=.longshore={}", record.display());
    run(Command::new("objcopy").arg(add).arg(&bare).arg(&out));
    std::fs::read(&out).expect("reads")
}

fn run(command: &mut Command) {
    let ended = command.output().expect("starts");
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
}

/// How a host treats packages.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Here, after a probe.
    InProcess,
    /// Each in a process of its own, without a probe.
    Isolated,
}

/// A host on a folder of packages.
pub struct Host {
    pub engine: Engine,
    pub reconciler: Reconciler,
    pub packages: PathBuf,
}

impl Host {
    pub async fn open(folder: &Path, kind: Kind) -> Self {
        Self::tuned(folder, kind, |_| {}).await
    }

    pub async fn tuned(folder: &Path, kind: Kind, tune: impl FnOnce(&mut Options)) -> Self {
        let packages = folder.join("packages");
        std::fs::create_dir_all(&packages).expect("folder");
        let store = Store::open_file(&folder.join("test.db"), Access::Host).await.expect("opens");
        let loaded = Reconciler::packages();
        let engine = Engine::open(store, loaded.clone(), EngineOptions::default()).await.expect("starts");
        let mut options = Options::new(vec![packages.clone()], folder.join("cache"));
        options.probe = (kind == Kind::InProcess)
            .then(|| ProbeOptions { program: CHILD.into(), limit: Duration::from_secs(5) });
        let all = kind == Kind::Isolated;
        let (start, call) = (Duration::from_secs(8), Duration::from_secs(8));
        options.checks.isolation =
            IsolationPolicy { program: CHILD.into(), all, start, call, ..IsolationPolicy::default() };
        tune(&mut options);
        let reconciler = Reconciler::new(options, loaded, engine.clone());
        Self { engine, reconciler, packages }
    }

    /// Puts a library where the host looks, in one step.
    pub fn put(&self, name: &str, bytes: &[u8]) {
        let new = self.packages.join(".new");
        std::fs::write(&new, bytes).expect("writes");
        std::fs::rename(new, self.packages.join(format!("lib{name}.so"))).expect("renames");
    }

    pub fn remove(&self, name: &str) {
        std::fs::remove_file(self.packages.join(format!("lib{name}.so"))).expect("removes");
    }

    pub async fn pass(&mut self) -> Report {
        self.reconciler.reconcile().await.expect("a pass").0
    }

    /// Passes until something is so of an outcome.
    pub async fn until<T>(&mut self, what: &str, holds: impl Fn(&Outcome) -> Option<T>) -> T {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let report = self.pass().await;
            if let Some(found) = report.outcomes.iter().find_map(&holds) {
                return found;
            }
            assert!(Instant::now() < deadline, "never {what}: {report:?}");
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
    }

    pub async fn until_loaded(&mut self, package: &str) {
        self.until(package, |outcome| match outcome {
            Outcome::Loaded { name, .. } => (name == package).then_some(()),
            Outcome::Refused { name, error } if name == package => panic!("{name}: {}", error.full()),
            _ => None,
        })
        .await;
    }

    /// Passes until a package is refused; returns code and text.
    pub async fn until_refused(&mut self, package: &str) -> (String, String) {
        self.until("refused", |outcome| match outcome {
            Outcome::Refused { name, error } if name == package => {
                Some((error.code().to_owned(), error.full()))
            }
            Outcome::Loaded { name, .. } if name == package => {
                let error = Error::Load { message: "it was loaded".into() };
                Some(("loaded".to_owned(), error.full()))
            }
            _ => None,
        })
        .await
    }

    pub async fn until_unloaded(&mut self, package: &str) -> String {
        self.until("unloaded", |outcome| match outcome {
            Outcome::Unloaded { name, released } if name == package => Some(released.to_string()),
            _ => None,
        })
        .await
    }

    pub async fn run(&self, workflow: &str) -> RunReport {
        let request = StartRequest { workflow: workflow.into(), ..StartRequest::default() };
        let run = self.engine.start(request).await.expect("starts").run;
        let ended = tokio::time::timeout(Duration::from_secs(60), self.engine.wait(run)).await;
        ended.unwrap_or_else(|_| panic!("a run of {workflow} does not end")).expect("ends")
    }

    pub async fn close(mut self) {
        self.engine.shutdown(Duration::from_secs(5)).await;
        self.reconciler.close().await;
    }
}
