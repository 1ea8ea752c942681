//! A host as its operator sees it: `serve` on a directory, kill -9, restart.

mod support;

use serde_json::Value;
use support::{Longshore, hello};

fn package_state(longshore: &Longshore, name: &str) -> Option<String> {
    let ended = longshore.run(&["packages", "--json"]);
    if ended.code != Some(0) {
        return None;
    }
    let json = ended.json();
    let generations = json["generations"].as_array()?;
    let newest = generations.iter().find(|g| g["package"] == name)?;
    newest["state"].as_str().map(str::to_owned)
}

fn condition(longshore: &Longshore, subject_ends: &str, kind: &str) -> Option<Value> {
    let json = longshore.run(&["packages", "--json"]).json();
    let all = json["conditions"].as_array()?;
    all.iter()
        .find(|c| c["type"] == kind && c["subject"].as_str().is_some_and(|s| s.ends_with(subject_ends)))
        .cloned()
}

#[test]
fn a_served_directory_is_followed_and_broken_files_do_not_stop_the_host() {
    let longshore = Longshore::new();
    let packages = longshore.home.path().join("drop");
    std::fs::create_dir(&packages).expect("folder");
    let host = longshore.spawn(&["serve", packages.to_str().expect("UTF-8")], &[]);
    longshore.wait_until("the database is there", || longshore.run(&["packages", "--json"]).code == Some(0));

    let bytes = std::fs::read(hello()).expect("reads");
    std::fs::write(packages.join("cut.longshore"), &bytes[..bytes.len() / 2]).expect("writes");
    longshore.wait_until("the cut file is refused", || {
        condition(&longshore, "cut.longshore", "Accepted").is_some_and(|c| c["reason"] == "LS0103")
    });
    std::fs::copy(hello(), packages.join("hello.longshore")).expect("copies");
    longshore
        .wait_until("hello is active", || package_state(&longshore, "hello").as_deref() == Some("active"));
    std::fs::remove_file(packages.join("cut.longshore")).expect("removes");
    longshore.wait_until("the cut file is forgotten", || {
        condition(&longshore, "cut.longshore", "Accepted").is_none()
    });

    std::fs::remove_file(packages.join("hello.longshore")).expect("removes");
    longshore.wait_until("hello is unloaded", || {
        package_state(&longshore, "hello").as_deref() == Some("unloaded")
    });
    let json = longshore.run(&["packages", "--json"]).json();
    assert_eq!(json["generations"][0]["unload_result"], "unmapped");
    assert_eq!(host.stop(), Some(0), "{}", longshore.log());
}

#[test]
fn a_second_host_on_the_same_home_is_refused() {
    let longshore = Longshore::new();
    let packages = longshore.home.path().join("packages");
    std::fs::create_dir(&packages).expect("folder");
    let _host = longshore.spawn(&["serve"], &[]);
    longshore.wait_until("the host is up", || longshore.run(&["packages", "--json"]).code == Some(0));
    let second = longshore.run(&["run", hello().to_str().expect("UTF-8"), "--json"]);
    assert_eq!(second.error_code(), "LS0508");
}

#[test]
fn databases_that_cannot_be_used_say_why() {
    let longshore = Longshore::new();
    let file = hello().to_str().expect("UTF-8");
    assert_eq!(longshore.run(&["runs", "--json"]).error_code(), "LS0709");
    std::fs::write(longshore.home.path().join("longshore.db"), "this is no database at all, it is text")
        .expect("writes");
    assert_eq!(longshore.run(&["run", file, "--json"]).error_code(), "LS0505");
    std::fs::remove_file(longshore.home.path().join("longshore.db")).expect("removes");
    std::fs::create_dir(longshore.home.path().join("longshore.db")).expect("folder");
    assert_eq!(longshore.run(&["run", file, "--json"]).error_code(), "LS0501");
    assert_eq!(longshore.run(&["runs", "show", "nonsense", "--json"]).error_code(), "LS0709");
}

/// The points at which a host is killed: every effect of load, start, claim, commit and unload.
const POINTS: [&str; 10] = [
    "reconciler.cached=sleep(60000)",
    "reconciler.probed=sleep(60000)",
    "reconciler.loading_recorded=sleep(60000)",
    "reconciler.published=sleep(60000)",
    "engine.before_commit=sleep(60000)",
    "engine.after_commit=1*off->sleep(60000)",
    "engine.before_commit=2*off->sleep(60000)",
    "engine.after_commit=2*off->sleep(60000)",
    "engine.before_commit=3*off->sleep(60000)",
    "reconciler.closed=sleep(60000)",
];

#[test]
fn a_host_that_is_killed_at_any_point_finds_its_way() {
    std::thread::scope(|scope| {
        for point in POINTS {
            scope.spawn(move || kill_at(point));
        }
    });
}

fn kill_at(point: &str) {
    let longshore = Longshore::new();
    let file = hello().to_str().expect("UTF-8");
    let host = longshore.spawn(&["run", file], &[("FAILPOINTS", point)]);
    longshore.wait_until(point, || host.sleeps_at_its_failpoint());
    host.kill_9();

    let packages = longshore.home.path().join("packages");
    std::fs::create_dir_all(&packages).expect("folder");
    std::fs::copy(file, packages.join("hello.longshore")).expect("copies");
    let again = longshore.spawn(&["serve"], &[]);
    // The generation of the dead host may still be recorded as active: the new host's own word counts.
    longshore.wait_until("hello is active again", || {
        longshore.log().contains("loaded") && package_state(&longshore, "hello").as_deref() == Some("active")
    });
    longshore.wait_until("every run ends", || longshore.runs().iter().all(|run| run["state"] != "running"));
    assert_eq!(again.stop(), Some(0), "{point}: {}", longshore.log());

    for run in longshore.runs() {
        let id = run["run_id"].as_str().expect("an id");
        let report = longshore.run(&["runs", "show", id, "--json"]).json();
        assert_eq!(report["state"], "succeeded", "{point}: {report}");
        for task in report["tasks"].as_array().expect("tasks") {
            let history = task["history"].as_array().expect("history");
            let committed = history.iter().filter(|a| a["outcome"] == "succeeded").count();
            assert_eq!(committed, 1, "{point}: {task}");
        }
        assert_eq!(report["context"]["greeting"], "Hello, world!", "{point}");
    }
    nothing_is_left_over(&longshore, point);
}

fn nothing_is_left_over(longshore: &Longshore, point: &str) {
    let json = longshore.run(&["packages", "--json"]).json();
    for generation in json["generations"].as_array().expect("generations") {
        let state = generation["state"].as_str().expect("a state");
        assert!(["unloaded", "lost"].contains(&state), "{point}: {generation}");
    }
    for folder in std::fs::read_dir(longshore.home.path().join("cache")).expect("the cache") {
        for file in std::fs::read_dir(folder.expect("entry").path()).expect("a digest") {
            let name = file.expect("entry").file_name().to_string_lossy().into_owned();
            assert!(!name.starts_with('.'), "{point}: {name} was left in the cache");
        }
    }
}
