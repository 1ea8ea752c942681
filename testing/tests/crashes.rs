//! kill -9 at every effect of load, swap, unload and rollback: the next host finds its way.

mod support;

use longshore_engine::StartRequest;
use longshore_reconciler::Outcome;
use longshore_store::{
    Access, AttemptResult, AttemptRow, GenerationRow, GenerationState, RunRow, RunState, Store,
};
use longshore_testing::{Kind, TestHost};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use support::variant;

const PACKAGE: &str = "corpus-001";

/// Names the folder of the host that is killed, the point, and at which passage of it.
const KILLED: &str = "LONGSHORE_TEST_KILLED_AT";

/// The mode of the version that replaces the first.
const NEXT: &str = "next";
/// See [`NEXT`]: its runs fail, and it is gone back from.
const BAD: &str = "task-panic";

/// Where a host is killed: at which passage of the point, and what was put in place of the first version by then.
const POINTS: [(&str, usize, Option<&str>); 10] = [
    ("reconciler.cached", 1, None),
    ("reconciler.probed", 1, None),
    ("reconciler.loading_recorded", 1, None),
    ("reconciler.published", 1, None),
    ("reconciler.cached", 2, Some(NEXT)),
    ("reconciler.probed", 2, Some(NEXT)),
    ("reconciler.loading_recorded", 2, Some(NEXT)),
    ("reconciler.published", 2, Some(NEXT)),
    ("reconciler.closed", 1, Some(NEXT)),
    ("reconciler.rolled_back", 1, Some(BAD)),
];

#[tokio::test(flavor = "multi_thread")]
#[ignore = "it is the process that the other test starts and kills"]
async fn the_host_that_is_killed() {
    let orders = std::env::var(KILLED).expect("it is started by the other test");
    let [folder, point, passage] = orders.split(' ').collect::<Vec<_>>()[..] else { panic!("{orders}") };
    let (folder, passage) = (PathBuf::from(folder), passage.parse::<usize>().expect("a number"));
    let (reached, passed) = (folder.join("reached"), AtomicUsize::new(0));
    fail::cfg_callback(point, move || {
        if passed.fetch_add(1, Ordering::SeqCst) + 1 == passage {
            std::fs::write(&reached, "").expect("writes");
            std::thread::sleep(Duration::from_secs(600));
        }
    })
    .expect("failpoints are compiled in");
    let host = support::open(&folder, Kind::InProcess).await;
    loop {
        let report = host.pass().await;
        if report.outcomes.iter().any(|outcome| matches!(outcome, Outcome::Loaded { .. })) {
            std::fs::write(folder.join("loaded"), "").expect("writes");
        }
        // Runs are on their way whenever it dies; without a package there is nothing to start.
        let request = StartRequest { workflow: PACKAGE.into(), ..StartRequest::default() };
        let _ = host.start(request).await;
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
}

#[test]
fn a_host_that_is_killed_at_any_point_of_load_swap_and_rollback_finds_its_way() {
    support::corpus();
    std::thread::scope(|scope| {
        for (point, passage, next) in POINTS {
            scope.spawn(move || kill_at(point, passage, next));
        }
    });
}

fn wait_for(file: &Path, why: &str) {
    let deadline = Instant::now() + Duration::from_secs(120);
    while !file.exists() {
        assert!(Instant::now() < deadline, "{why}: no {}", file.display());
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn put(folder: &Path, bytes: &[u8]) {
    let packages = folder.join("packages");
    std::fs::create_dir_all(&packages).expect("folder");
    std::fs::write(packages.join(".new"), bytes).expect("writes");
    std::fs::rename(packages.join(".new"), packages.join("libkilled.so")).expect("renames");
}

/// A process that is killed when it is let go of, whatever became of the test.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        self.0.kill().expect("is killed");
        self.0.wait().expect("is gone");
    }
}

fn kill_at(point: &str, passage: usize, next: Option<&str>) {
    let why = format!("{point}, passage {passage}");
    let folder = tempfile::tempdir().expect("folder");
    put(folder.path(), &variant("well", 1));
    let host = Command::new(std::env::current_exe().expect("this program"))
        .args(["--ignored", "--exact", "the_host_that_is_killed"])
        .env(KILLED, format!("{} {point} {passage}", folder.path().display()))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("starts");
    let host = Killed(host);
    if let Some(next) = next {
        wait_for(&folder.path().join("loaded"), &why);
        put(folder.path(), &variant(next, 1));
    }
    wait_for(&folder.path().join("reached"), &why);
    drop(host);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("starts");
    runtime.block_on(finds_its_way(folder.path(), next == Some(BAD), &why));
}

/// The next host finds its way.
async fn finds_its_way(folder: &Path, some_fail: bool, why: &str) {
    let host = support::open(folder, Kind::InProcess).await;
    let digest = host
        .until("loaded", |outcome| match outcome {
            Outcome::Loaded { name, digest, .. } => (name == PACKAGE).then(|| digest.clone()),
            _ => None,
        })
        .await;
    let ended = host.run(PACKAGE).await;
    assert_eq!((ended.state, ended.digest.as_str()), (RunState::Succeeded, digest.as_str()), "{why}");
    every_run_ends(&host, some_fail, why).await;
    host.close().await;
    let store = Store::open_file(&folder.join("longshore.db"), Access::Client).await.expect("opens");
    for generation in GenerationRow::newest(&store, None, 100).await.expect("lists") {
        let over = matches!(generation.state, GenerationState::Unloaded | GenerationState::Lost);
        assert!(over, "{why}: {generation:?}");
    }
    nothing_is_left_over(&folder.join("cache"), why);
}

async fn every_run_ends(host: &TestHost, some_fail: bool, why: &str) {
    let deadline = Instant::now() + Duration::from_secs(60);
    let store = host.engine().store().clone();
    while !RunRow::newest(&store, Some(RunState::Running), 1).await.expect("lists").is_empty() {
        assert!(Instant::now() < deadline, "{why}: a run does not end");
        host.pass().await;
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    for run in RunRow::newest(&store, None, 100_000).await.expect("lists") {
        assert!(run.state == RunState::Succeeded || some_fail, "{why}: {run:?}");
        let attempts = AttemptRow::of_run(&store, run.id).await.expect("lists");
        let committed = attempts.iter().filter(|attempt| attempt.outcome == AttemptResult::Succeeded).count();
        assert_eq!(committed, usize::from(run.state == RunState::Succeeded), "{why}: {attempts:?}");
    }
}

fn nothing_is_left_over(cache: &Path, why: &str) {
    for folder in std::fs::read_dir(cache).expect("the cache") {
        for file in std::fs::read_dir(folder.expect("entry").path()).expect("a digest") {
            let name = file.expect("entry").file_name().to_string_lossy().into_owned();
            assert!(!name.starts_with('.'), "{why}: {name} was left in the cache");
        }
    }
}
