//! Backoff, drain and rollout of a reconciler, on a clock that stands still until the test moves it.

mod support;

use longshore_engine::StartRequest;
use longshore_engine::clock::Manual;
use longshore_reconciler::plan::model::{Deferred, DrainPolicy};
use longshore_reconciler::{Options, Outcome};
use longshore_store::RunState;
use longshore_testing::{Kind, TestHost};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use support::variant;

const PACKAGE: &str = "corpus-001";
const HOUR: Duration = Duration::from_secs(3600);
const MILLISECOND: Duration = Duration::from_millis(1);

/// A host whose reconciler has this clock; its draws are the middle.
async fn open_at(clock: &Manual, folder: &Path, change: impl FnOnce(&mut Options)) -> TestHost {
    let mut options = support::options(folder, Kind::InProcess);
    options.reconciler.clock = Arc::new(clock.clone());
    options.reconciler.rng = Arc::new(clock.clone());
    change(&mut options.reconciler);
    TestHost::open(options).await
}

async fn refused_again(host: &TestHost) -> bool {
    let report = host.pass().await;
    let backs_off = report.deferred.iter().any(|deferred| matches!(deferred, Deferred::BackingOff { .. }));
    let refused = report.outcomes.iter().any(|outcome| matches!(outcome, Outcome::Refused { .. }));
    assert!(backs_off != refused, "{report:?}");
    refused
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_package_is_tried_again_after_pauses_that_double() {
    let folder = tempfile::tempdir().expect("folder");
    let clock = Manual::at(1_000_000);
    let host = open_at(&clock, folder.path(), |_| {}).await;
    host.put_library("package", &variant("ctor-exit", 1));
    host.until_refused(PACKAGE).await;
    // Three quarters of 1, 2 and 4 s: the middle of what jitter allows.
    for pause in [750, 1500, 3000].map(Duration::from_millis) {
        clock.advance(pause - MILLISECOND);
        assert!(!refused_again(&host).await, "{pause:?}: a millisecond is left");
        clock.advance(MILLISECOND);
        assert!(refused_again(&host).await, "{pause:?}");
    }
    host.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replaced_generation_keeps_its_runs_until_the_drain_deadline() {
    let folder = tempfile::tempdir().expect("folder");
    let clock = Manual::at(1_000_000);
    let hour = HOUR.as_millis() as i64;
    let drain = DrainPolicy { deadline_ms: Some(hour), force_unload_ms: Some(hour) };
    let host = open_at(&clock, folder.path(), |options| options.drain = drain).await;
    host.put_library("package", &variant("task-wait", 1));
    host.until_loaded(PACKAGE).await;
    let request = StartRequest { workflow: PACKAGE.into(), ..StartRequest::default() };
    let run = host.start(request).await.expect("starts").run;
    host.put_library("package", &variant("well", 1));
    host.until_loaded(PACKAGE).await;
    host.pass().await;
    clock.advance(HOUR - MILLISECOND);
    let report = host.pass().await;
    assert!(matches!(report.deferred[..], [Deferred::Draining { .. }]), "{report:?}");
    clock.advance(MILLISECOND);
    let report = host.pass().await;
    assert!(matches!(report.outcomes[..], [Outcome::Cancelled { runs: 1, .. }]), "{report:?}");
    assert_eq!(host.until_unloaded(PACKAGE).await, "unmapped");
    assert_eq!(host.wait(run).await.expect("ends").state, RunState::Cancelled);
    host.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drain_deadline_goes_on_over_a_restart() {
    let folder = tempfile::tempdir().expect("folder");
    let clock = Manual::at(1_000_000);
    let hour = HOUR.as_millis() as i64;
    let drain = DrainPolicy { deadline_ms: Some(hour), force_unload_ms: Some(hour) };
    let host = open_at(&clock, folder.path(), |options| options.drain = drain).await;
    host.put_library("package", &variant("task-wait", 1));
    host.until_loaded(PACKAGE).await;
    let request = StartRequest { workflow: PACKAGE.into(), ..StartRequest::default() };
    host.start(request).await.expect("starts");
    host.put_library("package", &variant("well", 1));
    host.until_loaded(PACKAGE).await;
    clock.advance(HOUR / 3);
    host.shut_down(Duration::ZERO).await;
    let host = open_at(&clock, folder.path(), |options| options.drain = drain).await;
    host.until("restored", |o| matches!(o, Outcome::Restored { .. }).then_some(())).await;
    clock.advance(HOUR / 3);
    host.shut_down(Duration::ZERO).await;
    // Two thirds of the hour have passed: with the third it is over, however often hosts came and went.
    let host = open_at(&clock, folder.path(), |options| options.drain = drain).await;
    host.until("restored", |o| matches!(o, Outcome::Restored { .. }).then_some(())).await;
    clock.advance(HOUR / 3 - MILLISECOND);
    let report = host.pass().await;
    assert!(matches!(report.deferred[..], [Deferred::Draining { .. }]), "{report:?}");
    clock.advance(MILLISECOND);
    let report = host.pass().await;
    assert!(matches!(report.outcomes[..], [Outcome::Cancelled { runs: 1, .. }]), "{report:?}");
    host.shut_down(Duration::ZERO).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_held_up_for_its_window_is_not_rolled_back() {
    let folder = tempfile::tempdir().expect("folder");
    let clock = Manual::at(1_000_000);
    let host = open_at(&clock, folder.path(), |_| {}).await;
    host.put_library("package", &variant("well", 1));
    host.until_loaded(PACKAGE).await;
    host.put_library("package", &variant("task-panic", 1));
    host.until_loaded(PACKAGE).await;
    clock.advance(Duration::from_secs(60));
    host.pass().await;
    for _ in 0..4 {
        assert_eq!(host.run(PACKAGE).await.state, RunState::Failed);
    }
    let report = host.pass().await;
    assert!(!report.outcomes.iter().any(|o| matches!(o, Outcome::Refused { .. })), "{report:?}");
    host.close().await;
}
