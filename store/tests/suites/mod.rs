//! The statements by what they are for: each suite on a database of its own.

use longshore_store::{
    ArtifactRow, AttemptResult, AttemptRow, Claim, CommandAnswer, CommandClass, CommandRow, ConditionKind,
    ConditionRow, ConditionStatus, DeadLetter, DeadLetterId, Digest, EndedRun, EntryKind, EntryRow,
    EventKind, EventRow, FencingToken, GenerationId, GenerationRow, GenerationState, HostId, HostRow,
    InputRow, Lease, Log, Losses, NewArtifact, NewAttempt, NewCommand, NewCondition, NewGeneration,
    NewRequest, NewRun, NewTask, OutputRow, Override, OverrideKind, PackageName, PackageRow, PackageState,
    PassInputs, PositionRow, QueueId, ReactorCommand, ReactorRow, Recorded, RecordedClaims, RequestAnswer,
    RequestKind, RequestOutcome, RequestRow, Resolution, RunAge, RunCounts, RunFilter, RunId, RunPage,
    RunRow, RunScope, RunState, ScheduleRow, StatusRow, Store, Subject, Success, TaskKey, TaskRow, TaskState,
    TaskUpdate, TenantId, Tx, Verdict, VerdictRow,
};
use longshore_testing::Backend;
use std::collections::{BTreeMap, HashMap, HashSet};

pub(crate) fn digest() -> Digest {
    Digest::from_sha256([0xd; 32])
}

fn package() -> PackageName {
    "p".into()
}

fn end(run: RunId, state: RunState) -> EndedRun {
    EndedRun { run, state, error: None, skipped_tasks: 0 }
}

pub(crate) fn new_run(dedup_key: Option<&str>) -> NewRun {
    let task = |idx, id: &str, waiting| NewTask { idx, id: id.into(), waiting };
    NewRun {
        id: RunId::new(),
        tenant: "public".into(),
        workflow: "flow".into(),
        package: "p".into(),
        version: "1".into(),
        digest: digest(),
        origin: "cron:nightly".into(),
        dedup_key: dedup_key.map(str::to_owned),
        input: "{}".into(),
        deadline_at: Some(1_000_000),
        tasks: vec![task(0, "a", 0), task(1, "b", 1)],
    }
}

/// The claim that a host makes with a token.
pub(crate) fn claim(host: HostId, token: i64, now: i64) -> Claim {
    Claim { host, token: FencingToken::new(token), now }
}

pub(crate) async fn start(store: &Store, dedup_key: Option<&str>) -> RunId {
    let run = new_run(dedup_key);
    let mut tx = store.begin().await.expect("begins");
    let recorded = NewRun::insert(&mut tx, &[&run], claim(HostId::new(), 1, 10), 0).await.expect("starts");
    assert_eq!(recorded, Recorded::default());
    store.commit(tx).await.expect("commits");
    run.id
}

fn update(key: TaskKey, token: i64, state: TaskState) -> TaskUpdate {
    let token = FencingToken::new(token);
    let (error, patch) = (Some("why".to_owned()), Some("{}".to_owned()));
    TaskUpdate { key, token, state, losses: Losses::default(), attempt_reverted: 0, due_at: 20, error, patch }
}

pub(crate) async fn what_has_ended_is_deleted_and_nothing_else(backend: Backend) {
    let store = &backend.open().await;
    let (ended, open) = (start(store, None).await, start(store, None).await);
    let mut tx = store.begin().await.expect("begins");
    RunRow::finish(&mut tx, &[end(ended, RunState::Failed)], 20).await.expect("ends");
    EventRow::append(&mut tx, Subject::Run(ended), EventKind::Cancelled, "its own", 20).await.expect("notes");
    EventRow::append(&mut tx, Subject::Run(open), EventKind::Cancelled, "not its own", 20)
        .await
        .expect("notes");
    store.commit(tx).await.expect("commits");
    let page = RunPage::after(store, None, 10).await.expect("lists");
    assert_eq!(page.last.as_deref(), Some(ended.to_string().as_str()));
    let page = page.runs;
    assert_eq!(
        page.iter().map(|run| (run.id, run.finished_at)).collect::<Vec<_>>(),
        [(open, None), (ended, Some(20))]
    );
    assert_eq!(RunPage::after(store, Some(&open.to_string()), 10).await.expect("lists").runs, page[1..]);
    let report = store.check().await.expect("checks");
    assert_eq!((report.runs, report.faults), (2, Vec::new()));

    let mut tx = store.begin().await.expect("begins");
    assert_eq!(RunAge::delete(&mut tx, &[ended, open]).await.expect("deletes"), 1);
    store.commit(tx).await.expect("commits");
    assert!(TaskRow::of_run(store, ended).await.expect("loads").is_empty());
    assert_eq!(TaskRow::of_run(store, open).await.expect("loads").len(), 2);
    assert!(EventRow::newest(store, Subject::Run(ended), 10).await.expect("lists").is_empty());
    assert_eq!(EventRow::newest(store, Subject::Run(open), 10).await.expect("lists").len(), 1);

    let later = RunId::new().time_ms() + 10_000;
    let mut tx = store.begin().await.expect("begins");
    assert_eq!(Log::Events.delete_before(&mut tx, later - 1_000_000, 10).await.expect("deletes"), 0);
    assert_eq!(Log::Events.delete_before(&mut tx, later, 10).await.expect("deletes"), 1);
    assert_eq!(Log::DeadLetters.delete_before(&mut tx, later, 10).await.expect("deletes"), 0);
    store.commit(tx).await.expect("commits");
    store.vacuum().await.expect("vacuums");
    let copy = backend.folder().join("copy.db");
    match store.backup(&copy).await {
        Ok(()) => assert!(copy.is_file()),
        Err(error) => assert_eq!(error.code(), "LS0517", "that is for files: {error}"),
    }
    assert!(store.bytes().await.expect("asks") > 0);
}

pub(crate) async fn a_run_is_started_claimed_and_ended(backend: Backend) {
    let store = &backend.open().await;
    let host = HostId::new();
    let run = start(store, Some("key")).await;
    let mut tx = store.begin().await.expect("begins");
    Store::register_host(&mut tx, host, "test", 1, 10).await.expect("registers");
    Store::heartbeat(&mut tx, host, false, 11).await.expect("beats");
    let again = new_run(Some("key"));
    let recorded = NewRun::insert(&mut tx, &[&again], claim(host, 2, 10), 5).await.expect("starts");
    assert_eq!(recorded, Recorded { taken: HashMap::from([(again.id, run)]), claimed: Vec::new() });
    assert!(RunRow::origin_is_busy(store, "cron:nightly").await.expect("looks"));

    let first = TaskKey { run, idx: 0 };
    let claimed = Lease::claim(&mut tx, claim(host, 5, 12), &[first]).await.expect("claims");
    assert_eq!(claimed, [claim(host, 5, 12).lease(first, 1, 0)]);
    assert!(RecordedClaims::stale(&mut tx, host).await.expect("looks").leases.is_empty());
    assert_eq!(RecordedClaims::of(&mut tx, host).await.expect("looks").leases, claimed);
    let fenced =
        TaskUpdate::apply(&mut tx, &[update(first, 4, TaskState::Succeeded)], 13).await.expect("fenced");
    assert!(fenced.is_empty());
    let applied =
        TaskUpdate::apply(&mut tx, &[update(first, 5, TaskState::Succeeded)], 13).await.expect("applies");
    assert_eq!(applied, [(first, FencingToken::new(5))]);
    let attempt = NewAttempt {
        key: first,
        attempt: 1,
        host,
        started_at: 12,
        finished_at: 13,
        outcome: AttemptResult::Succeeded,
        error: None,
    };
    NewAttempt::insert(&mut tx, &[attempt.clone(), attempt.clone(), attempt]).await.expect("records once");
    let second = TaskKey { run, idx: 1 };
    let resolution = Resolution { resolved: 1, upstream_failed: 1 };
    assert_eq!(Resolution::apply(&mut tx, &[(second, resolution)]).await.expect("resolves"), 1);
    assert_eq!(Resolution::apply(&mut tx, &[(second, resolution)]).await.expect("asks"), 0, "it is ready");
    let left = RunRow::count_down(&mut tx, &BTreeMap::from([(run, RunCounts { open: 1, failed: 0 })]), 14)
        .await
        .expect("counts");
    assert_eq!(left, HashMap::from([(run, RunCounts { open: 1, failed: 0 })]));
    let claimed = Lease::claim(&mut tx, claim(host, 6, 15), &[first, second]).await.expect("claims");
    assert_eq!(claimed, [claim(host, 6, 15).lease(second, 1, 1)]);
    assert!(RunRow::to_cancel(&mut tx, 16).await.expect("looks").is_empty());
    assert_eq!(RunRow::load(&mut tx, &[run]).await.expect("loads").len(), 1);
    let tasks = TaskRow::of_runs(&mut tx, &[run]).await.expect("loads").remove(&run).expect("is there");
    assert_eq!(tasks.expect("read").len(), 2);
    store.commit(tx).await.expect("commits");

    assert!(RunRow::request_cancel(store, run, Some(("anna", "a test")), 17).await.expect("asks"));
    let mut tx = store.begin().await.expect("begins");
    assert_eq!(RunRow::to_cancel(&mut tx, 18).await.expect("looks"), [(run, true)]);
    assert_eq!(TaskRow::cancel_waiting(&mut tx, run, 18).await.expect("cancels"), [second]);
    TaskRow::cancel_running(&mut tx, run, 18).await.expect("cancels");
    RunRow::finish(&mut tx, &[end(run, RunState::Cancelled)], 18).await.expect("finishes");
    store.commit(tx).await.expect("commits");

    let row = RunRow::find(store, run).await.expect("finds").expect("is there");
    assert_eq!((row.state, row.finished_at), (RunState::Cancelled, Some(18)));
    assert_eq!(RunRow::newest(store, Some(RunState::Cancelled), 5).await.expect("lists").len(), 1);
    assert_eq!(PassInputs::load(store).await.expect("loads").pins, BTreeMap::new());
    assert_eq!(RunRow::ended_of(store, &digest(), 0).await.expect("counts").1, 0);
    assert_eq!(TaskRow::of_run(store, run).await.expect("loads")[1].state, TaskState::Cancelled);
    assert_eq!(AttemptRow::of_run(store, run).await.expect("loads").len(), 1);
}

pub(crate) async fn a_task_that_is_put_back_is_claimable_when_it_is_due(backend: Backend) {
    let store = &backend.open().await;
    let (host, run) = (HostId::new(), start(store, None).await);
    let (queue, first) = (QueueId::of(&digest(), &"public".into(), "flow"), TaskKey { run, idx: 0 });
    let mut tx = store.begin().await.expect("begins");
    assert_eq!(TaskRow::claimable_queues(&mut tx).await.expect("looks"), [queue]);
    assert_eq!(TaskRow::claimable(&mut tx, queue, &RunScope::All, 10).await.expect("looks"), [first]);
    assert_eq!(
        TaskRow::claimable(&mut tx, queue, &RunScope::Since(RunId::new()), 10).await.expect("looks"),
        []
    );
    for (run, claimable) in [(first.run, &[first][..]), (RunId::new(), &[])] {
        let only = RunScope::Only([run].into());
        assert_eq!(TaskRow::claimable(&mut tx, queue, &only, 10).await.expect("looks"), claimable);
    }
    let claimed = Lease::claim(&mut tx, claim(host, 6, 15), &[first]).await.expect("claims");
    assert_eq!(claimed, [claim(host, 6, 15).lease(first, 1, 0)]);
    let later = TaskUpdate { attempt_reverted: 1, ..update(first, 6, TaskState::Ready) };
    assert_eq!(
        TaskUpdate::apply(&mut tx, &[later], 15).await.expect("puts back"),
        [(first, FencingToken::new(6))]
    );
    assert_eq!(TaskRow::next_due(&mut tx).await.expect("looks"), Some(20));
    assert_eq!(TaskRow::claimable_queues(&mut tx).await.expect("looks"), []);
    assert_eq!(TaskRow::release_due(&mut tx, 19, 10).await.expect("asks"), [], "it is not due yet");
    assert_eq!(TaskRow::release_due(&mut tx, 20, 10).await.expect("releases"), [(queue, first)]);
    assert_eq!(TaskRow::next_due(&mut tx).await.expect("looks"), None);
    let claimed = Lease::claim(&mut tx, claim(host, 6, 21), &[first]).await.expect("claims");
    assert_eq!(claimed, [claim(host, 6, 21).lease(first, 1, 0)]);
    store.commit(tx).await.expect("commits");
}

pub(crate) async fn what_moves_with_the_clock_and_what_is_cancelled(backend: Backend) {
    let store = &backend.open().await;
    let (host, run) = (HostId::new(), start(store, Some("key")).await);
    assert!(RunRow::has_key(store, "key").await.expect("looks"));
    assert!(!RunRow::has_key(store, "other").await.expect("looks"));
    assert!(HostRow::running(store, 0).await.expect("looks").is_empty());
    let mut tx = store.begin().await.expect("begins");
    assert_eq!(RunRow::existing(&mut tx, &[run, RunId::new()]).await.expect("looks"), HashSet::from([run]));
    Store::register_host(&mut tx, host, "test", 1, 10).await.expect("registers");
    assert_eq!(Store::last_seen(&mut tx).await.expect("looks"), 10);
    let first = TaskKey { run, idx: 0 };
    Lease::claim(&mut tx, claim(host, 6, 15), &[first]).await.expect("claims");
    let later = TaskUpdate { attempt_reverted: 1, ..update(first, 6, TaskState::Ready) };
    TaskUpdate::apply(&mut tx, &[later], 15).await.expect("puts back");
    TaskRow::bring_forward(&mut tx, 5).await.expect("moves");
    assert_eq!(TaskRow::next_due(&mut tx).await.expect("looks"), Some(15));
    RunRow::bring_forward(&mut tx, 5).await.expect("moves");
    RunRow::begin_cancel(&mut tx, run, 1, Some("its deadline has passed")).await.expect("cancels");
    let left = BTreeMap::from([(run, RunCounts { open: 1, failed: 0 })]);
    RunRow::count_down(&mut tx, &left, 16).await.expect("counts");
    let ended = RunRow::finish_cancelling(&mut tx, &[run], 17).await.expect("finishes");
    assert_eq!(ended, [(run, RunState::Failed)]);
    ScheduleRow::delete(&mut tx, "nobody").await.expect("deletes");
    PositionRow::forget(&mut tx, "r", "file x").await.expect("forgets");
    store.commit(tx).await.expect("commits");
    assert_eq!(HostRow::running(store, 10).await.expect("looks").len(), 1);
    assert!(HostRow::running(store, 20_000).await.expect("looks").is_empty());
}

/// A run whose host remembers what is ready: nothing is asked, everything is compared.
pub(crate) async fn a_claim_from_memory_counts_what_it_changes(backend: Backend) {
    let store = &backend.open().await;
    let (host, run, other) = (HostId::new(), new_run(None), new_run(None));
    let mut tx = store.begin().await.expect("begins");
    let recorded = NewRun::insert(&mut tx, &[&run, &other], claim(host, 7, 30), 1).await.expect("starts");
    let key = |run: &NewRun, idx| TaskKey { run: run.id, idx };
    let (first, second) = (key(&run, 0), key(&run, 1));
    assert_eq!(recorded.claimed, [first], "one slot was free");
    let ready = [key(&other, 0)];
    assert_eq!(claim(host, 7, 30).take(&mut tx, &ready).await.expect("takes"), 1);
    assert_eq!(claim(host, 8, 31).take(&mut tx, &ready).await.expect("asks"), 0, "it is taken");

    let success = |key, token, patch: Option<&str>| Success {
        key,
        token: FencingToken::new(token),
        patch: patch.map(str::to_owned),
    };
    let fenced = [success(first, 6, None), success(first, 6, Some("{}"))];
    assert_eq!(Success::commit(&mut tx, &fenced, 32).await.expect("is fenced"), 0);
    let ended = [success(first, 7, Some(r#"{"set":{}}"#)), success(ready[0], 7, None)];
    assert_eq!(Success::commit(&mut tx, &ended, 32).await.expect("commits"), 2);
    assert_eq!(Success::commit(&mut tx, &ended, 33).await.expect("was committed"), 0);

    let too_much = [(second, Resolution { resolved: 2, upstream_failed: 0 })];
    assert_eq!(claim(host, 9, 34).take_resolved(&mut tx, &too_much).await.expect("asks"), 0);
    let enough = [(second, Resolution { resolved: 1, upstream_failed: 1 })];
    assert_eq!(claim(host, 9, 34).take_resolved(&mut tx, &enough).await.expect("takes"), 1);
    store.commit(tx).await.expect("commits");

    let tasks = TaskRow::of_run(store, run.id).await.expect("loads");
    let (done, taken) = (&tasks[0], &tasks[1]);
    assert_eq!((done.state, done.finished_at), (TaskState::Succeeded, Some(32)));
    assert_eq!(done.patch.as_deref(), Some(r#"{"set":{}}"#));
    assert_eq!((taken.state, taken.attempt, taken.token), (TaskState::Running, 1, FencingToken::new(9)));
    assert_eq!((taken.waiting, taken.upstream_failed, taken.started_at), (0, 1, Some(34)));
    assert_eq!(taken.host, Some(host));
    let attempts = AttemptRow::of_run(store, run.id).await.expect("loads");
    assert_eq!(attempts.len(), 1);
    assert_eq!((attempts[0].started_at, attempts[0].finished_at), (30, 32));
    assert_eq!((attempts[0].outcome, attempts[0].attempt), (AttemptResult::Succeeded, 1));
}

/// A package and a schedule, recorded twice.
async fn wanted(tx: &mut Tx) -> (PackageRow, ScheduleRow) {
    let row = PackageRow {
        name: "p".into(),
        version: "1".into(),
        digest: digest(),
        source: "s".into(),
        state: PackageState::Desired,
        actor: "test".into(),
        reason: "r".into(),
        updated_at: 7,
    };
    for _ in 0..2 {
        PackageRow::put(tx, std::slice::from_ref(&row)).await.expect("puts");
    }
    let schedule = ScheduleRow {
        name: "s".into(),
        workflow: "w".into(),
        expression: "e".into(),
        timezone: "UTC".into(),
        next_at: None,
    };
    schedule.put(tx, 8).await.expect("puts");
    (row, schedule)
}

pub(crate) async fn packages_and_their_generations_are_recorded(backend: Backend) {
    let store = &backend.open().await;
    let (host, id) = (HostId::new(), GenerationId::new());
    let (digest, package) = (digest(), package());
    let mut tx = store.begin().await.expect("begins");
    let artifact = NewArtifact {
        digest: &digest,
        name: &package,
        version: "1",
        target: "t",
        bytes: 1,
        library: "l",
        library_sha256: "s",
        signatures: "",
        manifest: "",
    };
    NewArtifact::insert(&mut tx, &[artifact], 1).await.expect("records");
    let generation = NewGeneration { id, host, digest: &digest, package: &package, version: "1" };
    let generations = [generation];
    for _ in 0..2 {
        NewGeneration::insert(&mut tx, &generations, 3).await.expect("records, once");
    }
    GenerationRow::set_state(&mut tx, &[(id, GenerationState::Active, 6)], 3).await.expect("records");
    assert_eq!(GenerationRow::mark_lost(&mut tx, host, 4).await.expect("marks"), 0);
    let entry = EntryRow { kind: EntryKind::Task, name: "a".into(), detail: "{}".into() };
    let entries = [(&digest, entry.clone()), (&digest, entry.clone()), (&digest, entry)];
    EntryRow::insert(&mut tx, &entries).await.expect("records once");
    let condition = |status| NewCondition {
        subject: Subject::Package(&package),
        kind: ConditionKind::Ready,
        status,
        reason: "Ok",
        message: String::new(),
        digest: "d",
    };
    NewCondition::set(&mut tx, &[condition(ConditionStatus::True)], 5).await.expect("sets");
    NewCondition::set(&mut tx, &[condition(ConditionStatus::True)], 6).await.expect("sets");
    let (row, schedule) = wanted(&mut tx).await;
    EventRow::append(&mut tx, Subject::Package(&package), EventKind::Loaded, "m", 9).await.expect("appends");
    store.commit(tx).await.expect("commits");

    let entries = EntryRow::desired(store, EntryKind::Task).await.expect("lists");
    assert_eq!(
        entries.iter().map(|(of, row)| (of, row.name.as_str())).collect::<Vec<_>>(),
        [(&package, "a")]
    );
    assert_eq!(ConditionRow::all(store).await.expect("lists")[0].since, 5);
    assert_eq!(PackageRow::all(store).await.expect("lists"), [row]);
    assert_eq!(ScheduleRow::all(store).await.expect("lists"), [schedule]);
    assert_eq!(EventRow::newest(store, Subject::Package(&package), 5).await.expect("lists").len(), 1);

    let mut tx = store.begin().await.expect("begins");
    GenerationRow::set_unloaded(&mut tx, id, "unmapped", 10).await.expect("records");
    ConditionRow::clear(&mut tx, Subject::Package(&package)).await.expect("clears");
    ArtifactRow::renew(&mut tx, &digest, 11).await.expect("renews");
    store.commit(tx).await.expect("commits");
    let cached = async |keep| ArtifactRow::cached_beyond(store, &package, keep, 5).await.expect("lists");
    assert_eq!((cached(0).await, cached(1).await), (vec![digest.clone()], Vec::new()));
    let mut tx = store.begin().await.expect("begins");
    ArtifactRow::evicted(&mut tx, std::slice::from_ref(&digest)).await.expect("forgets");
    store.commit(tx).await.expect("commits");
    assert_eq!(ArtifactRow::find(store, &digest).await.expect("finds").expect("is there").library, None);
    assert!(cached(0).await.is_empty());
    let newest = GenerationRow::newest(store, Some(&package), 5).await.expect("lists");
    assert_eq!(newest[0].unload_result.as_deref(), Some("unmapped"));
    assert_eq!(GenerationRow::newest(store, None, 5).await.expect("lists"), newest);
}

pub(crate) async fn a_host_that_died_lived_until_it_was_seen_last(backend: Backend) {
    let store = &backend.open().await;
    let (died, next, id) = (HostId::new(), HostId::new(), GenerationId::new());
    let (digest, package) = (digest(), package());
    let mut tx = store.begin().await.expect("begins");
    Store::register_host(&mut tx, died, "first", 1, 10).await.expect("registers");
    let generation = NewGeneration { id, host: died, digest: &digest, package: &package, version: "1" };
    NewGeneration::insert(&mut tx, &[generation], 10).await.expect("records");
    GenerationRow::set_state(&mut tx, &[(id, GenerationState::Draining, 6)], 11).await.expect("drains");
    GenerationRow::set_state(&mut tx, &[(id, GenerationState::Draining, 6)], 12).await.expect("still drains");
    Store::heartbeat(&mut tx, died, false, 15).await.expect("beats");
    // The next one comes late.
    Store::register_host(&mut tx, next, "second", 2, 900_000).await.expect("registers");
    assert_eq!(GenerationRow::mark_lost(&mut tx, next, 900_000).await.expect("marks"), 1);
    store.commit(tx).await.expect("commits");
    let lost = GenerationRow::newest(store, Some(&package), 1).await.expect("lists").remove(0);
    assert_eq!((lost.state, lost.unloaded_at, lost.drained_at), (GenerationState::Lost, Some(15), Some(11)));
    let hosts = HostRow::newest(store, 5).await.expect("lists");
    let states: Vec<(&str, i64, bool)> =
        hosts.iter().map(|host| (host.name.as_str(), host.died, host.is_alive(900_000))).collect();
    assert_eq!(states, [("second", 0, true), ("first", 1, false)]);
}

pub(crate) async fn a_verdict_holds_for_its_environment_and_a_refusal_until_a_retry(backend: Backend) {
    let store = &backend.open().await;
    let (digest, package) = (digest(), package());
    let artifact = NewArtifact {
        digest: &digest,
        name: &package,
        version: "1",
        target: "t",
        bytes: 1,
        library: "l",
        library_sha256: "s",
        signatures: "",
        manifest: "",
    };
    let row = |environment: &str, verdict| VerdictRow {
        digest: digest.clone(),
        environment: environment.to_owned(),
        package: package.clone(),
        verdict,
        code: None,
        message: None,
        probed_at: 2,
    };
    let (sound, refused) = (row("here", Verdict::Sound), row("there", Verdict::Quarantined));
    let mut tx = store.begin().await.expect("begins");
    NewArtifact::insert(&mut tx, &[artifact], 1).await.expect("records");
    sound.put(&mut tx).await.expect("records");
    refused.put(&mut tx).await.expect("records");
    store.commit(tx).await.expect("commits");
    let found = async |environment| VerdictRow::find(store, &digest, environment).await.expect("finds");
    assert_eq!((found("here").await, found("there").await), (Some(sound.clone()), Some(refused)));
    assert_eq!(VerdictRow::of_package(store, &package).await.expect("lists").len(), 2);
    for requested_at in [7, 8] {
        VerdictRow::request_retry(store, &package, "somebody", "a quiet machine", 7).await.expect("asks");
        let retries = PassInputs::load(store).await.expect("loads").retries;
        assert_eq!(retries, [(package.clone(), requested_at)].into(), "each request is another one");
    }
    assert_eq!((found("here").await, found("there").await), (Some(sound), None));
    let mut tx = store.begin().await.expect("begins");
    ArtifactRow::evicted(&mut tx, std::slice::from_ref(&digest)).await.expect("forgets");
    store.commit(tx).await.expect("commits");
    assert_eq!(found("here").await, None);
}

pub(crate) async fn overrides_are_recorded_and_released(backend: Backend) {
    let store = &backend.open().await;
    let name = PackageName::from("overridden");
    let mut row = Override {
        name: name.clone(),
        kind: OverrideKind::Add,
        digest: Some(digest()),
        version: "1.0.0".into(),
        avoid: None,
        actor: "somebody".into(),
        reason: "because".into(),
        updated_at: 1,
    };
    row.put(store).await.expect("records");
    (row.kind, row.avoid) = (OverrideKind::RollBack, Some(Digest::from_sha256([0xe; 32])));
    let mut tx = store.begin().await.expect("begins");
    assert!(!row.put_unless_overridden(&mut tx).await.expect("asks"), "an operator added it");
    store.commit(tx).await.expect("commits");
    row.put(store).await.expect("records otherwise");
    let mut tx = store.begin().await.expect("begins");
    assert!(row.put_unless_overridden(&mut tx).await.expect("rolls back again"));
    Override::end_roll_back(&mut tx, &"another".into(), 2).await.expect("nothing to end");
    store.commit(tx).await.expect("commits");
    assert_eq!(PassInputs::load(store).await.expect("loads").overrides, [row]);
    let events = EventRow::newest(store, Subject::Package(&name), 9).await.expect("lists");
    assert_eq!(events[0].message, "rolled back 1.0.0 by somebody: because");
    assert!(Override::release(store, &name, "somebody", "over", 2).await.expect("releases"));
    assert!(!Override::release(store, &name, "somebody", "over", 2).await.expect("was none"));
    assert_eq!(PassInputs::load(store).await.expect("loads").overrides, []);
    let mut tx = store.begin().await.expect("begins");
    let other = Digest::from_sha256([2; 32]);
    assert_eq!(RunRow::request_cancel_of(&mut tx, &other, 3).await.expect("asks"), 0);
    let workflow = (&TenantId::default(), "w");
    assert_eq!(RunRow::migrate(&mut tx, &other, workflow, &digest(), "2").await.expect("migrates"), 0);
    store.commit(tx).await.expect("commits");
}

pub(crate) async fn dead_letters_are_recorded_once_and_forgotten(backend: Backend) {
    let store = &backend.open().await;
    let letter = DeadLetter {
        id: DeadLetterId::new(),
        reactor: "r".into(),
        source: "s".into(),
        position: "line 1".into(),
        field: "a".into(),
        message: "m".into(),
        payload: "{}".into(),
        resendable: 1,
        tenant: Some("acme".into()),
        workflow: Some("w".into()),
        dedup_key: None,
        at: 1,
    };
    let mut tx = store.begin().await.expect("begins");
    for _ in 0..2 {
        DeadLetter::insert(&mut tx, "r", std::slice::from_ref(&letter)).await.expect("inserts once");
    }
    store.commit(tx).await.expect("commits");
    assert_eq!(DeadLetter::newest(store, "r", 10).await.expect("lists"), std::slice::from_ref(&letter));
    assert_eq!(DeadLetter::find(store, "other", letter.id).await.expect("looks"), None);
    assert_eq!(DeadLetter::find(store, "r", letter.id).await.expect("looks"), Some(letter.clone()));
    let mut tx = store.begin().await.expect("begins");
    DeadLetter::forget(&mut tx, letter.id).await.expect("forgets");
    store.commit(tx).await.expect("commits");
    assert_eq!(DeadLetter::newest(store, "r", 10).await.expect("lists"), []);
}

/// A command for the reactor `r`.
fn asked<'a>(command: ReactorCommand, source: &'a str, payload: &'a str) -> NewCommand<'a> {
    NewCommand { reactor: "r", command, source, payload, actor: "alice", reason: "a test" }
}

pub(crate) async fn reactors_and_their_inputs_are_recorded(backend: Backend) {
    let store = &backend.open().await;
    let row = ReactorRow { name: "r".into(), cursor: 1, paused: 0, state: vec![0, 255] };
    let input = |seq| InputRow { seq, source: "s".into(), payload: vec![1] };
    let output = OutputRow { seq: 1, graph: "g".into(), terminal: "t".into(), value: vec![2] };
    let status = StatusRow {
        name: "r".into(),
        package: "p".into(),
        digest: digest(),
        status: "{}".into(),
        updated_at: 1,
    };
    let position = PositionRow { stream: "file x".into(), position: "10".into() };
    let id = CommandRow::ask(store, &asked(ReactorCommand::Push, "s", "{}"), 1).await.expect("asks");
    assert_eq!(CommandRow::waiting(store).await.expect("lists"), [("r".to_owned(), CommandClass::Events)]);
    let command = CommandRow::of(store, "r", CommandClass::Events, 10).await.expect("lists").remove(0);
    assert!(CommandRow::of(store, "r", CommandClass::Control, 10).await.expect("lists").is_empty());
    assert_eq!(CommandRow::answer(store, &id).await.expect("looks"), CommandAnswer::Waiting);
    assert_eq!((command.command, command.reactor.as_str()), (ReactorCommand::Push, "r"));
    let mut tx = store.begin().await.expect("begins");
    for _ in 0..2 {
        ReactorRow::put(&mut tx, std::slice::from_ref(&row), 1).await.expect("puts");
        OutputRow::insert(&mut tx, "r", std::slice::from_ref(&output), 1).await.expect("inserts once");
        PositionRow::put(&mut tx, "r", std::slice::from_ref(&position)).await.expect("puts");
        StatusRow::put(&mut tx, std::slice::from_ref(&status)).await.expect("puts");
    }
    let in_memory = ReactorRow { cursor: 0, ..row.clone() };
    ReactorRow::put(&mut tx, &[in_memory], 1).await.expect("puts, and keeps the cursor");
    ReactorRow::set_paused(&mut tx, "r", true, 2).await.expect("pauses");
    ReactorRow::set_paused(&mut tx, "r", false, 2).await.expect("goes on");
    InputRow::insert(&mut tx, "r", &[input(1), input(2), input(3)]).await.expect("inserts");
    InputRow::forget(&mut tx, "r", 1).await.expect("forgets");
    CommandRow::done(&mut tx, &command.id).await.expect("forgets");
    store.commit(tx).await.expect("commits");

    assert_eq!(ReactorRow::find(store, "r").await.expect("finds"), Some(row));
    assert_eq!(InputRow::after(store, "r", 1).await.expect("loads"), [input(2), input(3)]);
    assert_eq!(OutputRow::after(store, "r", 0, 10).await.expect("loads"), [output]);
    assert_eq!(ReactorRow::names(store, "r").await.expect("lists"), ["r"]);
    assert_eq!(ReactorRow::names(store, "r@").await.expect("lists"), [""; 0]);
    assert_eq!(PositionRow::of(store, "r").await.expect("loads"), [position]);
    assert_eq!(StatusRow::all(store).await.expect("lists"), [status]);
    assert!(CommandRow::waiting(store).await.expect("lists").is_empty());
    assert_eq!(CommandRow::answer(store, &id).await.expect("looks"), CommandAnswer::Done);
    let refused = CommandRow::ask(store, &asked(ReactorCommand::Reset, "", ""), 1).await.expect("asks");
    let asked = EventRow::newest(store, Subject::Reactor("r"), 1).await.expect("lists").remove(0);
    assert_eq!(asked.message, "reset asked by alice: a test");
    let mut tx = store.begin().await.expect("begins");
    CommandRow::refuse(&mut tx, &refused, "LS0606", "no such reactor").await.expect("refuses");
    CommandRow::forget_refused(&mut tx, 1).await.expect("forgets those before");
    store.commit(tx).await.expect("commits");
    let (code, message) = ("LS0606".to_owned(), "no such reactor".to_owned());
    assert_eq!(
        CommandRow::answer(store, &refused).await.expect("looks"),
        CommandAnswer::Refused { code, message }
    );
    assert!(CommandRow::waiting(store).await.expect("lists").is_empty());
    let mut tx = store.begin().await.expect("begins");
    OutputRow::forget(&mut tx, "r", 1).await.expect("forgets");
    StatusRow::forget(&mut tx, "r").await.expect("forgets");
    ReactorRow::forget(&mut tx, "r").await.expect("forgets");
    store.commit(tx).await.expect("commits");
}

pub(crate) async fn runs_are_listed_by_what_they_are(backend: Backend) {
    let store = &backend.open().await;
    let run = start(store, None).await;
    let of = |workflow: &str, since| RunFilter {
        state: None,
        workflow: Some(workflow.into()),
        since: Some(since),
    };
    let began = run.time_ms();
    for (filter, found) in [(of("flow", began), 1), (of("flow", began + 60_000), 0), (of("other", began), 0)]
    {
        let listed = RunRow::newest(store, filter.clone(), 5).await.expect("lists");
        assert_eq!(listed.iter().filter(|row| row.id == run).count(), found, "{filter:?}");
    }
    let text = run.to_string();
    assert_eq!(RunRow::by_prefix(store, &text[..30], 3).await.expect("finds"), [run]);
    assert!(RunRow::by_prefix(store, "ffff", 3).await.expect("finds").is_empty());
}

pub(crate) async fn requests_are_answered_once_and_forgotten(backend: Backend) {
    let store = &backend.open().await;
    let new = |kind, name: &str| NewRequest {
        kind,
        tenant: "public".into(),
        name: name.to_owned(),
        payload: "{}".to_owned(),
        actor: "anna".to_owned(),
        reason: "a test".to_owned(),
    };
    let start = new(RequestKind::Start, "w").insert(store, 1).await.expect("asks");
    let fire = new(RequestKind::Fire, "t").insert(store, 1).await.expect("asks");
    let waiting = RequestRow::waiting(store, "", 10).await.expect("lists");
    assert_eq!(waiting.iter().map(|(id, _)| id.as_str()).collect::<Vec<_>>(), [&start, &fire]);
    let first = waiting[0].1.as_ref().expect("reads");
    assert_eq!((first.kind, first.name.as_str(), first.actor.as_str()), (RequestKind::Start, "w", "anna"));
    assert_eq!(RequestRow::waiting(store, &start, 10).await.expect("lists").len(), 1);
    assert_eq!(RequestRow::answer(store, &start).await.expect("looks"), RequestAnswer::Waiting);
    let strange = new(RequestKind::Start, "strange").insert(store, 1).await.expect("asks");
    let mut tx = store.begin().await.expect("begins");
    sqlx::query("UPDATE requests SET kind = 'odd' WHERE id = $1")
        .bind(&strange)
        .execute(&mut *tx)
        .await
        .expect("updates");
    store.commit(tx).await.expect("commits");
    let waiting = RequestRow::waiting(store, "", 10).await.expect("lists the others all the same");
    assert!(waiting[..2].iter().all(|(_, read)| read.is_ok()) && waiting[2].1.is_err());
    let run = RunId::new();
    let mut tx = store.begin().await.expect("begins");
    let outcome = RequestOutcome { started: vec![run], ..RequestOutcome::default() };
    RequestRow::refuse(&mut tx, &strange, "LS0507", "it does not read", "").await.expect("refuses");
    assert!(RequestRow::done(&mut tx, &start, &outcome).await.expect("answers"));
    RequestRow::refuse(&mut tx, &start, "LS0601", "too late", "").await.expect("leaves it");
    RequestRow::refuse(&mut tx, &fire, "LS0614", "no such trigger", "look").await.expect("refuses");
    assert!(!RequestRow::done(&mut tx, &fire, &outcome).await.expect("leaves it"));
    RequestRow::forget_answered(&mut tx, run.time_ms() - 60_000).await.expect("forgets those before");
    store.commit(tx).await.expect("commits");
    let started = RequestAnswer::Done(outcome);
    assert_eq!(RequestRow::answer(store, &start).await.expect("looks"), started);
    let (code, message, fix) = ("LS0614".to_owned(), "no such trigger".to_owned(), "look".to_owned());
    let refused = RequestAnswer::Refused { code, message, fix };
    assert_eq!(RequestRow::answer(store, &fire).await.expect("looks"), refused);
    assert!(RequestRow::waiting(store, "", 10).await.expect("lists").is_empty());
    let mut tx = store.begin().await.expect("begins");
    RequestRow::forget_answered(&mut tx, run.time_ms() + 60_000).await.expect("forgets");
    store.commit(tx).await.expect("commits");
    let gone = RequestAnswer::Done(RequestOutcome::default());
    assert_eq!(RequestRow::answer(store, &fire).await.expect("looks"), gone);
}
