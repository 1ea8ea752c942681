//! Tasks that take their process or host with them, and the innocent ones beside them.

mod support;

use longshore_engine::StartRequest;
use longshore_store::{RunId, RunState};
use longshore_testing::{Kind, TestHost};
use std::time::Duration;
use support::{deadly, variant};

const PACKAGE: &str = "corpus-001";
const TIMEOUT: Duration = Duration::from_secs(120);

async fn start(host: &TestHost, workflow: &str) -> RunId {
    let request = StartRequest { workflow: workflow.into(), ..StartRequest::default() };
    host.start(request).await.expect("starts").run
}

/// The state of a run that has ended, and its error.
async fn end(host: &TestHost, run: RunId) -> (RunState, String) {
    let ended = tokio::time::timeout(TIMEOUT, host.wait(run)).await;
    let report = ended.expect("it ends").expect("is there");
    (report.state, report.error.unwrap_or_default())
}

#[tokio::test(flavor = "multi_thread")]
async fn tasks_that_end_their_process_fail_and_the_long_ones_beside_them_succeed() {
    let folder = tempfile::tempdir().expect("folder");
    let mut options = support::options(folder.path(), Kind::Isolated);
    options.reconciler.health = None;
    let host = TestHost::open(options).await;
    host.put_library("deadly", deadly());
    host.until_loaded("deadly").await;
    let mut innocent = Vec::new();
    for _ in 0..6 {
        innocent.push(start(&host, "innocent").await);
    }
    let guilty = [start(&host, "deadly").await, start(&host, "deadly").await];
    for run in innocent {
        assert_eq!(end(&host, run).await, (RunState::Succeeded, String::new()));
    }
    for run in guilty {
        let (state, error) = end(&host, run).await;
        assert_eq!(state, RunState::Failed);
        assert!(error.contains("given up: 5 attempts") && error.contains("exit status: 7"), "{error}");
    }
    host.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_under_which_host_after_host_dies_is_given_up() {
    let folder = tempfile::tempdir().expect("folder");
    let host = support::open(folder.path(), Kind::Isolated).await;
    host.put_library("package", &variant("task-wait", 1));
    host.until_loaded(PACKAGE).await;
    let run = start(&host, PACKAGE).await;
    // It ends without a word, as a killed one does.
    drop(host);
    for _ in 0..4 {
        let host = support::open(folder.path(), Kind::Isolated).await;
        host.until_loaded(PACKAGE).await;
        host.until_in_flight(1).await;
        drop(host);
    }
    let host = support::open(folder.path(), Kind::Isolated).await;
    host.until_loaded(PACKAGE).await;
    let (state, error) = end(&host, run).await;
    assert_eq!(state, RunState::Failed);
    assert!(error.contains("given up: 5 attempts") && error.contains("its host died"), "{error}");
    host.close().await;
}
