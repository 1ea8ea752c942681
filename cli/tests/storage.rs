//! Disks that are full or read-only, databases that somebody else locks.

mod support;

use longshore_store::{Access, Store};
use std::path::Path;
use std::process::{Command, Stdio};
use support::{Ended, Longshore, hello};

/// A shell whose `$HOME_DIR` is a small disk of its own and `$LS` the command; none where this machine lets
/// nobody mount one.
fn on_a_disk_of(megabytes: u32, script: &str) -> Option<Ended> {
    let can = Command::new("unshare").args(["-rm", "true"]).stderr(Stdio::null()).status();
    if !can.is_ok_and(|status| status.success()) {
        eprintln!("skipped: this machine lets no test mount a disk of its own");
        return None;
    }
    let longshore = Longshore::new();
    let setup = format!("set -e; mount -t tmpfs -o size={megabytes}m tmpfs \"$LONGSHORE_HOME\"\n{script}");
    let mut command = Command::new("unshare");
    command.args(["-rm", "sh", "-c", &setup]).current_dir("/").stdin(Stdio::null());
    command.env("LONGSHORE_HOME", longshore.home.path()).env("LS", env!("CARGO_BIN_EXE_longshore"));
    command.env("FILE", hello()).env_remove("LONGSHORE_PATH");
    Some(Ended::of(&command.output().expect("starts")))
}

/// The codes of the errors that a script printed, one document after another.
fn codes(ended: &Ended) -> Vec<String> {
    let documents = serde_json::Deserializer::from_str(&ended.stdout).into_iter::<serde_json::Value>();
    documents
        .map(|document| document.unwrap_or_else(|e| panic!("{e}: {}\n{}", ended.stdout, ended.stderr)))
        .map(|document| document["error"]["code"].as_str().unwrap_or("ok").to_owned())
        .collect()
}

#[test]
fn a_full_disk_is_named_and_nothing_is_lost() {
    let script = r#"
        "$LS" run "$FILE" --json
        dd if=/dev/zero of="$LONGSHORE_HOME/fill" bs=4096 2>/dev/null || true
        "$LS" run "$FILE" --json || true
        rm "$LONGSHORE_HOME/fill"
        "$LS" run "$FILE" --json
        "$LS" runs list --json
    "#;
    let Some(ended) = on_a_disk_of(64, script) else { return };
    assert_eq!(codes(&ended), ["ok", "LS0504", "ok", "ok"], "{}", ended.stderr);
    let runs = ended.stdout.matches("\"succeeded\"").count();
    assert!(runs >= 4, "two runs and their records: {}", ended.stdout);
}

#[test]
fn a_disk_too_small_for_the_cached_package_is_named() {
    let script = r#"
        dd if=/dev/zero of="$LONGSHORE_HOME/fill" bs=1M count=3 2>/dev/null
        "$LS" run "$FILE" --json || true
    "#;
    let Some(ended) = on_a_disk_of(4, script) else { return };
    assert_eq!(codes(&ended), ["LS0301"], "{}", ended.stderr);
}

#[test]
fn a_read_only_disk_is_named_and_can_still_be_looked_at() {
    let script = r#"
        "$LS" run "$FILE" --json
        mount -o remount,ro "$LONGSHORE_HOME"
        "$LS" run "$FILE" --json || true
        "$LS" runs list --json
        "$LS" packages hold hello --json || true
    "#;
    let Some(ended) = on_a_disk_of(64, script) else { return };
    assert_eq!(codes(&ended), ["ok", "LS0509", "ok", "LS0503"], "{}", ended.stderr);
}

#[test]
fn a_read_only_copy_of_a_killed_hosts_home_shows_its_last_writes_or_says_that_it_cannot() {
    let script = r#"
        FAILPOINTS="engine.after_commit=2*off->sleep(600000)" "$LS" run "$FILE" >/dev/null 2>&1 &
        for n in $(seq 150); do
            if "$LS" runs list --json 2>/dev/null | grep -q running; then break; fi
            sleep 0.2
        done
        kill -9 $!
        wait $! || true
        mount -o remount,ro "$LONGSHORE_HOME"
        "$LS" runs list --json
        mount -o remount,rw "$LONGSHORE_HOME"
        rm "$LONGSHORE_HOME/longshore.db-shm"
        mount -o remount,ro "$LONGSHORE_HOME"
        "$LS" runs list --json || true
    "#;
    let Some(ended) = on_a_disk_of(64, script) else { return };
    assert_eq!(codes(&ended), ["ok", "LS0519"], "{}", ended.stderr);
    assert!(ended.stdout.contains("\"running\""), "{}", ended.stdout);
}

#[test]
fn a_database_that_another_program_locks_is_named() {
    let longshore = Longshore::new();
    let file = hello().to_str().expect("UTF-8");
    assert_eq!(longshore.run(&["run", file, "--json"]).code, Some(0));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("runtime");
    runtime.block_on(async {
        let path: &Path = &longshore.home.path().join("longshore.db");
        let store = Store::open_file(path, Access::Client).await.expect("opens");
        let held = store.begin().await.expect("locks");
        let ended = longshore.run(&["run", file, "--json"]);
        assert_eq!(ended.error_code(), "LS0502", "{}", ended.stderr);
        drop(held);
    });
    assert_eq!(longshore.run(&["run", file, "--json"]).code, Some(0));
}
