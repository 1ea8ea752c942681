//! Swaps under load, and what comes after a swap that was a mistake.

mod support;

use longshore_engine::{Packages, StartRequest};
use longshore_package::{PackageName, digest_of_files, host_target, sha256_hex, target_path};
use longshore_reconciler::observer::{Observer, PackagePhase};
use longshore_reconciler::plan::model::DrainPolicy;
use longshore_reconciler::{LeakPolicy, Options, Outcome};
use longshore_store::{
    Access, EventKind, EventRow, GenerationId, GenerationRow, HostId, NewGeneration, OverrideKind,
    PassInputs, RunRow, RunState, Store, Subject,
};
use longshore_testing::{Kind, TestHost};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use support::variant;

const PACKAGE: &str = "corpus-001";

fn package() -> PackageName {
    PACKAGE.into()
}

/// A host whose reconciler has other options.
async fn open_with(folder: &Path, change: impl FnOnce(&mut Options)) -> TestHost {
    let mut options = support::options(folder, Kind::InProcess);
    change(&mut options.reconciler);
    TestHost::open(options).await
}

/// Starts runs one after the other until it is told to stop; returns how many succeeded.
async fn load(engine: longshore_engine::EngineHandle, stop: Arc<AtomicBool>) -> usize {
    let mut done = 0;
    while !stop.load(Ordering::Relaxed) {
        let request = StartRequest { workflow: PACKAGE.into(), ..StartRequest::default() };
        let run = engine.start(request).await.expect("there is always a generation").run;
        let report = engine.wait(run).await.expect("ends");
        assert_eq!(report.state, RunState::Succeeded, "{report:?}");
        done += 1;
    }
    done
}

/// Kills the process that has a library of a folder open: the child of the one that its host started.
fn kill_children(folder: &Path) {
    let folder = folder.to_str().expect("UTF-8");
    let mut parents = BTreeMap::new();
    for process in std::fs::read_dir("/proc").expect("lists") {
        let process = process.expect("an entry").path();
        let command = std::fs::read(process.join("cmdline")).unwrap_or_default();
        if String::from_utf8_lossy(&command).contains(folder) {
            let status = std::fs::read_to_string(process.join("status")).expect("it is there");
            let field = |name: &str| -> i32 {
                let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("a field");
                line.trim().parse().expect("a number")
            };
            parents.insert(field("Pid:"), field("PPid:"));
        }
    }
    let inner: Vec<i32> =
        parents.iter().filter(|(_, p)| parents.contains_key(p)).map(|(pid, _)| *pid).collect();
    assert_eq!(inner.len(), 1, "one process has the package");
    kill(Pid::from_raw(inner[0]), Signal::SIGKILL).expect("it is there");
}

/// A host that has a package whose runs succeed.
async fn good_host(folder: &Path, kind: Kind) -> TestHost {
    let host = support::open(folder, kind).await;
    host.put_library("package", &variant("well", 1));
    host.until_loaded(PACKAGE).await;
    host
}

/// The host finds that a version does not hold up, and loads the one before.
async fn goes_back(host: &TestHost) {
    let (code, text) = host.until_refused(PACKAGE).await;
    assert_eq!(code, "LS0316", "{text}");
    host.until_loaded(PACKAGE).await;
}

async fn fifty_swaps(kind: Kind) {
    let folder = tempfile::tempdir().expect("folder");
    let host = support::open(folder.path(), kind).await;
    host.put_library("swapped", &variant("well", 1));
    host.until_loaded(PACKAGE).await;
    let stop = Arc::new(AtomicBool::new(false));
    let loads: Vec<_> =
        (0..4).map(|_| tokio::spawn(load(host.engine().clone(), Arc::clone(&stop)))).collect();
    for swap in 0..50 {
        host.put_library("swapped", &variant(&format!("swap-{swap}"), 1));
        host.until_loaded(PACKAGE).await;
    }
    stop.store(true, Ordering::Relaxed);
    let mut started = 0;
    for load in loads {
        started += load.await.expect("no run failed");
    }
    let runs = RunRow::newest(host.engine().store(), None, 1_000_000).await.expect("lists");
    assert_eq!(runs.len(), started, "none lost, none doubled");
    let digests: std::collections::BTreeSet<&str> = runs.iter().map(|run| run.digest.as_str()).collect();
    assert!(digests.len() > 20, "runs were started on {} generations", digests.len());
    while host.loaded().catalog().digests.len() > 1 {
        host.pass().await;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let events =
        EventRow::newest(host.engine().store(), Subject::Package(&package()), 1000).await.expect("lists");
    let unloaded: Vec<_> = events.iter().filter(|e| e.kind == EventKind::Unloaded).collect();
    let given_back = |e: &&&EventRow| e.message.ends_with("unmapped") || e.message.ends_with("process ended");
    assert_eq!(unloaded.iter().filter(given_back).count(), 50, "{unloaded:?}");
    let copies = std::fs::read_dir(folder.path().join("cache")).expect("lists").count();
    assert!((8..=10).contains(&copies), "{copies} cached packages are kept");
    host.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_swaps_under_load_lose_nothing() {
    fifty_swaps(Kind::InProcess).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_swaps_of_an_isolated_package_lose_nothing() {
    fifty_swaps(Kind::Isolated).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_whose_runs_fail_is_rolled_back_until_another_is_offered() {
    let folder = tempfile::tempdir().expect("folder");
    let host = good_host(folder.path(), Kind::InProcess).await;
    host.put_library("package", &variant("task-panic", 1));
    host.until_loaded(PACKAGE).await;
    for _ in 0..3 {
        assert_eq!(host.run(PACKAGE).await.state, RunState::Failed);
    }
    goes_back(&host).await;
    assert_eq!(host.run(PACKAGE).await.state, RunState::Succeeded, "the good one is back");
    let decided = PassInputs::load(host.engine().store()).await.expect("looks").overrides;
    assert_eq!((decided[0].kind, decided[0].actor.as_str()), (OverrideKind::RollBack, "host"));
    let quiet = host.pass().await;
    assert!(!quiet.outcomes.iter().any(|o| matches!(o, Outcome::Loaded { .. })), "{quiet:?}");
    host.put_library("package", &variant("mended", 1));
    host.until_loaded(PACKAGE).await;
    assert_eq!(host.run(PACKAGE).await.state, RunState::Succeeded);
    let decided = PassInputs::load(host.engine().store()).await.expect("looks").overrides;
    assert_eq!(decided, [], "it gave way");
    host.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_is_watched_on_by_the_next_host() {
    let folder = tempfile::tempdir().expect("folder");
    let host = good_host(folder.path(), Kind::InProcess).await;
    let good = host.run(PACKAGE).await.digest;
    host.put_library("package", &variant("task-panic", 1));
    host.until_loaded(PACKAGE).await;
    host.close().await;

    let host = support::open(folder.path(), Kind::InProcess).await;
    host.until_loaded(PACKAGE).await;
    for _ in 0..3 {
        assert_eq!(host.run(PACKAGE).await.state, RunState::Failed);
    }
    goes_back(&host).await;
    assert_eq!(host.run(PACKAGE).await.digest, good, "the good one is back");
    host.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_isolated_package_whose_copy_was_changed_is_taken_in_again() {
    let folder = tempfile::tempdir().expect("folder");
    let host = good_host(folder.path(), Kind::Isolated).await;
    let digest = host.run(PACKAGE).await.digest;
    let copy = folder.path().join("cache").join(digest.as_str()).join("libpackage.so");
    std::fs::write(&copy, "somebody was here").expect("writes");
    // The process after this one finds another file than was checked.
    kill_children(folder.path());
    let request = StartRequest { workflow: PACKAGE.into(), ..StartRequest::default() };
    let run = host.start(request).await.expect("starts").run;
    host.until("not started again", |outcome| match outcome {
        Outcome::Crashed { exit, .. } => exit.contains("was changed in the artifact cache").then_some(()),
        _ => None,
    })
    .await;
    let engine = host.engine().clone();
    let waiting = tokio::spawn(async move { engine.wait(run).await });
    while !waiting.is_finished() {
        host.pass().await;
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    let report = waiting.await.expect("no panic").expect("ends");
    assert_eq!((report.state, report.digest), (RunState::Succeeded, digest));
    host.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_host_after_host_dies_under_is_not_loaded_again() {
    let folder = tempfile::tempdir().expect("folder");
    let host = good_host(folder.path(), Kind::InProcess).await;
    let good = host.run(PACKAGE).await.digest;
    let next = variant("ends-hosts", 1);
    host.put_library("package", &next);
    host.close().await;

    let file = target_path(&host_target(), "libpackage.so");
    let digest = digest_of_files([(file.as_str(), sha256_hex(&next).as_str())]);
    let store = Store::open_file(&folder.path().join("longshore.db"), Access::Owner).await.expect("opens");
    for at in [10_000, 20_000, 30_000] {
        let (id, host, digest) = (GenerationId::new(), HostId::new(), &digest);
        let dead = NewGeneration { id, host, digest, package: &package(), version: "0.1.0" };
        let mut tx = store.begin().await.expect("begins");
        NewGeneration::insert(&mut tx, &[dead], at).await.expect("inserts");
        GenerationRow::mark_lost(&mut tx, HostId::new(), at + 1000).await.expect("marks");
        store.commit(tx).await.expect("commits");
    }
    store.close().await;
    drop(store);

    let host = support::open(folder.path(), Kind::InProcess).await;
    let (code, text) = host.until_refused(PACKAGE).await;
    assert!(code == "LS0316" && text.contains("3 hosts died"), "{text}");
    assert_eq!(host.run(PACKAGE).await.digest, good, "loaded in the same pass");
    host.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_isolated_version_that_crashes_is_rolled_back() {
    let folder = tempfile::tempdir().expect("folder");
    let host = good_host(folder.path(), Kind::Isolated).await;
    host.put_library("package", &variant("task-exit", 1));
    host.until_loaded(PACKAGE).await;
    assert_eq!(host.run(PACKAGE).await.state, RunState::Failed);
    goes_back(&host).await;
    assert_eq!(host.run(PACKAGE).await.state, RunState::Succeeded, "the good one is back");
    host.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_generation_that_does_not_drain_is_cancelled_and_what_does_not_stop_is_recorded() {
    let folder = tempfile::tempdir().expect("folder");
    let drain = DrainPolicy { deadline_ms: Some(300), force_unload_ms: Some(1500) };
    let host = open_with(folder.path(), |options| options.drain = drain).await;
    for (mode, result) in [("task-wait", "unmapped"), ("task-block", "still mapped")] {
        host.put_library("package", &variant(mode, 1));
        host.until_loaded(PACKAGE).await;
        let request = StartRequest { workflow: PACKAGE.into(), ..StartRequest::default() };
        let run = host.start(request).await.expect("starts").run;
        host.remove_library("package");
        host.until("cancelled", |o| matches!(o, Outcome::Cancelled { runs: 1, .. }).then_some(())).await;
        let text = host.until_unloaded(PACKAGE).await;
        assert!(text.starts_with(result), "{mode}: {text}");
        let report = tokio::time::timeout(Duration::from_secs(20), host.wait(run)).await;
        let report = report.expect("in time").expect("ends");
        assert_eq!(report.state, RunState::Cancelled, "{mode}");
    }
    let events =
        EventRow::newest(host.engine().store(), Subject::Package(&package()), 100).await.expect("lists");
    assert_eq!(events.iter().filter(|e| e.kind == EventKind::Cancelled).count(), 2, "{events:?}");
    host.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_package_that_leaves_its_library_behind_gets_a_process_of_its_own_once_the_budget_is_spent() {
    let folder = tempfile::tempdir().expect("folder");
    let leaks = LeakPolicy { budget: 1, isolate: true };
    let host = open_with(folder.path(), |options| options.leaks = leaks).await;
    for (round, expected) in [(1, "still mapped"), (2, "still mapped"), (3, "process ended")] {
        host.put_library("package", &variant("ctor-runtime", 1));
        host.until_loaded(PACKAGE).await;
        assert_eq!(host.run(PACKAGE).await.state, RunState::Succeeded, "round {round}");
        host.remove_library("package");
        let result = host.until_unloaded(PACKAGE).await;
        assert!(result.starts_with(expected), "round {round}: {result}");
        let problem = host.last_error(&package()).await.expect("reads").map(|problem| problem.code);
        assert_eq!(problem.as_deref(), (round == 2).then_some("LS0315"), "round {round}");
    }
    let events =
        EventRow::newest(host.engine().store(), Subject::Package(&package()), 50).await.expect("lists");
    let told: Vec<_> = events.iter().filter(|e| e.kind == EventKind::Retained).collect();
    assert!(told.len() == 1 && told[0].message.contains("a process of its own"), "{told:?}");
    host.close().await;
}

#[derive(Default)]
struct Told(Mutex<Vec<PackagePhase>>);

impl Observer for Told {
    fn phase(&self, phase: PackagePhase, package: &str, _: &str) {
        assert_eq!(package, PACKAGE);
        self.0.lock().expect("sound").push(phase);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_embeds_the_host_is_told_of_every_phase() {
    let folder = tempfile::tempdir().expect("folder");
    let told = Arc::new(Told::default());
    let observer = Arc::clone(&told);
    let host = open_with(folder.path(), |options| options.observer = observer).await;
    host.put_library("package", &variant("well", 1));
    host.until_loaded(PACKAGE).await;
    host.put_library("package", &variant("other", 1));
    host.until_loaded(PACKAGE).await;
    host.until_unloaded(PACKAGE).await;
    host.put_library("package", &variant("ctor-exit", 1));
    host.until_refused(PACKAGE).await;
    host.remove_library("package");
    host.until_unloaded(PACKAGE).await;
    use PackagePhase::{Loaded, Loading, Refused, Retired, Swapped, Swapping, Unloaded, Unloading};
    let swap = [Loading, Swapping, Swapped, Unloading, Unloaded];
    let expected: Vec<PackagePhase> = [Loading, Loaded]
        .into_iter()
        .chain(swap)
        .chain([Loading, Refused])
        .chain([Retired, Unloading, Unloaded])
        .collect();
    assert_eq!(*told.0.lock().expect("sound"), expected);
    host.close().await;
}
