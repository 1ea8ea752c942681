//! What directories offer: packages stay through hiccups of the file system, and what is not read is named.

mod support;

use longshore_engine::{Packages, StartRequest};
use longshore_reconciler::Host;
use longshore_reconciler::host::Error as HostError;
use longshore_store::{ConditionRow, ConditionStatus};
use longshore_testing::{Kind, TestHost};
use std::path::Path;
use std::time::{Duration, Instant};
use support::{entries, variant};

async fn with(folder: &Path, packages: &[(&str, u32)]) -> TestHost {
    let host = support::open(folder, Kind::InProcess).await;
    for (name, number) in packages {
        host.put_library(name, &variant("well", *number));
    }
    let names: Vec<String> = packages.iter().map(|(_, number)| format!("corpus-{number:03}")).collect();
    host.until_all_loaded(&names.iter().map(String::as_str).collect::<Vec<_>>()).await;
    host
}

/// Passes for longer than a file may be missing.
async fn some_passes(host: &TestHost) {
    let until = Instant::now() + Duration::from_millis(600);
    while Instant::now() < until {
        host.pass().await;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn condition(host: &TestHost, code: &str) -> Option<ConditionRow> {
    let conditions = ConditionRow::all(host.engine().store()).await.expect("lists");
    conditions.into_iter().find(|c| c.reason == code && c.status == ConditionStatus::False)
}

fn loaded(host: &TestHost) -> Vec<String> {
    host.packages().into_iter().map(|package| package.name.to_string()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_loses_everything_keeps_what_it_had_until_it_is_back() {
    let folder = tempfile::tempdir().expect("folder");
    let host = with(folder.path(), &[("one", 1), ("two", 2)]).await;
    let (away, packages) = (folder.path().join("away"), host.packages.clone());
    for put_an_empty_one in [false, true] {
        std::fs::rename(&packages, &away).expect("goes");
        if put_an_empty_one {
            std::fs::create_dir(&packages).expect("an empty one is in its place");
        }
        some_passes(&host).await;
        assert_eq!(loaded(&host), ["corpus-001", "corpus-002"]);
        assert!(condition(&host, "LS0323").await.is_some());
        if put_an_empty_one {
            std::fs::remove_dir(&packages).expect("is empty");
        }
        std::fs::rename(&away, &packages).expect("comes back");
        some_passes(&host).await;
        assert!(condition(&host, "LS0323").await.is_none());
    }
    // One of two that goes is meant.
    host.remove_library("two");
    assert_eq!(host.until_unloaded("corpus-002").await, "unmapped");
    host.remove_library("one");
    assert_eq!(host.until_unloaded("corpus-001").await, "unmapped");
    host.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_of_several_packages_that_are_gone_at_once_stay_until_each_is_removed() {
    let folder = tempfile::tempdir().expect("folder");
    let host = with(folder.path(), &[("one", 1), ("two", 2)]).await;
    host.remove_library("one");
    host.remove_library("two");
    some_passes(&host).await;
    assert_eq!(loaded(&host), ["corpus-001", "corpus-002"]);
    host.unload(&"corpus-001".into()).await.expect("an operator's word counts");
    assert_eq!(loaded(&host), ["corpus-002"]);
    host.close().await;
    let host = support::open(folder.path(), Kind::InProcess).await;
    host.until_loaded("corpus-002").await;
    host.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_looked_at_is_named_and_takes_nothing_away() {
    let folder = tempfile::tempdir().expect("folder");
    let host = with(folder.path(), &[("one", 1)]).await;
    let file = host.packages.join("libone.so");
    let away = folder.path().join("away.so");
    std::fs::rename(&file, &away).expect("goes");
    // It points to itself: looking at it fails, whoever looks.
    std::os::unix::fs::symlink(&file, &file).expect("links");
    some_passes(&host).await;
    assert_eq!(loaded(&host), ["corpus-001"]);
    let named = condition(&host, "LS0326").await.expect("it is named");
    assert!(named.subject.ends_with("libone.so"), "{named:?}");
    std::fs::remove_file(&file).expect("removes");
    std::fs::rename(&away, &file).expect("comes back");
    some_passes(&host).await;
    assert!(condition(&host, "LS0326").await.is_none());
    assert_eq!(loaded(&host), ["corpus-001"]);

    use std::os::unix::ffi::OsStrExt;
    let name = std::ffi::OsStr::from_bytes(b"lib\xff.so");
    std::fs::write(host.packages.join(name), variant("well", 3)).expect("writes");
    some_passes(&host).await;
    assert!(condition(&host, "LS0325").await.is_some());
    std::fs::remove_file(host.packages.join(name)).expect("removes");
    some_passes(&host).await;
    assert!(condition(&host, "LS0325").await.is_none());
    host.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_was_damaged_while_the_host_was_down_does_not_take_its_package_away() {
    let folder = tempfile::tempdir().expect("folder");
    let host = with(folder.path(), &[("one", 1)]).await;
    let file = host.packages.join("libone.so");
    host.close().await;
    let bytes = std::fs::read(&file).expect("reads");
    std::fs::write(&file, &bytes[..2000]).expect("writes");
    let host = support::open(folder.path(), Kind::InProcess).await;
    host.until_loaded("corpus-001").await;
    some_passes(&host).await;
    let conditions = ConditionRow::all(host.engine().store()).await.expect("lists");
    assert!(conditions.iter().any(|c| c.subject.ends_with("libone.so")), "{conditions:?}");
    std::fs::write(&file, variant("swap-1", 1)).expect("writes");
    host.until_loaded("corpus-001").await;
    host.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_of_the_same_size_and_time_is_seen_to_be_another() {
    let folder = tempfile::tempdir().expect("folder");
    let host = with(folder.path(), &[("one", 1)]).await;
    let file = host.packages.join("libone.so");
    let before = std::fs::metadata(&file).expect("is there");
    let digest = host.packages()[0].digest.clone();
    let new = variant("swap-1", 1);
    assert_eq!(new.len() as u64, before.len());
    host.put_library("one", &new);
    let opened = std::fs::File::open(&file).expect("opens");
    opened.set_modified(before.modified().expect("has one")).expect("sets");
    host.until_loaded("corpus-001").await;
    assert_ne!(host.packages()[0].digest, digest);
    host.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_contains_the_home_is_refused() {
    let folder = tempfile::tempdir().expect("folder");
    let home = folder.path().join("project/.longshore");
    for source in [folder.path().to_owned(), folder.path().join("project"), home.clone()] {
        let mut options = support::options(&home, Kind::InProcess);
        options.reconciler.directories = vec![source];
        let refused = Host::open(options).await.map(drop).expect_err("it would load its own libraries");
        assert!(matches!(refused, HostError::SourceContainsHome { .. }) && refused.code() == "LS0327");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_library_that_says_it_is_never_to_be_unmapped_is_loaded_with_a_warning() {
    let folder = tempfile::tempdir().expect("folder");
    let host = support::open(folder.path(), Kind::InProcess).await;
    host.put_library("kept", &support::never_unmapped(1));
    host.until_loaded("corpus-001").await;
    let problem = host.last_error(&"corpus-001".into()).await.expect("reads").expect("it is said");
    assert_eq!(problem.code, "LS0210", "{problem:?}");
    host.remove_library("kept");
    assert!(host.until_unloaded("corpus-001").await.starts_with("still mapped"));
    host.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cache_that_others_may_write_to_is_refused() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().expect("folder");
    let options = support::options(folder.path(), Kind::InProcess);
    let cache = options.reconciler.cache.clone();
    std::fs::create_dir_all(&cache).expect("folder");
    std::fs::set_permissions(&cache, std::fs::Permissions::from_mode(0o777)).expect("sets");
    let refused = Host::open(options).await.map(drop).expect_err("anybody could put a library there");
    assert!(matches!(refused, HostError::UnsafeCache { .. }) && refused.code() == "LS0328", "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_package_that_takes_the_file_of_another_takes_its_workflows_over_without_a_gap() {
    let folder = tempfile::tempdir().expect("folder");
    let host = support::open(folder.path(), Kind::InProcess).await;
    host.put_library("package", &entries(1, &[]));
    host.until_loaded("entries-01").await;
    let names =
        [("flow_00", "flow_01"), ("trig_00", "trig_01"), ("reac_00", "reac_01"), ("need_00", "reac_01")];
    let broken = [("more_00", "flow_08"), ("flow_00", "flow_08")];
    host.put_library("package", &entries(8, &broken));
    let (code, text) = host.until_refused("entries-08").await;
    assert_eq!(code, "LS0309", "{text}");
    some_passes(&host).await;
    assert_eq!(loaded(&host), ["entries-01"], "as long as the other one is refused");

    let engine = host.engine().clone();
    let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let stopped = std::sync::Arc::clone(&stop);
    let starts = tokio::spawn(async move {
        while !stopped.load(std::sync::atomic::Ordering::Relaxed) {
            let request = StartRequest { workflow: "flow_01".into(), ..StartRequest::default() };
            engine.start(request).await.expect("one of the two has it");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    });
    host.put_library("package", &entries(2, &names));
    host.until_loaded("entries-02").await;
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    starts.await.expect("always found");
    assert_eq!(loaded(&host), ["entries-02"]);
    host.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reactor_moves_from_one_package_to_another_while_a_third_is_bound_to_it() {
    let folder = tempfile::tempdir().expect("folder");
    let host = support::open(folder.path(), Kind::InProcess).await;
    host.put_library("owner", &entries(1, &[]));
    host.put_library("subscriber", &entries(3, &[("need_00", "reac_01"), ("take_00", "srce_01")]));
    host.put_library("heir", &entries(2, &[]));
    host.until_all_loaded(&["entries-01", "entries-02", "entries-03"]).await;
    let graphs = |host: &TestHost| -> Vec<(String, String)> {
        let catalog = host.loaded().catalog();
        let reactors = catalog.reactors.iter().map(|r| (r.name.clone(), r.package.to_string()));
        reactors.collect()
    };
    assert!(graphs(&host).contains(&("reac_01".into(), "entries-01".into())));
    // The two swap their reactors.
    let given =
        [("reac_00", "reac_02"), ("need_00", "reac_02"), ("srce_00", "srce_02"), ("take_00", "srce_02")];
    let taken =
        [("reac_00", "reac_01"), ("need_00", "reac_01"), ("srce_00", "srce_01"), ("take_00", "srce_01")];
    host.put_library("owner", &entries(1, &given));
    host.put_library("heir", &entries(2, &taken));
    host.until_all_loaded(&["entries-01", "entries-02"]).await;
    let now = graphs(&host);
    assert!(now.contains(&("reac_01".into(), "entries-02".into())), "{now:?}");
    assert!(now.contains(&("reac_02".into(), "entries-01".into())), "{now:?}");
    host.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_package_that_has_a_workflow_keeps_it_over_a_restart() {
    let folder = tempfile::tempdir().expect("folder");
    let host = support::open(folder.path(), Kind::InProcess).await;
    host.put_library("z", &entries(9, &[]));
    host.until_loaded("entries-09").await;
    // It sorts first, and comes second.
    host.put_library("a", &entries(1, &[("flow_00", "flow_09")]));
    assert_eq!(host.until_refused("entries-01").await.0, "LS0401");
    host.close().await;
    let host = support::open(folder.path(), Kind::InProcess).await;
    host.until_loaded("entries-09").await;
    assert_eq!(loaded(&host), ["entries-09"]);
    host.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_comes_back_file_by_file_loses_nothing_meanwhile() {
    let folder = tempfile::tempdir().expect("folder");
    let host = with(folder.path(), &[("one", 1), ("two", 2)]).await;
    host.remove_library("one");
    host.remove_library("two");
    some_passes(&host).await;
    assert!(condition(&host, "LS0323").await.is_some());
    host.put_library("two", &variant("well", 2));
    some_passes(&host).await;
    assert!(condition(&host, "LS0323").await.is_none());
    assert_eq!(loaded(&host), ["corpus-001", "corpus-002"]);
    host.put_library("one", &variant("well", 1));
    some_passes(&host).await;
    assert_eq!(loaded(&host), ["corpus-001", "corpus-002"]);
    host.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn packages_that_wait_for_one_that_cannot_come_are_refused_with_it() {
    let folder = tempfile::tempdir().expect("folder");
    let host = support::open(folder.path(), Kind::InProcess).await;
    host.put_library("legacy", &entries(7, &[]));
    host.until_loaded("entries-07").await;
    // The owner of the reactor has a workflow that another package has: it is open, and is not registered.
    host.put_library("subscriber", &entries(6, &[("need_00", "reac_05"), ("take_00", "srce_05")]));
    host.put_library("owner", &entries(5, &[("flow_00", "flow_07")]));
    assert_eq!(host.until_refused("entries-05").await.0, "LS0401");
    assert_eq!(host.until_refused("entries-06").await.0, "LS0405");
    host.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn conditions_go_when_the_version_that_runs_is_wanted_again() {
    let folder = tempfile::tempdir().expect("folder");
    let host = with(folder.path(), &[("one", 1)]).await;
    let problems = async || {
        let conditions = ConditionRow::all(host.engine().store()).await.expect("lists");
        conditions.into_iter().filter(longshore_reconciler::readiness::is_problem).count()
    };
    host.put_library("one", &variant("ctor-segfault", 1));
    host.until_refused("corpus-001").await;
    assert!(problems().await > 0);
    host.put_library("one", &variant("well", 1));
    let until = Instant::now() + Duration::from_secs(30);
    while problems().await > 0 {
        assert!(Instant::now() < until, "{:?}", ConditionRow::all(host.engine().store()).await);
        host.pass().await;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(loaded(&host), ["corpus-001"]);
    host.close().await;
}
