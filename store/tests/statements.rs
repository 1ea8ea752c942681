//! Every statement on both databases: SQLite in a file, PostgreSQL in an instance of its own.

mod suites;

use longshore_store::{Access, HostId, NewRun, RunCounts, RunId, RunRow, Store, Tx};
use longshore_testing::{Backend, Fault, FaultProxy};
use sqlx::Connection;
use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};
use suites::{
    a_claim_from_memory_counts_what_it_changes, a_host_that_died_lived_until_it_was_seen_last,
    a_run_is_started_claimed_and_ended, a_task_that_is_put_back_is_claimable_when_it_is_due,
    a_verdict_holds_for_its_environment_and_a_refusal_until_a_retry, claim,
    dead_letters_are_recorded_once_and_forgotten, new_run, overrides_are_recorded_and_released,
    packages_and_their_generations_are_recorded, reactors_and_their_inputs_are_recorded,
    requests_are_answered_once_and_forgotten, runs_are_listed_by_what_they_are, start,
    what_has_ended_is_deleted_and_nothing_else, what_moves_with_the_clock_and_what_is_cancelled,
};

longshore_testing::for_each_backend!(
    a_run_is_started_claimed_and_ended,
    a_task_that_is_put_back_is_claimable_when_it_is_due,
    a_claim_from_memory_counts_what_it_changes,
    packages_and_their_generations_are_recorded,
    a_host_that_died_lived_until_it_was_seen_last,
    a_verdict_holds_for_its_environment_and_a_refusal_until_a_retry,
    overrides_are_recorded_and_released,
    what_has_ended_is_deleted_and_nothing_else,
    what_moves_with_the_clock_and_what_is_cancelled,
    dead_letters_are_recorded_once_and_forgotten,
    reactors_and_their_inputs_are_recorded,
    requests_are_answered_once_and_forgotten,
    runs_are_listed_by_what_they_are,
);

longshore_testing::on_postgres! {
    async fn a_second_host_of_a_postgres_database_is_refused() {
        let url = longshore_testing::Postgres::shared().database("second host");
        let first = Store::open(&url, Access::Owner).await.expect("opens");
        let second = Store::open(&url, Access::Owner).await.expect_err("one host at a time");
        assert_eq!(second.code(), "LS0508");
        first.close().await;
    }
}

#[tokio::test]
async fn a_newer_database_is_refused_and_stays_as_it_is() {
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("test.db");
    let store = Store::open_file(&path, Access::Owner).await.expect("opens");
    let mut tx = store.begin().await.expect("begins");
    let insert = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
                  VALUES (9999, 'future', TRUE, x'00', 0)";
    sqlx::query(insert).execute(&mut *tx).await.expect("inserts");
    store.commit(tx).await.expect("commits");
    store.close().await;
    drop(store);
    for access in [Access::Owner, Access::Client] {
        assert_eq!(refusal(&path, access).await, "LS0506");
    }
}

#[tokio::test]
async fn a_table_that_is_in_the_way_stops_the_migration() {
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("test.db");
    let url = format!("sqlite:{}?mode=rwc", path.display());
    let mut other = sqlx::SqliteConnection::connect(&url).await.expect("opens");
    sqlx::query("CREATE TABLE runs (mine INTEGER)").execute(&mut other).await.expect("creates");
    other.close().await.expect("closes");
    assert_eq!(refusal(&path, Access::Owner).await, "LS0507");
}

#[tokio::test]
async fn a_url_of_another_kind_of_database_is_refused() {
    let error = Store::open("mysql://localhost/longshore", Access::Owner).await.expect_err("refused");
    assert_eq!(error.code(), "LS0510", "{error}");
}

#[tokio::test]
async fn a_statement_that_the_database_refuses_is_named_by_what_it_was_for() {
    let folder = tempfile::tempdir().expect("folder");
    let store = Store::open_file(&folder.path().join("test.db"), Access::Owner).await.expect("opens");
    let mut tx = store.begin().await.expect("begins");
    sqlx::query("DROP TABLE attempts").execute(&mut *tx).await.expect("drops");
    sqlx::query("DROP TABLE runs").execute(&mut *tx).await.expect("drops");
    store.commit(tx).await.expect("commits");
    let error = RunRow::find(&store, RunId::new()).await.expect_err("no such table");
    assert_eq!(error.code(), "LS0513", "{error}");
}

#[tokio::test]
async fn a_connection_that_nobody_gives_back_is_not_waited_for_for_ever() {
    let folder = tempfile::tempdir().expect("folder");
    let store = Store::open_file(&folder.path().join("test.db"), Access::Owner).await.expect("opens");
    let held = store.begin().await.expect("begins");
    let error = store.begin().await.expect_err("there is one connection");
    assert!(error.code() == "LS0515" && error.is_contention(), "{error}");
    drop(held);
    store.begin().await.expect("it is free");
}

#[tokio::test]
async fn a_database_that_is_not_where_it_was_opened_is_told() {
    let folder = tempfile::tempdir().expect("folder");
    let (home, moved) = (folder.path().join("home"), folder.path().join("moved"));
    let store = Store::open_file(&home.join("test.db"), Access::Owner).await.expect("opens");
    store.keep_lock().await.expect("it is there");
    std::fs::rename(&home, &moved).expect("moves");
    assert_eq!(store.keep_lock().await.expect_err("it was moved").code(), "LS0518");
    // Another one in its place is not the same.
    Store::open_file(&home.join("test.db"), Access::Owner).await.expect("opens").close().await;
    assert_eq!(store.keep_lock().await.expect_err("it was replaced").code(), "LS0518");
    std::fs::remove_dir_all(&home).expect("removes");
    std::fs::rename(&moved, &home).expect("moves back");
    store.keep_lock().await.expect("it is there again");
}

#[tokio::test]
async fn locks_that_a_neighbour_in_the_process_dropped_are_missed() {
    let folder = tempfile::tempdir().expect("folder");
    let file = folder.path().join("test.db");
    let store = Store::open_file(&file, Access::Owner).await.expect("opens");
    let reader = Store::open_file(&file, Access::Client).await.expect("opens");
    store.keep_lock().await.expect("it has them");
    reader.close().await;
    store.keep_lock().await.expect("SQLite closes with care");
    drop(std::fs::File::open(&file).expect("opens"));
    let error = store.keep_lock().await.expect_err("the system took them");
    assert_eq!(error.code(), "LS0520", "{error}");
}

longshore_testing::on_postgres! {
    async fn a_deadlock_is_told_apart_and_one_of_the_two_goes_on() {
        let store = Backend::postgres("statements::deadlock").open().await;
        let runs = [start(&store, None).await, start(&store, None).await];
        let lock = async |tx: &mut Tx, run| {
            let closed = BTreeMap::from([(run, RunCounts { open: 0, failed: 0 })]);
            RunRow::count_down(tx, &closed, 1).await
        };
        let (mut one, mut other) = (store.begin().await.expect("begins"), store.begin().await.expect("begins"));
        lock(&mut one, runs[0]).await.expect("locks");
        lock(&mut other, runs[1]).await.expect("locks");
        let (first, second) = tokio::join!(lock(&mut one, runs[1]), lock(&mut other, runs[0]));
        let failed: Vec<_> = [first.err(), second.err()].into_iter().flatten().collect();
        assert_eq!(failed.len(), 1, "one goes on");
        assert!(failed[0].code() == "LS0514" && failed[0].is_contention(), "{}", failed[0]);
    }
}

longshore_testing::on_postgres! {
    async fn a_commit_whose_answer_is_lost_is_told_apart() {
        let database = Backend::postgres("statements::commit");
        let proxy = FaultProxy::start(database.url()).await;
        let store = Store::open(proxy.url(), Access::Owner).await.expect("opens");
        for (fault, recorded) in [(Fault::LoseReply, true), (Fault::LoseRequest, false)] {
            let run = new_run(None);
            let mut tx = store.begin().await.expect("begins");
            NewRun::insert(&mut tx, &[&run], claim(HostId::new(), 1, 10), 0).await.expect("inserts");
            proxy.break_commit(1, fault);
            let error = store.commit(tx).await.expect_err("no answer");
            assert_eq!(error.code(), "LS0516", "{error}");
            let mut tx = store.begin().await.expect("begins");
            assert_eq!(RunRow::existing(&mut tx, &[run.id]).await.expect("asks").len(), usize::from(recorded));
        }
    }
}

/// The code that opening ends with. Another test of this process may be starting a child just now, which holds
/// a copy of the lock until it runs its program.
async fn refusal(path: &Path, access: Access) -> &'static str {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let error = Store::open_file(path, access).await.expect_err("refused");
        if error.code() != "LS0508" || Instant::now() > deadline {
            return error.code();
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn a_row_that_was_changed_by_hand_is_named() {
    let folder = tempfile::tempdir().expect("folder");
    let store = Store::open_file(&folder.path().join("test.db"), Access::Owner).await.expect("opens");
    let run = start(&store, None).await;
    let mut tx = store.begin().await.expect("begins");
    sqlx::query("UPDATE runs SET state = 'resting'").execute(&mut *tx).await.expect("updates");
    store.commit(tx).await.expect("commits");
    let error = RunRow::find(&store, run).await.expect_err("a bad row").to_string();
    assert_eq!(error, format!("table runs, row {run}: column state holds `resting`"));
}
