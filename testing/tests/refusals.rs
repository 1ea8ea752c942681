//! Refusals of a host by their codes, caused by the file, the host, or the packages that are there already.

mod support;

use longshore_engine::StartRequest;
use longshore_reconciler::host::Error as HostError;
use longshore_reconciler::plan::model::Deferred;
use longshore_reconciler::runtime::ProbeOptions;
use longshore_reconciler::{Host, HostOptions};
use longshore_store::{ConditionRow, VerdictRow};
use longshore_testing::{Kind, TestHost};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};
use support::{entries, variant, variant_with_workflow_of};

/// A failpoint holds for the whole process: hosts of other tests do not pass it meanwhile.
static ONE_AT_A_TIME: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// A host with `tests/entries` number 1.
async fn with_first(folder: &Path) -> TestHost {
    let host = support::open(folder, Kind::InProcess).await;
    host.put_library("first", &entries(1, &[]));
    host.until_loaded("entries-01").await;
    host
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_another_package_has_is_refused() {
    let _turn = ONE_AT_A_TIME.lock().await;
    let folder = tempfile::tempdir().expect("folder");
    let host = with_first(folder.path()).await;
    for (number, renamed, code, says) in [
        (2, &[("flow_00", "flow_01")][..], "LS0401", "`flow_01`"),
        (3, &[("trig_00", "trig_01")], "LS0402", "`trig_01`"),
        (4, &[("reac_00", "reac_01"), ("need_00", "reac_01")], "LS0404", "`reac_01`"),
        (5, &[("need_00", "reac_99")], "LS0405", "`reac_99`"),
        (6, &[("take_00", "srce_99")], "LS0406", "`srce_99`"),
        (7, &[("solo_01", "solo_00")], "LS0409", "`solo_00`"),
        (8, &[("more_00", "flow_08")], "LS0309", "`flow_08`"),
    ] {
        host.put_library("other", &entries(number, renamed));
        let (refused, text) = host.until_refused(&format!("entries-{number:02}")).await;
        assert_eq!(refused, code, "{text}");
        assert!(text.contains(says), "{code}: {text}");
    }
    host.put_library("other", &entries(9, &[]));
    host.until_loaded("entries-09").await;
    host.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn packages_that_need_each_others_reactors_are_refused_together() {
    let _turn = ONE_AT_A_TIME.lock().await;
    let folder = tempfile::tempdir().expect("folder");
    let host = support::open(folder.path(), Kind::InProcess).await;
    host.put_library("one", &entries(1, &[("need_00", "reac_02"), ("take_00", "srce_02")]));
    host.put_library("two", &entries(2, &[("need_00", "reac_01"), ("take_00", "srce_01")]));
    host.close().await;
    // Files that were there for a while are taken in the first pass, both of them.
    for file in std::fs::read_dir(folder.path().join("packages")).expect("lists") {
        let file = std::fs::File::open(file.expect("an entry").path()).expect("opens");
        file.set_modified(SystemTime::now() - Duration::from_secs(60)).expect("sets");
    }
    let host = support::open(folder.path(), Kind::InProcess).await;
    let text = host.expect_refused("LS0408").await;
    assert!(text.contains("entries-01, entries-02"), "{text}");
    host.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_files_with_one_package_the_one_that_does_not_count_is_named() {
    let _turn = ONE_AT_A_TIME.lock().await;
    let folder = tempfile::tempdir().expect("folder");
    let host = with_first(folder.path()).await;
    host.put_library("second", &entries(1, &[("more_00", "more_77")]));
    let deadline = Instant::now() + Duration::from_secs(60);
    while !host.pass().await.deferred.iter().any(|d| matches!(d, Deferred::Superseded { .. })) {
        assert!(Instant::now() < deadline, "the second file is not superseded");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let conditions = ConditionRow::all(host.engine().store()).await.expect("lists");
    let named = conditions.iter().find(|condition| condition.reason == "LS0403");
    let named = named.unwrap_or_else(|| panic!("{conditions:#?}"));
    assert!(named.subject.ends_with("libsecond.so") && named.message.contains("libfirst.so"), "{named:?}");
    host.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_probe_that_cannot_be_started_refuses_the_package() {
    let _turn = ONE_AT_A_TIME.lock().await;
    let folder = tempfile::tempdir().expect("folder");
    let mut options = support::options(folder.path(), Kind::InProcess);
    let (program, limit) = (PathBuf::from("/nowhere/longshore"), Duration::from_secs(8));
    options.reconciler.probe = Some(ProbeOptions { program, limit });
    let host = TestHost::open(options).await;
    host.put_library("first", &entries(1, &[]));
    host.expect_refused("LS0302").await;
    host.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_digest_whose_probe_failed_is_quarantined_for_the_next_host() {
    let _turn = ONE_AT_A_TIME.lock().await;
    let folder = tempfile::tempdir().expect("folder");
    let host = support::open(folder.path(), Kind::InProcess).await;
    host.put_library("broken", &variant("ctor-abort", 1));
    host.expect_refused("LS0303").await;
    host.close().await;
    let host = support::open(folder.path(), Kind::InProcess).await;
    let message = host.expect_refused("LS0305").await;
    assert!(message.contains("LS0303"), "{message}");
    host.close().await;
}

/// Refuses a copy of the corpus with this code, on a host with this limit of probes, and loads it on the next host.
async fn is_tried_again(mode: &str, limit: Duration, code: &str) {
    let folder = tempfile::tempdir().expect("folder");
    let mut options = support::options(folder.path(), Kind::InProcess);
    options.reconciler.probe.as_mut().expect("probes").limit = limit;
    let host = TestHost::open(options).await;
    host.put_library("unlucky", &variant(mode, 1));
    host.expect_refused(code).await;
    host.close().await;
    let host = support::open(folder.path(), Kind::InProcess).await;
    let (refused, text) = host.until_refused("corpus-001").await;
    assert_eq!(refused, if mode == "well" { "loaded" } else { code }, "{text}");
    host.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_probe_that_ran_out_of_time_or_memory_or_was_killed_leaves_no_verdict() {
    let _turn = ONE_AT_A_TIME.lock().await;
    is_tried_again("well", Duration::from_millis(1), "LS0304").await;
    is_tried_again("ctor-kill", Duration::from_secs(20), "LS0303").await;
    is_tried_again("ctor-supervisor", Duration::from_secs(20), "LS0303").await;
    // Within the memory of a probe, not that of the machine.
    is_tried_again("ctor-fill", Duration::from_secs(60), "LS0303").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_probe_sees_nothing_of_the_environment_of_its_host() {
    let _turn = ONE_AT_A_TIME.lock().await;
    let folder = tempfile::tempdir().expect("folder");
    assert!(std::env::var_os("PATH").is_some());
    let host = support::open(folder.path(), Kind::InProcess).await;
    host.put_library("homesick", &variant("ctor-homesick", 1));
    host.expect_refused("LS0303").await;
    host.close().await;
}

/// A short path at which there is no file.
fn flag() -> tempfile::TempPath {
    let flag = tempfile::Builder::new().prefix("ls").rand_bytes(6).tempfile_in("/tmp").expect("a file");
    let path = flag.into_temp_path();
    std::fs::remove_file(&path).expect("removes");
    path
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_waits_for_a_lock_of_the_one_before_is_refused_before_it_can_hold_up_the_host() {
    let _turn = ONE_AT_A_TIME.lock().await;
    let folder = tempfile::tempdir().expect("folder");
    let path = flag();
    let locks = |number: u32| variant(&format!("ctor-lock:{}", path.display()), number);
    let mut options = support::options(folder.path(), Kind::InProcess);
    options.reconciler.probe.as_mut().expect("probes").limit = Duration::from_secs(2);
    let host = TestHost::open(options).await;
    // The library's name counts in the digest: both were probed when nobody had the lock.
    for name in ["one", "two"] {
        host.put_library(name, &locks(1));
        host.until_loaded("corpus-001").await;
        host.remove_library(name);
        host.until_unloaded("corpus-001").await;
    }
    host.put_library("one", &locks(1));
    host.until_loaded("corpus-001").await;
    host.remove_library("one");
    host.put_library("two", &locks(1));
    let (code, text) = host.until_refused("corpus-001").await;
    assert_eq!(code, "LS0304", "{text}");
    assert_eq!(
        host.run("corpus-001").await.state,
        longshore_store::RunState::Succeeded,
        "the old one goes on"
    );
    host.put_library("other", &variant("well", 2));
    host.until_loaded("corpus-002").await;
    host.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_package_that_was_refused_after_it_was_opened_and_stayed_mapped_is_loaded_later() {
    let _turn = ONE_AT_A_TIME.lock().await;
    let folder = tempfile::tempdir().expect("folder");
    let host = support::open(folder.path(), Kind::InProcess).await;
    host.put_library("first", &variant("well", 1));
    host.until_loaded("corpus-001").await;
    // Its threads keep its library mapped.
    host.put_library("second", &variant_with_workflow_of("ctor-threads", 2, 1));
    assert_eq!(host.until_refused("corpus-002").await.0, "LS0401");
    assert_eq!(host.until_refused("corpus-002").await.0, "LS0401", "again, and from a path of its own");
    host.remove_library("first");
    host.until_all_loaded(&["corpus-002"]).await;
    host.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_of_another_build_is_refused() {
    use std::os::unix::fs::PermissionsExt;
    let _turn = ONE_AT_A_TIME.lock().await;
    let folder = tempfile::tempdir().expect("folder");
    let program = folder.path().join("other");
    std::fs::write(&program, "#!/bin/sh\nread line\nexit 85\n").expect("writes");
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).expect("sets");
    let mut options = support::options(folder.path(), Kind::InProcess);
    options.reconciler.probe = Some(ProbeOptions { program, limit: Duration::from_secs(8) });
    let host = TestHost::open(options).await;
    host.put_library("first", &entries(1, &[]));
    host.expect_refused("LS0321").await;
    host.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quarantined_digest_is_probed_again_when_an_operator_asks_for_it() {
    let _turn = ONE_AT_A_TIME.lock().await;
    let folder = tempfile::tempdir().expect("folder");
    let path = flag();
    let mode = format!("ctor-unless:{}", path.display());
    let host = support::open(folder.path(), Kind::InProcess).await;
    host.put_library("unlucky", &variant(&mode, 1));
    host.expect_refused("LS0303").await;
    std::fs::write(&path, "").expect("writes");
    // The verdict stands after the backoff.
    host.expect_refused("LS0305").await;
    let (name, store) = ("corpus-001".into(), host.engine().store());
    VerdictRow::request_retry(store, &name, "somebody", "the flag is there", 1).await.expect("asks");
    host.until_loaded("corpus-001").await;
    host.close().await;
}

/// A failpoint that is off again when the test ends.
struct Failpoint(&'static str);

impl Drop for Failpoint {
    fn drop(&mut self) {
        fail::remove(self.0);
    }
}

/// Runs `act` on a folder whenever the host comes to a failpoint, until the host refuses something with this code.
async fn refused_when(point: &'static str, code: &str, act: fn(&Path)) {
    let folder = tempfile::tempdir().expect("folder");
    let home = folder.path().to_owned();
    fail::cfg_callback(point, move || act(&home)).expect("failpoints are compiled in");
    let _set = Failpoint(point);
    let host = support::open(folder.path(), Kind::InProcess).await;
    host.put_library("first", &entries(1, &[]));
    host.expect_refused(code).await;
    host.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_replaced_while_it_is_read_is_refused_for_this_pass() {
    let _turn = ONE_AT_A_TIME.lock().await;
    refused_when("reconciler.reading", "LS0311", |home| {
        let file = home.join("packages/libfirst.so");
        std::fs::write(file, entries(1, &[("more_00", "more_77")])).expect("writes");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_library_that_is_changed_between_probe_and_load_is_refused() {
    let _turn = ONE_AT_A_TIME.lock().await;
    refused_when("reconciler.probed", "LS0314", |home| {
        for digest in std::fs::read_dir(home.join("cache")).expect("lists") {
            let library = digest.expect("an entry").path().join("libfirst.so");
            std::fs::write(library, "somebody was here").expect("writes");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn generations_that_runs_still_use_have_a_limit() {
    let _turn = ONE_AT_A_TIME.lock().await;
    let folder = tempfile::tempdir().expect("folder");
    let host = support::open(folder.path(), Kind::InProcess).await;
    for generation in 1..=16 {
        // The library's name counts in the digest.
        host.put_library(&format!("p{generation}"), &variant("task-wait", 1));
        host.until_loaded("corpus-001").await;
        let request = StartRequest { workflow: "corpus-001".into(), ..StartRequest::default() };
        host.start(request).await.expect("starts");
        host.remove_library(&format!("p{generation}"));
    }
    host.put_library("p17", &variant("task-wait", 1));
    host.expect_refused("LS0317").await;
    host.shut_down(Duration::ZERO).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_home_that_cannot_be_made_is_named() {
    let folder = tempfile::tempdir().expect("folder");
    std::fs::write(folder.path().join("file"), "").expect("writes");
    let error = Host::open(HostOptions::new(folder.path().join("file/home"))).await.err().expect("refused");
    assert_eq!(error.code(), "LS0319", "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_package_that_is_not_loaded_cannot_be_unloaded_or_reloaded() {
    let _turn = ONE_AT_A_TIME.lock().await;
    let folder = tempfile::tempdir().expect("folder");
    let host = with_first(folder.path()).await;
    let nobody = "nobody".into();
    for error in [host.unload(&nobody).await.err(), host.reload(&nobody).await.err()] {
        let error: HostError = error.expect("refused");
        assert_eq!((error.code(), error.fix().as_str()), ("LS0320", "these are loaded: entries-01"));
    }
    host.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_is_refused_leaves_the_host_as_it_was() {
    let _turn = ONE_AT_A_TIME.lock().await;
    let folder = tempfile::tempdir().expect("folder");
    let file = |name: &str, bytes: Vec<u8>| -> PathBuf {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).expect("writes");
        path
    };
    let host = support::open(folder.path(), Kind::InProcess).await;
    let owner = host.load(file("libowner.so", entries(1, &[]))).await.expect("loads");
    let bound = entries(2, &[("need_00", "reac_01"), ("take_00", "srce_01")]);
    host.load(file("libbound.so", bound)).await.expect("loads");

    for _ in 0..2 {
        let refused = host.unload(&owner.name).await.expect_err("its reactor is needed");
        assert_eq!(refused.code(), "LS0407", "{refused}");
    }
    let worse = entries(1, &[("solo_01", "solo_00")]);
    let refused = host.load(file("libworse.so", worse)).await.expect_err("two graphs of one name");
    assert_eq!(refused.code(), "LS0409", "{refused}");
    host.close().await;

    let host = support::open(folder.path(), Kind::InProcess).await;
    host.until_all_loaded(&["entries-01", "entries-02"]).await;
    let loaded = host.packages().into_iter().find(|package| package.name == owner.name);
    assert_eq!(
        loaded.map(|package| package.digest),
        Some(owner.digest),
        "the version that was loaded before"
    );
    host.close().await;
}
